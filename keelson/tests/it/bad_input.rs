//! What people get wrong: each gets one clear error, the exit status that users of the peer expect,
//! and nothing is lost.

use std::net::TcpListener;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use testkit::{Cluster, Shape};

use crate::run::fails;

fn keelson(args: &[&str]) -> Result<Output> {
    Command::new(testkit::keelson()?)
        .args(args)
        .output()
        .context("start keelson")
}

/// Exit status and everything printed.
fn refused(args: &[&str]) -> Result<(i32, String)> {
    let output = keelson(args)?;
    let status = output.status.code().context("ended by a signal")?;
    Ok((status, fails(Ok(output))?))
}

#[test]
fn unknown_flags_are_refused_as_upstream_does() -> Result<()> {
    let (status, text) = refused(&["store", "--nonsense"])?;
    ensure!(
        status == 2 && text.contains("flag provided but not defined: -nonsense"),
        "{status} {text}"
    );
    for component in [
        "controllers",
        "cloud-controllers",
        "scheduler",
        "kubelet",
        "proxy",
    ] {
        let (status, text) = refused(&[component, "--nonsense"])?;
        ensure!(
            status == 1 && text.contains("unknown flag: --nonsense"),
            "{component}: {status} {text}"
        );
    }
    let (status, text) = refused(&["up", "--nonsense"])?;
    ensure!(
        status == 2 && text.contains("--nonsense"),
        "{status} {text}"
    );
    Ok(())
}

#[test]
fn steering_names_what_is_not_there() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let dir = empty.path().to_str().context("a path")?;
    ensure!(
        refused(&["status", "--data-dir", dir])?
            .1
            .contains("no cluster was started in")
    );
    let cluster = Cluster::start(Shape {
        stores: 1,
        ..Shape::STORE
    })?;
    let error = cluster
        .keelson(&["kill", "store-7"])
        .err()
        .context("must fail")?;
    ensure!(
        error
            .to_string()
            .contains("there is no component store-7; this cluster has store-0")
    );
    Ok(())
}

#[test]
fn a_port_in_use_stops_the_start_and_names_the_port() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().context("a path")?;
    let args = [
        "up",
        "--detach",
        "--stores",
        "1",
        "--apiservers",
        "0",
        "--base-port",
        &port,
        "--data-dir",
        path,
    ];
    let (status, text) = refused(&args)?;
    ensure!(
        status == 1 && text.contains("address already in use") && text.contains(&port),
        "{text}"
    );
    Ok(())
}

#[test]
fn what_is_not_there_yet_says_so() -> Result<()> {
    let (status, text) = refused(&["apiserver"])?;
    ensure!(
        status == 1 && text.contains("not part of this version yet"),
        "{status} {text}"
    );
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().context("a path")?;
    let (status, text) = refused(&["up", "--apiservers", "2", "--data-dir", path])?;
    ensure!(
        status == 1 && text.contains("--apiservers must be 0"),
        "{status} {text}"
    );
    Ok(())
}

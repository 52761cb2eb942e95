//! Ports that somebody else has: each component ends at once and names the port.

use std::net::TcpListener;

use anyhow::{Result, ensure};

use super::pki::Pki;
use super::process::{Member, Running, refused};

fn taken() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

#[test]
fn the_store_ends_as_etcd_does_and_touches_nothing() -> Result<()> {
    let (_taken, port) = taken()?;
    let words = format!("listen tcp 127.0.0.1:{port}: bind: address already in use");
    for flag in ["--listen-peer-urls", "--listen-client-urls"] {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let flag = format!("{flag}=http://127.0.0.1:{port}");
        let member = Member::new(&data)?.with(&[&flag]);
        let ours = Running::start(&mut member.of_ours()?)?.end()?;
        ours.says(1, &words)?;
        ensure!(!ours.text.contains("os error"), "{}", ours.text);
        ensure!(!data.exists(), "the folder was touched");
        let etcd = Running::start(&mut member.of_etcd()?)?.end()?;
        etcd.says(1, &words)?;
    }
    Ok(())
}

#[test]
fn components_with_a_port_end_and_name_it() -> Result<()> {
    let (_taken, port) = taken()?;
    let dir = tempfile::tempdir()?;
    let pki = Pki::new(dir.path())?;
    let kubeconfig = pki.kubeconfig("https://127.0.0.1:1")?;
    let serving = |component: &str, flags: &[&str]| -> Vec<String> {
        let mut args = vec![component.to_owned(), format!("--kubeconfig={kubeconfig}")];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        args
    };
    let secure = format!("--secure-port={port}");
    let elected = ["--bind-address=127.0.0.1", secure.as_str()];
    let root = format!("--root-dir={}", dir.path().join("kubelet").display());
    let kubelet = [
        "--hollow",
        "--address=127.0.0.1",
        &format!("--port={port}"),
        &root,
    ];
    let lines = [
        pki.apiserver(port)?,
        serving("controllers", &elected),
        serving("cloud-controllers", &elected),
        serving("scheduler", &elected),
        serving("kubelet", &kubelet),
    ];
    for args in lines {
        let ended = refused(&args)?;
        ended.says(1, &format!("127.0.0.1:{port}"))?;
        ensure!(
            ended.text.to_lowercase().contains("address already in use"),
            "{args:?}: {}",
            ended.text
        );
    }
    Ok(())
}

#[test]
fn a_local_cluster_refuses_a_taken_port_and_keeps_nothing_of_it() -> Result<()> {
    let (_taken, port) = taken()?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().display().to_string();
    let text = port.to_string();
    let args = [
        "up",
        "--detach",
        "--stores",
        "1",
        "--apiservers",
        "0",
        "--base-port",
        &text,
        "--data-dir",
        &path,
    ];
    let ended = refused(&args)?;
    ended.says(1, "address already in use")?;
    ended.says(1, &text)?;
    let status = refused(&["status", "--data-dir", &path])?;
    status.says(1, "no cluster was started")
}

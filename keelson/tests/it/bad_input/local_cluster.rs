//! `keelson up` and the commands that steer what it started, given folders and names that do not fit.

use anyhow::{Context, Result, ensure};
use testkit::{Cluster, Shape};

use super::process::refused;

#[test]
fn steering_names_what_is_not_there() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let dir = empty.path().display().to_string();
    for command in ["status", "down", "restart", "kill", "pause", "resume"] {
        refused(&[command, "--data-dir", &dir])?.says(1, "no cluster was started in")?;
    }
    refused(&["status", "--data-dir", "/nonexistent/folder"])?.says(
        1,
        "the folder /nonexistent/folder cannot be read: No such file or directory",
    )?;
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
            .contains("there is no component store-7; this cluster has store-0"),
        "{error}"
    );
    Ok(())
}

#[test]
fn folders_that_hold_no_cluster_are_refused_and_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("file");
    std::fs::write(&file, "precious")?;
    let up = |folder: &std::path::Path| {
        let folder = folder.display().to_string();
        refused(&["up", "--detach", "--stores", "1", "--data-dir", &folder])
    };
    up(&file)?.says(1, &format!("make the folder {}", file.display()))?;
    ensure!(std::fs::read_to_string(&file)? == "precious");

    let damaged = dir.path().join("damaged");
    std::fs::create_dir(&damaged)?;
    std::fs::write(damaged.join("cluster.json"), "{\"version\": 1, \"comp")?;
    up(&damaged)?.says(
        1,
        "cluster.json is damaged; restore it, or start afresh in another --data-dir",
    )?;
    ensure!(std::fs::read_to_string(damaged.join("cluster.json"))?.ends_with("comp"));

    std::fs::write(
        damaged.join("cluster.json"),
        "{\"version\": 7, \"components\": []}",
    )?;
    up(&damaged)?.says(1, "has version 7, this binary reads 1")
}

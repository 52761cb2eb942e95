//! Users known by the common names in their certificates, on ours and on the real etcd.

use std::path::Path;

use base::{OnError, Tasks};
use tokio_util::sync::CancellationToken;

use super::super::harness::{SOON, etcdctl, free_port};
use super::super::tls::{Authority, file, flags, member};
use super::compare_lines;

/// Whose certificate, and a command.
const LINES: &[(&str, &str)] = &[
    ("root", "user add root --no-password"),
    ("root", "user add ann --no-password"),
    ("root", "user add bob:pw"),
    ("root", "role add r"),
    ("root", "role grant-permission r read a"),
    ("root", "user grant-role ann r"),
    ("root", "put a 1"),
    ("root", "auth enable"),
    ("root", "auth status"),
    ("root", "get b"),
    ("ann", "get a"),
    ("ann", "get b"),
    ("ann", "put a 2"),
    ("ann", "user get ann"),
    ("ann", "user list"),
    ("eve", "get a"),
    ("eve", "user list"),
    ("nameless", "get a"),
    ("nameless", "user list"),
    // A token goes before a certificate.
    ("ann", "get a --user=bob:pw"),
    ("root", "user list --user=bob:pw"),
    ("ann", "get a --user=ann:x"),
    ("root", "user delete ann"),
    ("ann", "get a"),
    ("root", "user list"),
    ("root", "auth disable"),
    ("eve", "get a"),
];

async fn run(dir: &Path, port: u16, who: &str, command: &str) -> String {
    let tls = [
        format!("--cacert={}", file(dir, "ca.crt")),
        format!("--cert={}", file(dir, &format!("{who}.crt"))),
        format!("--key={}", file(dir, &format!("{who}.key"))),
    ];
    let mut args: Vec<&str> = command.split(' ').collect();
    args.extend(tls.iter().map(String::as_str));
    let (ok, out, err) = etcdctl(&format!("https://127.0.0.1:{port}"), &args, "").await;
    let complaints = err.lines().filter(|line| line.starts_with("Error: "));
    let complaints: Vec<&str> = complaints.collect();
    format!("{who} {command} => {ok} {out:?} {complaints:?}")
}

async fn transcript(dir: &Path, port: u16) -> Vec<String> {
    let mut lines = Vec::new();
    for (who, command) in LINES {
        lines.push(run(dir, port, who, command).await);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_names_its_user() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let authority = Authority::new();
    authority.write(dir, "server", &["127.0.0.1", "localhost"]);
    for who in ["root", "ann", "eve"] {
        authority.write(dir, who, &[who]);
    }
    authority.write_named(dir, "nameless", &["nameless"], None);
    let (stop, tasks) = (CancellationToken::new(), Tasks::new("test"));
    let (peer, client) = (free_port(), free_port());
    let cluster = format!("ours=https://127.0.0.1:{peer}");
    let store = member(dir, "ours", peer, client, &cluster).await;
    let handle = store.handle();
    tasks.spawn("ours", OnError::Log, store.run(stop.clone()));
    assert!(handle.wait_ready().await);
    let ours = transcript(dir, client).await;
    stop.cancel();
    assert!(tasks.shutdown(std::time::Duration::from_secs(SOON)).await);

    let (peer, client) = (free_port(), free_port());
    let cluster = format!("real=https://127.0.0.1:{peer}");
    let _real = tokio::process::Command::new(testkit::peer("etcd").unwrap())
        .args(flags(dir, "real", peer, client, &cluster))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let up = testkit::poll(SOON, "the real etcd serves", async || {
        let line = run(dir, client, "root", "get nothing --dial-timeout=1s").await;
        if line.contains("=> true") {
            Ok(())
        } else {
            Err(line)
        }
    });
    up.await.unwrap();
    compare_lines("etcd", &transcript(dir, client).await, &ours, &[]);
}

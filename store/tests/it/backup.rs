//! Backups of the real etcds and of ours: every revision that is held comes back as the source said it
//! was then, whatever has happened to whoever wrote the backup.

use std::path::Path;

use proto_etcd::etcdserverpb::HashKvRequest;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;

use super::harness::{Cluster, connect, etcdctl};
use super::load::*;

fn run(from: &str, dir: &Path, more: &[&str]) -> Vec<String> {
    let mut args = strings(&["backup", "run", "--endpoints", from, "--dir", &shown(dir)]);
    args.extend(strings(more));
    args
}

fn on(dir: &Path, command: &str) -> Vec<String> {
    strings(&["backup", command, "--dir", &shown(dir)])
}

/// Restores to a revision and starts a member: it shows what `then` is.
async fn comes_back(dir: &Path, at: i64, then: &(String, u32)) -> Cluster {
    let mut cluster = Cluster::seats(1, &["--bcrypt-cost=4"]);
    let mut args = on(dir, "restore");
    args.push(format!("--revision={at}"));
    args.extend(member_flags(&cluster));
    etcdutl(&args).await;
    cluster.restart_all().await;
    let to = cluster.endpoint(0);
    assert_eq!(revision(&to).await, at);
    let found = seen(&to, 0).await;
    assert!(found.0 == then.0, "other keys at revision {at}");
    assert_eq!(found.1, then.1, "another hash at revision {at}");
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_comes_back() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        let dir = tempfile::tempdir().unwrap();
        rounds(&from, 0..3).await;
        let first = revision(&from).await;
        etcdutl(&run(&from, dir.path(), &["--once"])).await;
        rounds(&from, 3..6).await;
        etcdutl(&run(&from, dir.path(), &["--once"])).await;
        // A run that is killed, whenever, and one that goes on behind it.
        let load = Load::start(from.clone(), 6);
        for _ in 0..3 {
            let mut tool = Tool::start(&run(&from, dir.path(), &["--interval=10ms"]));
            tool.says("goes on with the backup").await;
            let held = revision(&from).await;
            let moves = testkit::poll(20, "load", async || {
                let now = revision(&from).await;
                if now > held + 60 {
                    Ok(())
                } else {
                    Err(format!("{now}"))
                }
            });
            moves.await.unwrap();
            tool.kill().await;
        }
        let mut tool = Tool::start(&run(&from, dir.path(), &[]));
        tool.says("goes on with the backup").await;
        load.stop().await;
        let last = revision(&from).await;
        let (out, _) = etcdutl_when_free(&mut Some(tool), &from, dir.path()).await;
        let words = format!("base 1: revisions {first} to {last} are held\n");
        assert_eq!(out, words, "{name}");
        let (out, _) = etcdutl(&on(dir.path(), "verify")).await;
        let words = format!("base 1: good, revisions {first} to {last}, ");
        assert!(out.starts_with(&words), "{name}: {out}");
        for at in [first, first + 1, first + 33, (first + last) / 2, last] {
            let cluster = comes_back(dir.path(), at, &seen(&from, at).await).await;
            if at == last {
                assert_eq!(leases(&from).await, leases(&cluster.endpoint(0)).await);
            }
        }
        let mut args = on(dir.path(), "restore");
        args.push(format!("--revision={}", last + 1));
        args.extend(member_flags(&Cluster::seats(1, &[])));
        let said = refused(&args).await;
        assert!(said.contains("is not held: held are "), "{said}");
    }
}

/// Ends a run in order, and lets another one see that nothing is left to do.
async fn etcdutl_when_free(tool: &mut Option<Tool>, from: &str, dir: &Path) -> (String, String) {
    let said = refused(&run(from, dir, &["--once"])).await;
    assert!(said.contains("in use by another process"), "{said}");
    let tool = tool.take().unwrap();
    tool.terminate();
    let (ok, out, said) = tool.end().await;
    assert!(ok, "{out}{said}");
    etcdutl(&run(from, dir, &["--once"])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_base_is_taken_where_the_changes_do_not_reach() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        let dir = tempfile::tempdir().unwrap();
        rounds(&from, 0..2).await;
        etcdutl(&run(&from, dir.path(), &["--once"])).await;
        rounds(&from, 2..4).await;
        let compacted = revision(&from).await;
        let then = seen(&from, compacted).await.0;
        let (ok, ..) = etcdctl(&from, &["compact", &compacted.to_string()], "").await;
        assert!(ok);
        let (out, said) = etcdutl(&run(&from, dir.path(), &["--once"])).await;
        assert!(
            said.contains("has compacted up to revision"),
            "{name}: {said}"
        );
        let words = format!("base 2: revisions {compacted} to {compacted} are held\n");
        assert_eq!(out, words, "{name}");
        // Users are in bases alone.
        let (ok, ..) = etcdctl(&from, &["role", "add", "new"], "").await;
        assert!(ok);
        rounds(&from, 4..5).await;
        let (_, said) = etcdutl(&run(&from, dir.path(), &["--once"])).await;
        assert!(
            said.contains("users or roles have changed"),
            "{name}: {said}"
        );
        let (out, _) = etcdutl(&on(dir.path(), "verify")).await;
        assert_eq!(out.lines().count(), 3, "{out}");
        let hash = MaintenanceClient::new(connect(&from).await)
            .hash_kv(HashKvRequest { revision: 0 })
            .await;
        let hash = hash.unwrap().into_inner().hash;
        let now = revision(&from).await;
        let cluster = comes_back(dir.path(), now, &(seen(&from, 0).await.0, hash)).await;
        let roles = cluster.etcdctl(0, &["role", "list"]).await;
        assert!(roles.contains("new"), "{name}: {roles}");
        // One before the newest base, from the base before it.
        let mut cluster = Cluster::seats(1, &[]);
        let mut args = on(dir.path(), "restore");
        args.push(format!("--revision={compacted}"));
        args.extend(member_flags(&cluster));
        etcdutl(&args).await;
        cluster.restart_all().await;
        assert_eq!(seen(&cluster.endpoint(0), 0).await.0, then);
        // What is not kept goes, with its files.
        let more = ["--once", "--new-base", "--keep=1"];
        let (out, _) = etcdutl(&run(&from, dir.path(), &more)).await;
        assert!(out.starts_with("base 4: "), "{name}: {out}");
        let files = std::fs::read_dir(dir.path()).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        files.retain(|file| file.to_string_lossy().starts_with(['b', 'c']));
        assert!(files.len() <= 2, "{name}: {files:?}");
        etcdutl(&on(dir.path(), "verify")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_backup_of_the_source_is_refused() {
    let first = Cluster::start(1).await;
    let second = Cluster::start(1).await;
    first.put(0, "a", "1").await;
    let dir = tempfile::tempdir().unwrap();
    etcdutl(&run(&first.endpoint(0), dir.path(), &["--once"])).await;
    let said = refused(&run(&second.endpoint(0), dir.path(), &["--once"])).await;
    assert!(said.contains("give each cluster its own --dir"), "{said}");
    let stray = tempfile::tempdir().unwrap();
    std::fs::write(stray.path().join("diary"), "x").unwrap();
    let said = refused(&run(&first.endpoint(0), stray.path(), &["--once"])).await;
    assert!(said.contains("neither empty nor a backup"), "{said}");
    let said = refused(&on(stray.path(), "list")).await;
    assert!(said.contains("holds no backup"), "{said}");
    // A flipped bit, found by the next run as well.
    first.put(0, "a", "2").await;
    etcdutl(&run(&first.endpoint(0), dir.path(), &["--once"])).await;
    let files = std::fs::read_dir(dir.path()).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let changes = files.find(|path| shown(path).contains("changes-")).unwrap();
    let mut bytes = std::fs::read(&changes).unwrap();
    bytes[60] ^= 4;
    std::fs::write(&changes, bytes).unwrap();
    for args in [
        run(&first.endpoint(0), dir.path(), &["--once"]),
        on(dir.path(), "verify"),
    ] {
        let said = refused(&args).await;
        let named = format!("{} is damaged at byte 36", shown(&changes));
        assert!(
            said.contains(&named) && said.contains("revisions 2 to 2"),
            "{said}"
        );
    }
    etcdutl(&run(
        &first.endpoint(0),
        dir.path(),
        &["--once", "--new-base"],
    ))
    .await;
}

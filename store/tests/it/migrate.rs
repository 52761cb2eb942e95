//! A running etcd moves into a folder of ours while it is written to, and the member that starts from
//! the folder has everything at the same revisions: from the real etcds and from ours.

use super::harness::{Cluster, etcdctl, free_port};
use super::load::*;
use super::tls::{self, Authority};

fn migrate(from: &str, cluster: &Cluster, more: &[&str]) -> Vec<String> {
    let mut args = strings(&["migrate", "--from", from]);
    args.extend(member_flags(cluster));
    args.extend(strings(more));
    args
}

/// Both show the same now, down to the hash of the whole history.
async fn same(from: &str, to: &str) {
    assert_eq!(revision(from).await, revision(to).await);
    let (before, after) = (seen(from, 0).await, seen(to, 0).await);
    assert!(before.0 == after.0, "keys differ");
    assert_eq!(before.1, after.1, "hashes differ");
    assert_eq!(leases(from).await, leases(to).await);
}

async fn run(endpoint: &str, command: &str) {
    let args: Vec<&str> = command.split(' ').collect();
    let (ok, out, err) = etcdctl(endpoint, &args, "").await;
    assert!(ok, "etcdctl {command}: {out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_is_written_to_moves_in() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        rounds(&from, 0..5).await;
        let load = Load::start(from.clone(), 5);
        let mut cluster = Cluster::seats(1, &[]);
        let held = revision(&from).await;
        let mut tool = Tool::start(&migrate(&from, &cluster, &[]));
        tool.says("took the snapshot over").await;
        let begun = revision(&from).await;
        let moves = testkit::poll(20, "load", async || {
            let now = revision(&from).await;
            if now > begun + 100 {
                Ok(())
            } else {
                Err(format!("{now}"))
            }
        });
        moves.await.unwrap();
        // Its history is cut while it is followed, no further than the tool is sure to be.
        run(&from, &format!("compact {held}")).await;
        is_no_member_in_use(&cluster).await;
        load.stop().await;
        tool.terminate();
        let (ok, out, said) = tool.end().await;
        assert!(ok && out.starts_with("equal: "), "{name}: {out}{said}");
        assert!(out.contains("the source is there, too"), "{name}: {out}");
        cluster.restart_all().await;
        let to = cluster.endpoint(0);
        same(&from, &to).await;
        // Both go on alike.
        rounds(&from, 1_000..1_003).await;
        rounds(&to, 1_000..1_003).await;
        same(&from, &to).await;
    }
}

/// While it is made, nobody else gets the folder.
async fn is_no_member_in_use(cluster: &Cluster) {
    let config = cluster.config(0, "new", &[]);
    let error = store::server::Store::build(config).await.err().unwrap();
    let text = base::report(&error).to_string();
    assert!(text.contains("in use by another process"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_leaves_no_member_and_goes_on() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        rounds(&from, 0..3).await;
        let load = Load::start(from.clone(), 3);
        let mut cluster = Cluster::seats(1, &[]);
        let args = migrate(&from, &cluster, &[]);
        // Whenever it dies: before the snapshot is there, and while following.
        for words in ["takes a snapshot", "took the snapshot over", "lag="] {
            let mut tool = Tool::start(&args);
            tool.says(words).await;
            tool.kill().await;
            is_no_member(&cluster).await;
        }
        load.stop().await;
        let args = migrate(&from, &cluster, &["--until-synced"]);
        let (out, said) = etcdutl(&args).await;
        assert!(out.starts_with("equal: "), "{name}: {out}");
        assert!(
            said.contains("goes on with the migration"),
            "{name}: {said}"
        );
        cluster.restart_all().await;
        same(&from, &cluster.endpoint(0)).await;
        // A member is nothing to move into.
        cluster.stop(0).await;
        let said = refused(&args).await;
        assert!(said.contains("not empty or could not be read"), "{said}");
        cluster.restart_all().await;
        same(&from, &cluster.endpoint(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_the_revision_that_it_was_told() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        rounds(&from, 0..2).await;
        let wanted = revision(&from).await + 40;
        let flag = format!("--until-revision={wanted}");
        let mut cluster = Cluster::seats(1, &[]);
        let mut tool = Tool::start(&migrate(&from, &cluster, &[&flag]));
        tool.says("following").await;
        rounds(&from, 2..6).await;
        let (ok, out, said) = tool.end().await;
        assert!(ok, "{name}: {out}{said}");
        let words = format!("up to revision {wanted} ");
        assert!(out.contains(&words), "{name}: {out}");
        cluster.restart_all().await;
        let to = cluster.endpoint(0);
        assert_eq!(revision(&to).await, wanted);
        let (before, after) = (seen(&from, wanted).await, seen(&to, wanted).await);
        assert!(before == after, "{name}: {} {}", before.1, after.1);

        let other = Cluster::seats(1, &[]);
        let args = migrate(&from, &other, &["--until-revision=3"]);
        let said = refused(&args).await;
        assert!(
            said.contains("--until-revision=3: the source's snapshot is at"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_along_and_a_change_of_them_is_not_missed() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        rounds(&from, 0..2).await;
        for command in [
            "user add root:rpw",
            "role add root",
            "user grant-role root root",
            "user add ann:old",
            "auth enable",
        ] {
            if command == "role add root" {
                // Some have it already.
                let _ = etcdctl(&from, &["role", "add", "root"], "").await;
                continue;
            }
            run(&from, command).await;
        }
        let mut cluster = Cluster::seats(1, &["--bcrypt-cost=4"]);
        let args = migrate(&from, &cluster, &["--user=root"]);
        let said = refused(&args).await;
        assert!(said.contains("has no password"), "{said}");
        let args = migrate(&from, &cluster, &["--user=ann:old"]);
        let said = refused(&args).await;
        assert!(said.contains("permission denied"), "{said}");
        let mut tool = Tool::start(&migrate(&from, &cluster, &["--user=root:rpw"]));
        tool.says("following").await;
        let passwd = [
            "user",
            "passwd",
            "ann",
            "--interactive=false",
            "--user=root:rpw",
        ];
        let (ok, out, err) = etcdctl(&from, &passwd, "new\n").await;
        assert!(ok, "{out}{err}");
        tool.says("begins anew with another snapshot").await;
        tool.says_next("took the snapshot over").await;
        run(&from, "put a 1 --user=root:rpw").await;
        tool.terminate();
        let (ok, out, said) = tool.end().await;
        assert!(ok && out.starts_with("equal: "), "{name}: {out}{said}");
        cluster.restart_all().await;
        let to = cluster.endpoint(0);
        run(&to, "get a --user=root:rpw").await;
        let (ok, ..) = etcdctl(&to, &["role", "list", "--user=ann:old"], "").await;
        assert!(!ok, "{name}: the old password still works");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_behind_tls_moves_in() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (trusted, stranger) = (Authority::new(), Authority::new());
    trusted.write(dir, "server", &["127.0.0.1"]);
    trusted.write(dir, "client", &["client"]);
    std::fs::create_dir(dir.join("other")).unwrap();
    stranger.write(&dir.join("other"), "client", &["client"]);
    let (peer, client) = (free_port(), free_port());
    let cluster = format!("solo=https://127.0.0.1:{peer}");
    let _etcd = tokio::process::Command::new(testkit::peer("etcd").unwrap())
        .args(tls::flags(dir, "solo", peer, client, &cluster))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let from = format!("https://127.0.0.1:{client}");
    let by = |name: &str| {
        let flags = [
            ("cacert", "ca.crt"),
            ("cert", "client.crt"),
            ("key", "client.key"),
        ];
        flags.map(|(flag, file)| format!("--{flag}={}", tls::file(&dir.join(name), file)))
    };
    let target = Cluster::seats(1, &[]);
    let mut args = migrate(&from, &target, &["--until-synced"]);
    args.extend(by("."));
    let (out, _) = etcdutl(&args).await;
    assert!(out.starts_with("equal: "), "{out}");
    // One who trusts somebody else, and whom nobody trusts.
    let target = Cluster::seats(1, &[]);
    let mut args = migrate(&from, &target, &["--until-synced"]);
    args.extend(by("other"));
    let said = refused(&args).await;
    assert!(said.contains(&format!("ask 127.0.0.1:{client}")), "{said}");
    assert!(!data_dir(&target).exists());
}

/// Of a compaction at its newest revision etcd tells another hash than of the revision by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_source_that_is_compacted_at_its_end_moves_in() {
    for (name, origin) in origins().await {
        let from = origin.endpoint();
        rounds(&from, 0..2).await;
        let end = revision(&from).await;
        run(&from, &format!("compact --physical {end}")).await;
        let mut cluster = Cluster::seats(1, &[]);
        let wal_dir = format!("--wal-dir={}", cluster.dir().join("wal").display());
        let args = migrate(&from, &cluster, &["--until-synced", &wal_dir]);
        let (out, _) = etcdutl(&args).await;
        assert!(out.starts_with("equal: "), "{name}: {out}");
        assert!(out.contains(" --wal-dir "), "{name}: {out}");
        let config = cluster.config(0, "new", &[&wal_dir]);
        cluster.launch_config(0, config).await;
        cluster.wait_ready(0).await;
        same(&from, &cluster.endpoint(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_refused() {
    let cluster = Cluster::seats(3, &[]);
    let said = refused(&migrate("127.0.0.1:1", &cluster, &[])).await;
    assert!(said.contains("--initial-cluster names 3 members"), "{said}");
    assert!(!data_dir(&cluster).exists());
    let cluster = Cluster::seats(1, &[]);
    let none = ["--system-cacert=/none/ca.pem"];
    let said = refused(&migrate("https://127.0.0.1:1", &cluster, &none)).await;
    assert!(said.contains("/none/ca.pem"), "{said}");
    // A restore that did not finish is not ours to remove.
    std::fs::create_dir_all(data_dir(&cluster).join("member/state")).unwrap();
    std::fs::write(data_dir(&cluster).join("member/restoring"), "").unwrap();
    std::fs::write(data_dir(&cluster).join("member/state/CURRENT"), "x").unwrap();
    let origin = Cluster::start(1).await;
    let said = refused(&migrate(&origin.endpoint(0), &cluster, &[])).await;
    assert!(said.contains("not empty or could not be read"), "{said}");
    assert!(data_dir(&cluster).join("member/state/CURRENT").exists());
}

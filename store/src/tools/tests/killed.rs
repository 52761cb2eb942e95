//! Commands that die at any of their steps: no member starts from what they leave, and the same command
//! ends well afterwards. They die for real, in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base::{OnError, Tasks};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::{DeleteRangeRequest, PutRequest};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::super::{backup, folder, main_etcdutl};
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::server::Store;

/// The child's command, a word a line.
const CHILD_ARGS: &str = "KEELSON_TEST_ETCDUTL_ARGS";

const SNAPSHOT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/bolt/testdata/etcd-3.5.snapshot"
);

/// What a child does: the command that it was given.
#[test]
fn child() {
    if let Ok(args) = std::env::var(CHILD_ARGS) {
        let code = main_etcdutl(args.lines().map(str::to_owned).collect());
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// The exit code of a command; none if it died.
fn etcdutl(args: &[&str], failpoints: &str) -> Option<i32> {
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tools::tests::killed::child"])
        .env(CHILD_ARGS, args.join("\n"))
        .env("GOFAIL_FAILPOINTS", failpoints)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    ended.unwrap().code()
}

fn is_no_member(data_dir: &Path, place: &str) {
    let opened = DataDir::open(data_dir, None);
    assert!(
        matches!(opened, Err(DataDirError::HalfRestored(_))),
        "{place}: {opened:?}"
    );
}

#[test]
fn a_restore_that_dies_is_no_member() {
    for place in [
        "restore::begun",
        "restore::logged",
        "restore::imported",
        "restore::synced",
        "restore::identified",
    ] {
        for (action, code) in [("panic", None), ("return", Some(1))] {
            let dir = tempfile::tempdir().unwrap();
            let data_dir = dir.path().join("m");
            let flag = format!("--data-dir={}", data_dir.display());
            let args = ["snapshot", "restore", SNAPSHOT, &flag];
            assert_eq!(
                etcdutl(&args, &format!("{place}={action}")),
                code,
                "{place}"
            );
            is_no_member(&data_dir, place);
            // Nor is anything restored over it.
            assert_eq!(etcdutl(&args, ""), Some(1), "{place}");
            std::fs::remove_dir_all(&data_dir).unwrap();
            assert_eq!(etcdutl(&args, ""), Some(0), "{place}");
            let folder = folder::open(&data_dir, None, None).unwrap();
            assert_eq!(folder.view.revision(), 10);
        }
    }
}

/// A member to read from.
struct Origin {
    endpoint: String,
    stop: CancellationToken,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

impl Origin {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let flags = [
            "--name=solo".to_owned(),
            format!("--data-dir={at}/data"),
            format!("--listen-peer-urls=unix://{at}/peer"),
            "--initial-advertise-peer-urls=http://127.0.0.1:1".to_owned(),
            "--initial-cluster=solo=http://127.0.0.1:1".to_owned(),
            "--listen-client-urls=http://127.0.0.1:0".to_owned(),
            "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        ];
        let store = Store::build(Config::parse(&flags, []).unwrap())
            .await
            .unwrap();
        let (stop, tasks, handle) = (CancellationToken::new(), Tasks::new("test"), store.handle());
        let run = store.run(stop.clone());
        tasks.spawn("member", OnError::Log, async move {
            run.await.map_err(|error| base::report(&error).to_string())
        });
        assert!(handle.wait_ready().await);
        Self {
            endpoint: handle.client_addrs()[0].to_string(),
            stop,
            tasks,
            _dir: dir,
        }
    }

    /// Some puts and a deletion.
    async fn write(&self) {
        let channel = Channel::from_shared(format!("http://{}", self.endpoint)).unwrap();
        let mut kv = KvClient::new(channel.connect().await.unwrap());
        for number in 0..10 {
            let request = PutRequest {
                key: format!("k{number}").into(),
                value: "v".into(),
                ..Default::default()
            };
            kv.put(request).await.unwrap();
        }
        let request = DeleteRangeRequest {
            key: "k3".into(),
            range_end: "k5".into(),
            ..Default::default()
        };
        kv.delete_range(request).await.unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        assert!(self.tasks.shutdown(Duration::from_secs(20)).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_dies_is_no_member_and_ends_well() {
    let origin = Origin::start().await;
    origin.write().await;
    let (from, dir) = (origin.endpoint.clone(), tempfile::tempdir().unwrap());
    for place in [
        "restore::begun",
        "migrate::begun",
        "migrate::imported",
        "migrate::logged",
        "restore::synced",
        "restore::identified",
    ] {
        // Once from the beginning, and once behind what it has left.
        let data_dir = dir.path().join(place.replace(':', "-"));
        let flag = format!("--data-dir={}", data_dir.display());
        let args = ["migrate", "--from", &from, "--until-synced", &flag];
        let mut failpoints = vec!["panic", "return"];
        // A folder is begun once.
        failpoints.truncate(if place == "restore::begun" { 1 } else { 2 });
        for action in failpoints {
            let code = (action == "return").then_some(1);
            assert_eq!(
                etcdutl(&args, &format!("{place}={action}")),
                code,
                "{place}"
            );
            is_no_member(&data_dir, place);
            if place == "migrate::imported" {
                // It is past that place by now.
                break;
            }
        }
        origin.write().await;
        // What goes on has changes to apply; what begins anew has them in its snapshot.
        if !["restore::begun", "migrate::begun"].contains(&place) {
            let died = etcdutl(&args, "migrate::applied=panic");
            assert_eq!(died, None, "{place}");
            is_no_member(&data_dir, place);
        }
        assert_eq!(etcdutl(&args, ""), Some(0), "{place}");
        let folder = folder::open(&data_dir, None, None).unwrap();
        assert!(folder.view.leases().is_empty());
        assert!(
            super::all_at(&folder.view, 0).unwrap().len() == 8,
            "{place}"
        );
    }
    origin.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_dies_holds_what_it_held() {
    let origin = Origin::start().await;
    let dir = tempfile::tempdir().unwrap();
    let flag = format!("--dir={}", dir.path().display());
    let args = [
        "backup",
        "run",
        "--endpoints",
        &origin.endpoint,
        "--once",
        &flag,
    ];
    let mut anew = args.to_vec();
    anew.push("--new-base");
    for (place, args) in [
        ("backup::base_written", &args[..]),
        ("backup::manifest_written", &args),
        ("backup::manifest_written", &args),
        ("backup::block_written", &args),
        ("backup::block_written", &args),
        ("backup::base_written", &anew),
        ("backup::manifest_written", &anew),
    ] {
        origin.write().await;
        for (action, code) in [("panic", None), ("return", Some(1))] {
            origin.write().await;
            let failed = etcdutl(args, &format!("{place}={action}"));
            assert_eq!(failed, code, "{place}");
            if dir.path().join("MANIFEST").exists() {
                backup::verify(dir.path()).unwrap();
            }
        }
    }
    assert_eq!(etcdutl(&args, ""), Some(0));
    let told = backup::verify(dir.path()).unwrap();
    // 22 writes a round of two, seven rounds and the first of each.
    let last = 1 + 7 * 3 * 11;
    assert!(
        told.lines()
            .last()
            .unwrap()
            .contains(&format!(" to {last}, ")),
        "{told}"
    );
    origin.end().await;
}

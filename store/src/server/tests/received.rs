//! A snapshot of another member is taken over wholly or not at all: the process that receives one dies
//! at each step, and the same folder goes on to be a member that equals its leader.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base::{OnError, Tasks};
use proto_etcd::etcdserverpb::MemberAddRequest;
use proto_etcd::etcdserverpb::cluster_client::ClusterClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{HashKvRequest, RangeRequest};
use tonic::transport::Channel;

use super::super::{Handle, Store};
use super::put;
use crate::config::Config;

const DIR: &str = "KEELSON_TEST_RECEIVED_DIR";
const PORTS: &str = "KEELSON_TEST_RECEIVED_PORTS";
const PUTS: i64 = 60;
const SOON: u64 = 30;
/// The receiver was told to fail and did.
const FAILED: i32 = 3;

/// The leader is `a`, the receiver `b`.
fn config(dir: &Path, name: &str, ports: &[String]) -> Config {
    let [a, b] = ports else { unreachable!() };
    let url = |port: &str| format!("http://127.0.0.1:{port}");
    let (port, state, cluster) = match name {
        "a" => (a, "new", format!("a={}", url(a))),
        _ => (b, "existing", format!("a={},b={}", url(a), url(b))),
    };
    let flags = [
        format!("--name={name}"),
        format!("--data-dir={}", dir.join(name).display()),
        format!("--listen-peer-urls={}", url(port)),
        format!("--initial-advertise-peer-urls={}", url(port)),
        format!("--initial-cluster={cluster}"),
        format!("--initial-cluster-state={state}"),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        // The log is cut, so that a newcomer needs a snapshot.
        "--snapshot-count=10".to_owned(),
        "--snapshot-catchup-entries=2".to_owned(),
    ];
    Config::parse(&flags, []).unwrap()
}

async fn start(tasks: &Tasks, config: Config) -> Handle {
    let store = Store::build(config).await.unwrap();
    let handle = store.handle();
    let run = store.run(tasks.stop().clone());
    tasks.spawn("member", OnError::Log, async move {
        let ended = run.await;
        // The parent planted it; everything else shows by what is missing then.
        if ended.is_err() {
            std::process::exit(FAILED);
        }
        ended
    });
    handle
}

async fn connect(handle: &Handle) -> Channel {
    assert!(handle.wait_ready().await);
    let address = handle.client_addrs()[0];
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    channel.connect().await.unwrap()
}

/// What the receiver is to get, and its seat.
async fn fill(leader: Channel, port: &str) {
    let mut kv = KvClient::new(leader.clone());
    for number in 1..=PUTS {
        let request = put(format!("key/{number}"), "v".into());
        kv.put(request).await.unwrap();
    }
    let request = MemberAddRequest {
        peer_ur_ls: vec![format!("http://127.0.0.1:{port}")],
        is_learner: false,
    };
    let mut cluster = ClusterClient::new(leader);
    cluster.member_add(request).await.unwrap();
}

/// A life of both members in this process.
async fn child(dir: &Path, ports: &[String]) {
    let tasks = Tasks::new("test");
    let is_first = !dir.join("a").exists();
    let leader = start(&tasks, config(dir, "a", ports)).await;
    if is_first {
        fill(connect(&leader).await, &ports[1]).await;
    }
    let receiver = start(&tasks, config(dir, "b", ports)).await;
    let (a, b) = (connect(&leader).await, connect(&receiver).await);
    let request = RangeRequest {
        key: "key/".into(),
        range_end: "key0".into(),
        count_only: true,
        ..Default::default()
    };
    let count = KvClient::new(b.clone()).range(request).await.unwrap();
    assert_eq!(count.into_inner().count, PUTS);
    let revision = 1 + PUTS;
    let mut hashes = Vec::new();
    for channel in [a, b] {
        let request = HashKvRequest { revision };
        let answer = MaintenanceClient::new(channel).hash_kv(request).await;
        hashes.push(answer.unwrap().into_inner().hash);
    }
    assert_eq!(hashes[0], hashes[1]);
    tasks.shutdown(Duration::from_secs(SOON)).await;
}

/// Exit code; none if it was killed.
fn run_child(dir: &Path, ports: &str, failpoints: Option<&str>) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "server::tests::received::a_receiver_may_die_at_every_step",
        ])
        .env(DIR, dir)
        .env(PORTS, ports)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(failpoints) = failpoints {
        command.env("GOFAIL_FAILPOINTS", failpoints);
    }
    let mut child = command.spawn().unwrap();
    let is_over = || matches!(child.try_wait(), Ok(Some(_)) | Err(_));
    if !testkit::poll_blocking(2 * SOON, is_over) {
        child.kill().unwrap();
        panic!("it goes on: {failpoints:?}");
    }
    child.wait().unwrap().code()
}

#[test]
fn a_receiver_may_die_at_every_step() {
    if let Some(dir) = std::env::var_os(DIR) {
        let ports = std::env::var(PORTS).unwrap();
        let ports: Vec<String> = ports.split(',').map(str::to_owned).collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(child(Path::new(&dir), &ports));
        return;
    }
    let places = [
        ("raftBeforeSaveSnap", "panic", None),
        ("raftAfterSaveSnap", "panic", None),
        ("raftBeforeApplySnap", "panic", None),
        ("applyBeforeOpenSnapshot", "panic", None),
        (
            "applyBeforeOpenSnapshot",
            "return(\"planted\")",
            Some(FAILED),
        ),
        ("raftAfterApplySnap", "panic", None),
    ];
    for (place, action, code) in places {
        let dir = tempfile::tempdir().unwrap();
        let ports = [0; 2].map(|_| base::ports::free_one().unwrap().to_string());
        let (failpoints, ports) = (format!("{place}={action}"), ports.join(","));
        let died = run_child(dir.path(), &ports, Some(&failpoints));
        assert_eq!(died, code, "{failpoints}");
        let after = run_child(dir.path(), &ports, None);
        assert_eq!(after, Some(0), "{failpoints}");
    }
}

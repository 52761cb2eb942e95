//! A whole member, with its real log and RocksDB, in a process of its own.
//!
//! It dies at every step that a crash could leave half done, and is started again: what was acknowledged
//! is there, every write was applied once, and neither the revision nor the compaction goes back. And it
//! is told to end at any moment of its life, and ends in order.

mod received;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    CompactionRequest, DefragmentRequest, HashKvRequest, PutRequest, RangeRequest,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{Store, main_store};
use crate::config::Config;

const CHILD_DIR: &str = "KEELSON_TEST_STORE_DIR";
const CHILD_TASK: &str = "KEELSON_TEST_STORE_TASK";
/// A life takes a second or two.
const LIFE_MAX: Duration = Duration::from_secs(60);
/// Puts of one life that does not die.
const PUTS: i64 = 150;

fn flags(dir: &Path) -> Vec<String> {
    let dir = dir.display();
    [
        "--name=solo".to_owned(),
        format!("--data-dir={dir}/data"),
        format!("--listen-peer-urls=unix://{dir}/peer"),
        "--initial-advertise-peer-urls=http://127.0.0.1:1".to_owned(),
        "--initial-cluster=solo=http://127.0.0.1:1".to_owned(),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        // The state is flushed and the log purged several times in one life.
        "--snapshot-count=40".to_owned(),
        "--snapshot-catchup-entries=5".to_owned(),
    ]
    .to_vec()
}

fn put(key: String, value: String) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    }
}

/// Where a member stands, as a client sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Keys `key/1` to this one are there, and no other.
    keys: i64,
    /// How often the counter was put.
    counter: i64,
    revision: i64,
    compacted: i64,
}

async fn look(channel: &Channel) -> Found {
    let mut kv = KvClient::new(channel.clone());
    let request = RangeRequest {
        key: "key/".into(),
        range_end: "key0".into(),
        ..Default::default()
    };
    let answer = kv.range(request).await.unwrap().into_inner();
    let mut numbers: Vec<i64> = answer
        .kvs
        .iter()
        .map(|kv| String::from_utf8_lossy(&kv.key[4..]).parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=answer.count), "{numbers:?}");
    assert!(answer.kvs.iter().all(|kv| kv.version == 1));
    let request = RangeRequest {
        key: "counter".into(),
        ..Default::default()
    };
    let counter = kv.range(request).await.unwrap().into_inner();
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let hash = maintenance.hash_kv(HashKvRequest::default()).await.unwrap();
    Found {
        keys: answer.count,
        counter: counter.kvs.first().map_or(0, |kv| kv.version),
        revision: answer.header.unwrap().revision,
        compacted: hash.into_inner().compact_revision,
    }
}

/// Puts a key and the counter in turn, says so, and sometimes compacts; until this process dies.
async fn write(channel: &Channel, from: Found) -> Result<(), tonic::Status> {
    let mut kv = KvClient::new(channel.clone());
    let mut maintenance = MaintenanceClient::new(channel.clone());
    for number in from.keys + 1..=from.keys + PUTS {
        kv.put(put(format!("key/{number}"), format!("{number}")))
            .await?;
        let answer = kv.put(put("counter".into(), format!("{number}"))).await?;
        let revision = answer.into_inner().header.unwrap().revision;
        say(&format!("acked {number} {revision} 0"));
        if number % 10 == 0 {
            let compaction = CompactionRequest {
                revision: revision - 5,
                physical: true,
            };
            kv.compact(compaction).await?;
            say(&format!("acked {number} {revision} {}", revision - 5));
        }
        if number % 30 == 0 {
            maintenance.defragment(DefragmentRequest {}).await?;
        }
    }
    Ok(())
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "\n{line}").unwrap();
}

/// The life of a member in a process of its own. Exit codes: 4 it was never killed, 3 it refused.
async fn child(dir: &Path) -> i32 {
    let config = Config::parse(&flags(dir), []).unwrap();
    let Ok(store) = Store::build(config).await else {
        return 3;
    };
    let (stop, handle) = (CancellationToken::new(), store.handle());
    let is_writing = std::env::var_os(CHILD_TASK).is_some();
    let work = async {
        if !handle.wait_ready().await {
            return 3;
        }
        let address = handle.client_addrs()[0];
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        let found = look(&channel).await;
        say(&format!(
            "found {} {} {} {}",
            found.keys, found.counter, found.revision, found.compacted
        ));
        let code = match is_writing {
            true if write(&channel, found).await.is_err() => 3,
            true => 4,
            false => 0,
        };
        stop.cancel();
        code
    };
    let (code, ended) = tokio::join!(work, store.run(stop.clone()));
    if ended.is_err() { 3 } else { code }
}

/// What a child said last, and its exit code.
#[derive(Debug, Default)]
struct Told {
    found: Found,
    acked: Found,
    code: Option<i32>,
}

fn run_child(dir: &Path, failpoints: Option<&str>) -> Told {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "server::tests::survives_death_at_every_step",
            "--nocapture",
        ])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(failpoints) = failpoints {
        command
            .env(CHILD_TASK, "write")
            .env("GOFAIL_FAILPOINTS", failpoints);
    }
    let mut child = command.spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let (ended, waits) = channel::<()>();
    // One that neither dies nor ends must not hold up whoever waits for these tests.
    let watchdog = std::thread::spawn(move || {
        let is_stuck = waits.recv_timeout(LIFE_MAX) == Err(RecvTimeoutError::Timeout);
        if is_stuck {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        is_stuck
    });
    let mut told = Told::default();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap_or_default();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| {
            words
                .get(at)
                .and_then(|word| word.parse().ok())
                .unwrap_or(0)
        };
        match words.first() {
            Some(&"found") => {
                told.found = Found {
                    keys: number(1),
                    counter: number(2),
                    revision: number(3),
                    compacted: number(4),
                };
            }
            Some(&"acked") => {
                told.acked.keys = number(1);
                told.acked.revision = number(2);
                told.acked.compacted = told.acked.compacted.max(number(3));
            }
            _ => {}
        }
    }
    drop(ended);
    assert!(
        !watchdog.join().unwrap(),
        "it goes on: {failpoints:?} {told:?}"
    );
    told.code = child.wait().unwrap().code();
    told
}

#[test]
fn survives_death_at_every_step() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let code = runtime.block_on(child(Path::new(&dir)));
        drop(runtime);
        std::process::exit(code);
    }
    // How often a place is passed before it kills: late enough for something to be acknowledged.
    let places = [
        ("raftBeforeSave", 60),
        ("log::after_write", 60),
        ("raftAfterSave", 60),
        ("raftAfterWALRelease", 1),
        ("commitBeforePreCommitHook", 60),
        ("commitAfterPreCommitHook", 60),
        ("beforeCommit", 60),
        ("afterCommit", 60),
        ("beforeWritebackBuf", 60),
        ("afterWritebackBuf", 60),
        ("compactBeforeCommitScheduledCompact", 2),
        ("compactAfterCommitScheduledCompact", 2),
        ("compactBeforeCommitBatch", 2),
        ("compactAfterCommitBatch", 2),
        ("compactBeforeSetFinishedCompact", 2),
        ("compactAfterSetFinishedCompact", 2),
        ("defragBeforeCopy", 1),
    ];
    let dir = tempfile::tempdir().unwrap();
    let mut before = Found {
        revision: 1,
        compacted: -1,
        ..Found::default()
    };
    for (place, passes) in places {
        for (action, code) in [("panic", None), ("return(\"planted\")", Some(3))] {
            let failpoints = format!("{place}={passes}*off->{action}");
            let told = run_child(dir.path(), Some(&failpoints));
            assert_eq!(told.code, code, "{failpoints}: {told:?}");
            assert!(told.acked.keys > before.keys, "{failpoints}: {told:?}");
            let after = run_child(dir.path(), None);
            assert_eq!(after.code, Some(0), "{failpoints}: {after:?}");
            check(&failpoints, &before, &told, &after.found);
            before = after.found;
        }
    }
}

fn check(failpoints: &str, before: &Found, told: &Told, after: &Found) {
    let text = format!("{failpoints}: {before:?}, {told:?}, {after:?}");
    assert_eq!(told.found, *before, "{text}");
    assert!(after.keys >= told.acked.keys, "lost a key: {text}");
    // A key and the counter are put in turn: each life may end between the two.
    let ahead = |found: &Found| found.keys - found.counter;
    assert!(
        (ahead(before)..=ahead(before) + 1).contains(&ahead(after)),
        "lost or repeated a put: {text}"
    );
    assert!(after.revision >= told.acked.revision, "{text}");
    assert_eq!(after.revision, 1 + after.keys + after.counter, "{text}");
    assert!(after.compacted >= told.acked.compacted, "{text}");
    assert!(after.compacted >= before.compacted, "{text}");
}

/// Moments after the start at which the member is told to end, in milliseconds.
const MOMENTS_MS: [u64; 12] = [0, 3, 6, 12, 25, 50, 75, 100, 150, 300, 600, 1200];

/// RocksDB is closed before the process is: or its threads find their own locks destroyed, and the
/// process is aborted in the middle of an orderly end.
#[test]
fn ends_in_order_at_any_moment() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        let code = main_store(flags(Path::new(&dir)));
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
        return;
    }
    for moment in MOMENTS_MS {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::tests::ends_in_order_at_any_moment"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        // From the first word on the member listens for signals, or is about to.
        said.extend(lines.next().and_then(Result::ok));
        std::thread::sleep(Duration::from_millis(moment));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        lines.map_while(Result::ok).for_each(|line| {
            said.push('\n');
            said.push_str(&line);
        });
        let status = child.wait().unwrap();
        let was_too_early = status.signal() == Some(15) && !said.contains("received signal");
        assert!(
            status.success() || was_too_early,
            "after {moment} ms: {status}: {said}"
        );
        assert!(!said.contains("pthread"), "after {moment} ms: {said}");
    }
}

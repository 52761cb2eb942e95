//! Writers that never pause, the tool under test as a process of its own, and everything that a client
//! can see of a state, to be compared.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::harness::{Cluster, SOON, connect};
use super::real::{RealEtcd, real_etcds};

/// Something to read from: a real etcd, or a member of ours.
pub(crate) enum Origin {
    Real(RealEtcd),
    Ours(Cluster),
}

impl Origin {
    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Real(real) => real.endpoint.clone(),
            Self::Ours(cluster) => cluster.endpoint(0),
        }
    }
}

/// The real etcds, and ours. By name.
pub(crate) async fn origins() -> Vec<(&'static str, Origin)> {
    let flag = ["--bcrypt-cost=4"];
    let mut origins: Vec<_> = real_etcds(&flag)
        .await
        .into_iter()
        .map(|(name, real)| (name, Origin::Real(real)))
        .collect();
    origins.push(("ours", Origin::Ours(Cluster::start_with(1, &flag).await)));
    origins
}

fn put(key: String, value: String, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        ..Default::default()
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

/// One round of everything that changes keys; several changes in one revision among them.
async fn round(endpoint: &str, number: i64) {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone());
    let mut leases = LeaseClient::new(channel);
    for step in 0..20 {
        let key = format!("k/{}", (number * 7 + step) % 50);
        kv.put(put(key, format!("{number}-{step}"), 0))
            .await
            .unwrap();
    }
    let id = 1_000 + number;
    let grant = LeaseGrantRequest {
        ttl: 3_000 + number,
        id,
    };
    leases.lease_grant(grant).await.unwrap();
    for step in 0..3 {
        let key = format!("leased/{number}/{step}");
        kv.put(put(key, "x".repeat(3_000), id)).await.unwrap();
    }
    let delete = |key: &str, range_end: &str| DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        ..Default::default()
    };
    let txn = TxnRequest {
        success: vec![
            op(Request::RequestPut(put(
                format!("t/{number}/a"),
                "1".into(),
                0,
            ))),
            op(Request::RequestDeleteRange(delete("k/1", "k/3"))),
            op(Request::RequestPut(put(
                format!("t/{number}/b"),
                "2".into(),
                id,
            ))),
        ],
        ..Default::default()
    };
    kv.txn(txn).await.unwrap();
    if number % 3 == 0 {
        // Its keys go in one revision.
        leases
            .lease_revoke(LeaseRevokeRequest { id })
            .await
            .unwrap();
    }
    // And one that nobody writes with.
    let grant = LeaseGrantRequest {
        ttl: 9_000,
        id: 500_000 + number,
    };
    leases.lease_grant(grant).await.unwrap();
}

/// Rounds without a pause, until told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<i64>,
}

impl Load {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test owns it, and waits for it"
    )]
    pub(crate) fn start(endpoint: String, first: i64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let task = tokio::spawn(async move {
            let mut number = first;
            while !told.load(Ordering::Relaxed) {
                round(&endpoint, number).await;
                number += 1;
            }
            number
        });
        Self { stop, task }
    }

    /// The number of the next round.
    pub(crate) async fn stop(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

pub(crate) async fn rounds(endpoint: &str, numbers: std::ops::Range<i64>) {
    for number in numbers {
        round(endpoint, number).await;
    }
}

/// `keelson etcdutl` as a process.
pub(crate) struct Tool {
    child: tokio::process::Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<String>,
    said: Vec<String>,
}

impl Tool {
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the process it reads from"
    )]
    pub(crate) fn start(args: &[String]) -> Self {
        let mut child = tokio::process::Command::new(testkit::keelson().unwrap())
            .arg("etcdutl")
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, lines) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                let _ = tell.send(line);
            }
        });
        Self {
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits until it has said `words`.
    pub(crate) async fn says(&mut self, words: &str) {
        if self.said.iter().any(|line| line.contains(words)) {
            return;
        }
        self.says_next(words).await;
    }

    /// Waits until it says `words` after all that was waited for before.
    pub(crate) async fn says_next(&mut self, words: &str) {
        let found = tokio::time::timeout(Duration::from_secs(SOON), async {
            while let Some(line) = self.lines.recv().await {
                let is_it = line.contains(words);
                self.said.push(line);
                if is_it {
                    return true;
                }
            }
            false
        });
        let found = found.await;
        assert_eq!(found, Ok(true), "never said {words:?}: {:#?}", self.said);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = rustix::process::Pid::from_raw(id.unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub(crate) async fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().await.unwrap();
    }

    /// Waits for its end: whether it succeeded, its last words, and what it said before.
    pub(crate) async fn end(mut self) -> (bool, String, String) {
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(3 * SOON), async {
            stdout.read_to_string(&mut out).await.unwrap();
            self.child.wait().await.unwrap()
        });
        let Ok(ended) = ended.await else {
            while let Ok(line) = self.lines.try_recv() {
                self.said.push(line);
            }
            panic!("it goes on: {:#?}", self.said);
        };
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        (ended.success(), out, self.said.join("\n"))
    }
}

/// Runs `etcdutl` to its end; it must succeed.
pub(crate) async fn etcdutl(args: &[String]) -> (String, String) {
    let (ok, out, said) = Tool::start(args).end().await;
    assert!(ok, "etcdutl {args:?}: {out}{said}");
    (out, said)
}

/// The same; it must fail. What it said.
pub(crate) async fn refused(args: &[String]) -> String {
    let (ok, out, said) = Tool::start(args).end().await;
    assert!(!ok, "etcdutl {args:?}: {out}{said}");
    said
}

/// Flags of a member of `cluster`, as far as the tools have them.
pub(crate) fn member_flags(cluster: &Cluster) -> Vec<String> {
    let flags = cluster.flags(0, "new").into_iter();
    let wanted = [
        "--name",
        "--data-dir",
        "--initial-cluster=",
        "--initial-advertise",
    ];
    flags
        .filter(|flag| wanted.iter().any(|wanted| flag.starts_with(wanted)))
        .collect()
}

/// The folder that those flags name.
pub(crate) fn data_dir(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("m0")
}

pub(crate) fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// Everything as it was at a revision (0: now): keys with all their numbers, and the hash.
pub(crate) async fn seen(endpoint: &str, revision: i64) -> (String, u32) {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let all = RangeRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        revision,
        ..Default::default()
    };
    let kvs = kv.range(all).await.unwrap().into_inner().kvs;
    let mut maintenance = MaintenanceClient::new(channel);
    let hash = maintenance.hash_kv(HashKvRequest { revision }).await;
    (format!("{kvs:?}"), hash.unwrap().into_inner().hash)
}

/// The newest revision.
pub(crate) async fn revision(endpoint: &str) -> i64 {
    let mut kv = KvClient::new(connect(endpoint).await);
    let request = RangeRequest {
        key: "none".into(),
        ..Default::default()
    };
    let answer = kv.range(request).await.unwrap().into_inner();
    answer.header.unwrap().revision
}

/// Every lease with what it was granted and its keys.
pub(crate) async fn leases(endpoint: &str) -> Vec<String> {
    let mut client = LeaseClient::new(connect(endpoint).await);
    let listed = client.lease_leases(LeaseLeasesRequest {}).await.unwrap();
    let mut found = Vec::new();
    for lease in listed.into_inner().leases {
        let request = LeaseTimeToLiveRequest {
            id: lease.id,
            keys: true,
        };
        let lease = client
            .lease_time_to_live(request)
            .await
            .unwrap()
            .into_inner();
        let mut keys = lease.keys;
        keys.sort();
        found.push(format!("{}: {} {keys:?}", lease.id, lease.granted_ttl));
    }
    found.sort();
    found
}

/// Nobody can start a member from the folder by mistake.
pub(crate) async fn is_no_member(cluster: &Cluster) {
    let config = cluster.config(0, "new", &[]);
    let error = store::server::Store::build(config).await.err().unwrap();
    let text = base::report(&error).to_string();
    assert!(text.contains("did not finish"), "{text}");
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

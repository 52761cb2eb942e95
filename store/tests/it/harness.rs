//! Starts members in this process and drives them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{OnError, Tasks};
use parking_lot::Mutex;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::{PutRequest, RangeRequest};
use store::config::Config;
use store::server::{Handle, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// How long anything may take that should happen at once.
pub(crate) const SOON: u64 = 20;

/// A running member.
struct Running {
    stop: CancellationToken,
    tasks: Tasks,
    handle: Handle,
    outcome: Outcome,
}

/// What a member ended by, once it has.
type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

/// One seat of a cluster; empty while its member is stopped.
struct Seat {
    name: String,
    peer: u16,
    client: u16,
    running: Option<Running>,
}

/// A cluster of members, by number.
pub(crate) struct Cluster {
    dir: TempDir,
    seats: Vec<Seat>,
    extra: Vec<String>,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    base::ports::free_one().unwrap()
}

impl Drop for Cluster {
    /// Ends what still runs: a store that closes while the process exits finds RocksDB's own state gone.
    fn drop(&mut self) {
        let seats = self.seats.iter_mut();
        let running: Vec<_> = seats.filter_map(|seat| seat.running.take()).collect();
        for member in &running {
            member.stop.cancel();
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for member in &running {
                    member.tasks.shutdown(Duration::from_secs(SOON)).await;
                }
            });
        });
    }
}

impl Cluster {
    /// Starts `count` members and waits until all of them serve.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_with(count, &[]).await
    }

    /// The same, with further flags for each.
    pub(crate) async fn start_with(count: usize, extra: &[&str]) -> Self {
        let mut cluster = Self::seats(count, extra);
        cluster.restart_all().await;
        cluster
    }

    /// A cluster of which no member has started.
    pub(crate) fn seats(count: usize, extra: &[&str]) -> Self {
        let seat = |number| Seat {
            name: format!("m{number}"),
            peer: free_port(),
            client: free_port(),
            running: None,
        };
        Self {
            dir: tempfile::tempdir().unwrap(),
            seats: (0..count).map(seat).collect(),
            extra: extra.iter().map(|flag| (*flag).to_owned()).collect(),
        }
    }

    /// The flags of a member.
    pub(crate) fn flags(&self, number: usize, state: &str) -> Vec<String> {
        let seat = &self.seats[number];
        let peers: Vec<String> = self
            .seats
            .iter()
            .map(|seat| format!("{}=http://127.0.0.1:{}", seat.name, seat.peer))
            .collect();
        let mut flags = vec![
            format!("--name={}", seat.name),
            format!("--data-dir={}", self.dir.path().join(&seat.name).display()),
            format!("--listen-peer-urls=http://127.0.0.1:{}", seat.peer),
            format!(
                "--initial-advertise-peer-urls=http://127.0.0.1:{}",
                seat.peer
            ),
            format!("--listen-client-urls=http://127.0.0.1:{}", seat.client),
            format!("--advertise-client-urls=http://127.0.0.1:{}", seat.client),
            format!("--initial-cluster={}", peers.join(",")),
            format!("--initial-cluster-state={state}"),
        ];
        flags.extend(self.extra.iter().cloned());
        flags
    }

    /// Where the members' folders are.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    async fn launch(&mut self, number: usize, state: &str) {
        let config = Config::parse(&self.flags(number, state), []).unwrap();
        self.launch_config(number, config).await;
    }

    /// Starts a member with these settings, and does not wait until it serves.
    pub(crate) async fn launch_config(&mut self, number: usize, config: Config) {
        let store = testkit::poll(SOON, "a member starts", async || {
            Store::build(config.clone())
                .await
                .map_err(|error| base::report(&error).to_string())
        });
        let store = store.await.unwrap();
        let (stop, tasks, handle) = (CancellationToken::new(), Tasks::new("test"), store.handle());
        let outcome = Outcome::default();
        let (told, run) = (outcome.clone(), store.run(stop.clone()));
        tasks.spawn("member", OnError::Log, async move {
            let result = run.await.map_err(|error| base::report(&error).to_string());
            *told.lock() = Some(result.clone());
            result
        });
        self.seats[number].running = Some(Running {
            stop,
            tasks,
            handle,
            outcome,
        });
    }

    /// Waits until a member ends by itself; what it ended by.
    pub(crate) async fn wait_end(&self, number: usize) -> Result<(), String> {
        let outcome = &self.seats[number].running.as_ref().unwrap().outcome;
        let ended = testkit::poll(SOON, "a member ends", async || {
            let outcome = outcome.lock().clone();
            outcome.ok_or_else(|| format!("it runs: {:?}", self.handle(number).status()))
        });
        ended.await.unwrap()
    }

    /// The settings of a member, with further flags.
    pub(crate) fn config(&self, number: usize, state: &str, more: &[&str]) -> Config {
        let mut flags = self.flags(number, state);
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        Config::parse(&flags, []).unwrap()
    }

    /// Waits until a member serves clients.
    pub(crate) async fn wait_ready(&self, number: usize) {
        let handle = self.handle(number);
        let ready = tokio::time::timeout(Duration::from_secs(SOON), handle.wait_ready()).await;
        assert_eq!(
            ready,
            Ok(true),
            "member {number} never served clients: {:?}",
            handle.status()
        );
    }

    /// Ends a member in order.
    pub(crate) async fn stop(&mut self, number: usize) {
        let running = self.seats[number].running.take().unwrap();
        running.stop.cancel();
        assert!(
            running.tasks.shutdown(Duration::from_secs(SOON)).await,
            "member {number} did not end"
        );
    }

    /// Starts a stopped member and waits until it serves.
    pub(crate) async fn restart(&mut self, number: usize) {
        self.launch(number, "new").await;
        self.wait_ready(number).await;
    }

    /// Starts stopped members together and waits until all of them serve.
    pub(crate) async fn restart_all(&mut self) {
        for number in 0..self.seats.len() {
            self.launch(number, "new").await;
        }
        for number in 0..self.seats.len() {
            self.wait_ready(number).await;
        }
    }

    /// Makes a seat for a member that is to join; its number and its peer URL.
    pub(crate) fn add_seat(&mut self) -> (usize, String) {
        let number = self.seats.len();
        let peer = free_port();
        self.seats.push(Seat {
            name: format!("m{number}"),
            peer,
            client: free_port(),
            running: None,
        });
        (number, format!("http://127.0.0.1:{peer}"))
    }

    /// The flag that names only these two, for a newcomer to a cluster that was forced.
    pub(crate) fn survivor_and_newcomer(&self, survivor: usize, newcomer: usize) -> String {
        let one = |number: usize| {
            let seat = &self.seats[number];
            format!("{}=http://127.0.0.1:{}", seat.name, seat.peer)
        };
        format!("--initial-cluster={},{}", one(survivor), one(newcomer))
    }

    /// Starts a member that was added.
    pub(crate) async fn join(&mut self, number: usize) {
        self.launch(number, "existing").await;
        self.wait_ready(number).await;
    }

    /// A look at a running member.
    pub(crate) fn handle(&self, number: usize) -> &Handle {
        &self.seats[number].running.as_ref().unwrap().handle
    }

    /// The number of the member that leads.
    pub(crate) async fn leader(&self) -> usize {
        let found = testkit::poll(SOON, "a leader", async || {
            let leads = |seat: &Seat| {
                seat.running
                    .as_ref()
                    .is_some_and(|running| running.handle.status().is_leader())
            };
            self.seats
                .iter()
                .position(leads)
                .ok_or_else(|| "nobody leads".to_owned())
        });
        found.await.unwrap()
    }

    /// A member's client address.
    pub(crate) fn endpoint(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.seats[number].client)
    }

    /// A connection to a member.
    pub(crate) async fn channel(&self, number: usize) -> Channel {
        connect(&self.endpoint(number)).await
    }

    /// Runs etcdctl against a member; its standard output. It must succeed.
    pub(crate) async fn etcdctl(&self, number: usize, args: &[&str]) -> String {
        let (ok, out, err) = etcdctl(&self.endpoint(number), args, "").await;
        assert!(ok, "etcdctl {args:?}: {out}{err}");
        out
    }

    /// Puts through a member.
    pub(crate) async fn put(&self, number: usize, key: &str, value: &str) {
        let mut kv = KvClient::new(self.channel(number).await);
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..Default::default()
        };
        kv.put(request).await.unwrap();
    }

    /// Reads a key through a member, linearizably.
    pub(crate) async fn get(&self, number: usize, key: &str) -> Option<String> {
        let mut kv = KvClient::new(self.channel(number).await);
        let request = RangeRequest {
            key: key.to_owned().into(),
            ..Default::default()
        };
        let kvs = kv.range(request).await.unwrap().into_inner().kvs;
        kvs.first()
            .map(|kv| String::from_utf8_lossy(&kv.value).into_owned())
    }
}

/// A connection to an address.
pub(crate) async fn connect(endpoint: &str) -> Channel {
    Channel::from_shared(format!("http://{endpoint}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// Runs etcdctl with `input`: whether it succeeded, its output, its complaints.
pub(crate) async fn etcdctl(endpoint: &str, args: &[&str], input: &str) -> (bool, String, String) {
    use tokio::io::AsyncWriteExt;
    let mut child = tokio::process::Command::new(testkit::peer("etcdctl").unwrap())
        .env("ETCDCTL_ENDPOINTS", endpoint)
        .args(args)
        .kill_on_drop(true)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_secs(SOON), child.wait_with_output());
    let output = output.await.expect("etcdctl took too long").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

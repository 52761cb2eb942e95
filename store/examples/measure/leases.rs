//! Leases by the million: what one member takes for them, in time and memory, beside others. It starts each program with etcd's flags on a fresh folder, and does
//! each step on all of them in turns before the next one. A figure is only worth its ratio to another
//! program's in the same run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{TryStreamExt, stream};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest,
    PutRequest,
};
use tonic::transport::Channel;

use crate::server::Server;

const CONNECTIONS: u64 = 20;
/// Requests under way at once.
const CLIENTS: usize = 500;
/// Leases that end together.
const ENDING: u64 = 10_000;
const ENDING_TTL_S: i64 = 15;
/// No lease ends while this runs.
const LONG_TTL_S: i64 = 1_000_000;
const READY_S: u64 = 300;

pub(crate) async fn run(args: &[String]) -> Result<()> {
    let (mut targets, mut leases) = (Vec::new(), 1_000_000);
    for arg in args {
        match arg.split_once('=') {
            Some((name, program)) => targets.push(Target::new(name, program)?),
            None => leases = arg.parse().context("LEASES is a number")?,
        }
    }
    ensure!(!targets.is_empty(), "usage: leases NAME=PROGRAM.. [LEASES]");
    let asked = leases / 5;
    for target in &mut targets {
        target.start(0).await?;
        target.note("memory, empty (MiB)", target.server.rss_mib()?);
    }
    for target in &mut targets {
        let seconds = target.timed(leases, grant(1, LONG_TTL_S)).await?;
        target.note("grants (/s)", rate(leases, seconds));
        target.note("memory, granted (MiB)", target.server.rss_mib()?);
    }
    for target in &mut targets {
        let seconds = target.timed(asked, time_to_live(leases)).await?;
        target.note("time to live (/s)", rate(asked, seconds));
    }
    for target in &mut targets {
        let seconds = target.renew(asked, leases).await?;
        target.note("keep alive (/s)", rate(asked, seconds));
        let seconds = target.list(leases).await?;
        target.note("list of all (s)", seconds);
    }
    for target in &mut targets {
        target.server.stop().await?;
        let seconds = target.start(leases).await?;
        target.note("restart (s)", seconds);
        target.note("memory, restarted (MiB)", target.server.rss_mib()?);
    }
    for target in &mut targets {
        target.expire(leases).await?;
        target.server.stop().await?;
    }
    print(&targets);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

fn print(targets: &[Target]) {
    let names: Vec<&str> = targets
        .iter()
        .map(|target| target.server.name.as_str())
        .collect();
    println!("| | {} | ratio |", names.join(" | "));
    println!("|---|{}---|", "---|".repeat(names.len()));
    for (row, (what, first)) in targets[0].notes.iter().enumerate() {
        let mut values = targets.iter().map(|target| target.notes[row].1);
        let shown: Vec<String> = values.clone().map(|value| format!("{value:.1}")).collect();
        let last = values.next_back().unwrap_or(*first);
        println!("| {what} | {} | {:.2} |", shown.join(" | "), last / first);
    }
}

/// A program and its one member.
struct Target {
    server: Server,
    channels: Vec<Channel>,
    notes: Vec<(&'static str, f64)>,
}

/// What one client asks, by its number.
type Ask = Box<dyn Fn(Channel, u64) -> futures::future::BoxFuture<'static, Result<()>>>;

fn grant(first: i64, ttl: i64) -> Ask {
    Box::new(move |channel, number| {
        Box::pin(async move {
            let id = first + i64::try_from(number)?;
            let request = LeaseGrantRequest { id, ttl };
            LeaseClient::new(channel).lease_grant(request).await?;
            Ok(())
        })
    })
}

/// An id among so many, spread over all of them.
fn any_of(leases: u64, number: u64) -> i64 {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % leases;
    1 + i64::try_from(spread).unwrap_or(0)
}

fn time_to_live(leases: u64) -> Ask {
    Box::new(move |channel, number| {
        Box::pin(async move {
            let id = any_of(leases, number);
            let request = LeaseTimeToLiveRequest { id, keys: false };
            let answer = LeaseClient::new(channel)
                .lease_time_to_live(request)
                .await?;
            ensure!(answer.into_inner().ttl > 0, "lease {id} is gone");
            Ok(())
        })
    })
}

impl Target {
    fn new(name: &str, program: &str) -> Result<Self> {
        Ok(Self {
            server: Server::new(name, program)?,
            channels: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn note(&mut self, what: &'static str, value: f64) {
        println!("{}: {what}: {value:.1}", self.server.name);
        self.notes.push((what, value));
    }

    /// Starts the member and waits until it serves and knows so many leases; how long that took.
    async fn start(&mut self, leases: u64) -> Result<f64> {
        let started = Instant::now();
        let place = self.server.place();
        self.server
            .spawn(&place, &["--quota-backend-bytes=8589934592"])?;
        self.channels = (0..CONNECTIONS)
            .map(|_| self.server.channel())
            .collect::<Result<_>>()?;
        let ready = testkit::poll(READY_S, "the member serves", async || {
            let known = self.list(leases).await;
            known.map_err(|error| error.to_string())
        });
        ready.await?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn channel(&self, number: u64) -> Channel {
        let at = usize::try_from(number % CONNECTIONS).unwrap_or(0);
        self.channels[at].clone()
    }

    /// Asks so many times; the seconds it took.
    async fn timed(&self, count: u64, ask: Ask) -> Result<f64> {
        let started = Instant::now();
        stream::iter((0..count).map(|number| Ok(ask(self.channel(number), number))))
            .try_for_each_concurrent(CLIENTS, |asked| asked)
            .await?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Renews by one stream on each connection.
    async fn renew(&self, count: u64, leases: u64) -> Result<f64> {
        let started = Instant::now();
        let each = count / CONNECTIONS;
        let streams = (0..CONNECTIONS).map(|stream_number| async move {
            let ids = (0..each).map(move |n| any_of(leases, stream_number * each + n));
            let requests = stream::iter(ids.map(|id| LeaseKeepAliveRequest { id }));
            let mut client = LeaseClient::new(self.channel(stream_number));
            let mut answers = client.lease_keep_alive(requests).await?.into_inner();
            let mut answered = 0;
            while let Some(answer) = answers.message().await? {
                ensure!(answer.ttl > 0, "lease {} is gone", answer.id);
                answered += 1;
            }
            ensure!(answered == each, "{answered} answers of {each}");
            Ok(())
        });
        futures::future::try_join_all(streams).await?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Asks for all leases, of which there must be so many; the seconds it took.
    async fn list(&self, leases: u64) -> Result<f64> {
        let started = Instant::now();
        let client = LeaseClient::new(self.channel(0)).max_decoding_message_size(usize::MAX);
        let answer = client.clone().lease_leases(LeaseLeasesRequest {}).await?;
        let found = u64::try_from(answer.into_inner().leases.len())?;
        ensure!(found == leases, "{found} leases of {leases}");
        Ok(started.elapsed().as_secs_f64())
    }

    async fn is_gone(&self, id: i64) -> Result<(), String> {
        let request = LeaseTimeToLiveRequest { id, keys: false };
        let mut client = LeaseClient::new(self.channel(0));
        match client.lease_time_to_live(request).await {
            Ok(answer) if answer.get_ref().ttl < 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Lets some leases end together, and puts meanwhile.
    async fn expire(&mut self, leases: u64) -> Result<()> {
        let first = 1 + i64::try_from(leases)?;
        self.timed(ENDING, grant(first, ENDING_TTL_S)).await?;
        let due = Instant::now() + Duration::from_secs(u64::try_from(ENDING_TTL_S)?);
        let slowest = Arc::new(AtomicU64::new(0));
        let mut kv = KvClient::new(self.channel(1));
        let noted = slowest.clone();
        let puts = async move {
            loop {
                let started = Instant::now();
                let request = PutRequest {
                    key: "k".into(),
                    value: "v".into(),
                    ..Default::default()
                };
                kv.put(request).await?;
                let took = u64::try_from(started.elapsed().as_millis())?;
                noted.fetch_max(took, Ordering::Relaxed);
            }
            #[expect(unreachable_code, reason = "the kind of its failure")]
            Ok::<(), anyhow::Error>(())
        };
        let gone = async {
            for id in first..first + i64::try_from(ENDING)? {
                let gone = testkit::poll(READY_S, "a lease ends", async || self.is_gone(id).await);
                gone.await?;
            }
            Ok::<(), anyhow::Error>(())
        };
        tokio::select! {
            failed = puts => failed?,
            gone = gone => gone?,
        }
        let late = Instant::now().saturating_duration_since(due).as_secs_f64();
        self.note("10,000 leases end together: the last one late by (s)", late);
        let slowest = slowest.load(Ordering::Relaxed);
        self.note("the slowest put meanwhile (ms)", rate(slowest, 1.0));
        Ok(())
    }
}

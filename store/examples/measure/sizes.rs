//! Databases of many GiB: what filling, listing, compaction, a restart and a new member take, in time and
//! memory.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use proto_etcd::etcdserverpb::cluster_client::ClusterClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    CompactionRequest, HashKvRequest, MemberAddRequest, MemberPromoteRequest, PutRequest,
    RangeRequest, RequestOp, StatusRequest, TxnRequest,
};
use tonic::transport::Channel;

use crate::server::Server;

const VALUE_BYTES: u64 = 4096;
/// Puts in one transaction.
const TOGETHER: u64 = 100;
/// Transactions under way at once.
const CLIENTS: usize = 8;
/// As Kubernetes' clients page their lists.
const PAGE: i64 = 500;
/// Every so many-th key is written a second time, so that compaction has something to remove.
const AGAIN: u64 = 4;
const READY_S: u64 = 3600;

pub(crate) async fn run(args: &[String]) -> Result<()> {
    let [program, gib, more @ ..] = args else {
        anyhow::bail!("usage: sizes PROGRAM GIB [MEMBERS]");
    };
    let keys = gib.parse::<u64>().context("GIB is a number")? * (1 << 30) / VALUE_BYTES;
    let keys = keys.div_ceil(TOGETHER) * TOGETHER;
    let members = more.first().map_or(Ok(1), |members| members.parse())?;
    println!("{keys} keys of {VALUE_BYTES} bytes on {members} members");
    println!("| step | seconds | peak memory of each member (MiB) | disk of each (MiB) |");
    println!("|---|---|---|---|");
    let mut cluster = Cluster::start(program, members).await?;
    cluster.step("started", async |_| Ok(())).await?;
    let all = 0..keys;
    let fill = async |cluster: &mut Cluster| cluster.fill(all.clone(), 1, 0).await;
    cluster.step("filled", fill).await?;
    let again = async |cluster: &mut Cluster| cluster.fill(all.clone(), AGAIN, 1).await;
    cluster.step("a quarter written again", again).await?;
    let count = async |cluster: &mut Cluster| cluster.count(keys).await;
    cluster.step("counted", count).await?;
    let pages = async |cluster: &mut Cluster| cluster.list(keys).await;
    cluster.step("listed by pages of 500", pages).await?;
    let stream = async |cluster: &mut Cluster| cluster.list_by_stream(keys).await;
    cluster.step("listed by one RangeStream", stream).await?;
    let compact = async |cluster: &mut Cluster| cluster.compact().await;
    cluster.step("compacted (physical)", compact).await?;
    let restart = async |cluster: &mut Cluster| cluster.restart(keys).await;
    cluster.step("restarted", restart).await?;
    let join = async |cluster: &mut Cluster| cluster.join(program).await;
    cluster.step("a new member caught up", join).await?;
    cluster
        .step("all hashes equal", async |cluster| cluster.agree().await)
        .await?;
    cluster.stop().await
}

/// The members, the first of which is asked.
struct Cluster {
    servers: Vec<Server>,
    channels: Vec<Channel>,
}

impl Cluster {
    async fn start(program: &str, members: usize) -> Result<Self> {
        let name = |number| format!("m{number}");
        let servers = (0..members).map(|number| Server::new(&name(number), program));
        let servers = servers.collect::<Result<Vec<_>>>()?;
        let mut cluster = Self {
            servers,
            channels: Vec::new(),
        };
        cluster.spawn_all()?;
        cluster.wait(0).await?;
        Ok(cluster)
    }

    fn spawn_all(&mut self) -> Result<()> {
        let places: Vec<String> = self.servers.iter().map(Server::place).collect();
        for server in &mut self.servers {
            server.spawn(&places.join(","), &["--quota-backend-bytes=107374182400"])?;
            self.channels.push(server.channel()?);
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        self.channels.clear();
        for server in &mut self.servers {
            server.stop().await?;
        }
        Ok(())
    }

    /// Does it, and prints what it took. A step may add members.
    async fn step(
        &mut self,
        what: &str,
        does: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        for server in &self.servers {
            server.forget_peak()?;
        }
        let started = Instant::now();
        does(self).await.with_context(|| what.to_owned())?;
        let seconds = started.elapsed().as_secs_f64();
        let mut peaks = Vec::new();
        let mut disks = Vec::new();
        for server in &self.servers {
            peaks.push(format!("{:.0}", server.peak_mib()?));
            disks.push(format!("{:.0}", server.disk_mib()?));
        }
        println!(
            "| {what} | {seconds:.1} | {} | {} |",
            peaks.join(", "),
            disks.join(", ")
        );
        Ok(())
    }

    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channels[0].clone()).max_decoding_message_size(usize::MAX)
    }

    async fn wait(&self, keys: u64) -> Result<()> {
        testkit::poll(READY_S, "it serves", async || {
            self.count(keys).await.map_err(|error| format!("{error:#}"))
        })
        .await
    }

    /// Writes every `step`-th key, with other values in each round.
    async fn fill(&self, keys: std::ops::Range<u64>, step: u64, round: u64) -> Result<()> {
        let chosen: Vec<u64> = keys.step_by(usize::try_from(step)?).collect();
        let together = usize::try_from(TOGETHER)?;
        stream::iter(chosen.chunks(together).map(Ok))
            .try_for_each_concurrent(CLIENTS, |keys| self.put(keys, round))
            .await
    }

    async fn put(&self, keys: &[u64], round: u64) -> Result<()> {
        let put = |number: &u64| RequestOp {
            request: Some(Request::RequestPut(PutRequest {
                key: key(*number).into(),
                value: value(*number, round).into(),
                ..Default::default()
            })),
        };
        let request = TxnRequest {
            success: keys.iter().map(put).collect(),
            ..Default::default()
        };
        self.kv().txn(request).await?;
        Ok(())
    }

    async fn count(&self, keys: u64) -> Result<()> {
        let request = RangeRequest {
            count_only: true,
            ..all()
        };
        let found = self.kv().range(request).await?.into_inner().count;
        ensure!(u64::try_from(found)? == keys, "{found} keys of {keys}");
        Ok(())
    }

    async fn list(&self, keys: u64) -> Result<()> {
        let (mut kv, mut found) = (self.kv(), 0);
        let mut request = RangeRequest {
            limit: PAGE,
            ..all()
        };
        loop {
            let page = kv.range(request.clone()).await?.into_inner();
            found += page.kvs.len();
            request.revision = page.header.context("no header")?.revision;
            let Some(last) = page.kvs.last().filter(|_| page.more) else {
                break;
            };
            request.key = [last.key.as_ref(), &[0]].concat().into();
        }
        ensure!(u64::try_from(found)? == keys, "{found} keys of {keys}");
        Ok(())
    }

    async fn list_by_stream(&self, keys: u64) -> Result<()> {
        let mut found = 0;
        let mut parts = self.kv().range_stream(all()).await?.into_inner();
        while let Some(part) = parts.message().await? {
            found += part.range_response.map_or(0, |part| part.kvs.len());
        }
        ensure!(u64::try_from(found)? == keys, "{found} keys of {keys}");
        Ok(())
    }

    async fn compact(&self) -> Result<()> {
        let status = self.maintenance(0).status(StatusRequest {}).await?;
        let revision = status.into_inner().header.context("no header")?.revision;
        let request = CompactionRequest {
            revision,
            physical: true,
        };
        self.kv().compact(request).await?;
        Ok(())
    }

    async fn restart(&mut self, keys: u64) -> Result<()> {
        self.stop().await?;
        self.spawn_all()?;
        self.wait(keys).await
    }

    /// Adds a learner and waits until it may vote, which is when it has caught up.
    async fn join(&mut self, program: &str) -> Result<()> {
        let mut new = Server::new(&format!("m{}", self.servers.len()), program)?;
        let mut members = ClusterClient::new(self.channels[0].clone());
        let request = MemberAddRequest {
            peer_ur_ls: vec![new.peer_url()],
            is_learner: true,
        };
        let added = members.member_add(request).await?.into_inner();
        let id = added.member.context("no member")?.id;
        let places = self.servers.iter().chain([&new]).map(Server::place);
        let places = places.collect::<Vec<_>>().join(",");
        let more = [
            "--initial-cluster-state=existing",
            "--quota-backend-bytes=107374182400",
        ];
        new.spawn(&places, &more)?;
        self.channels.push(new.channel()?);
        self.servers.push(new);
        testkit::poll(READY_S, "the new member has caught up", async || {
            let request = MemberPromoteRequest { id };
            let asked = members.clone().member_promote(request).await;
            asked.map(|_| ()).map_err(|status| status.to_string())
        })
        .await
    }

    fn maintenance(&self, member: usize) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channels[member].clone())
    }

    /// All members' rows have one hash.
    async fn agree(&self) -> Result<()> {
        let status = self.maintenance(0).status(StatusRequest {}).await?;
        let revision = status.into_inner().header.context("no header")?.revision;
        let hashes = stream::iter(0..self.servers.len()).then(|member| async move {
            let found = testkit::poll(READY_S, "it is at that revision", async || {
                let request = HashKvRequest { revision };
                let asked = self.maintenance(member).hash_kv(request).await;
                asked.map_err(|status| status.to_string())
            });
            Ok::<_, anyhow::Error>(found.await?.into_inner().hash)
        });
        let hashes: Vec<u32> = hashes.try_collect().await?;
        ensure!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        Ok(())
    }
}

fn all() -> RangeRequest {
    RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        ..Default::default()
    }
}

fn key(number: u64) -> String {
    format!("/registry/things/{number:012}")
}

/// Bytes that no compression makes smaller, others for each key and round.
fn value(number: u64, round: u64) -> Vec<u8> {
    // Far apart for each key: neighbours must have nothing in common.
    let mut state = mixed(mixed(number) ^ round);
    let words = (0..VALUE_BYTES / 8).flat_map(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(state).to_le_bytes()
    });
    words.collect()
}

/// Each bit of the outcome depends on all bits of `word` (the finalizer of SplitMix64).
fn mixed(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

//! Thousands of requests drawn by chance, good and bad ones, sent to a real etcd and to ours: the
//! same answers to each, headers' ids apart, and the same story told to those who watch.
//!
//! A 3.5 differs from 3.7, which is the one to be like, in four ways that are left out with it: an
//! order of sorting that is none is no error; a sort target that is none ends its process; pairs
//! without values keep their leases; and of several faults in a transaction it tells another one.

mod draw;

use std::time::Duration;

use bytes::Bytes;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{
    LeaseLeasesRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use tonic::transport::Channel;

use draw::{Draw, Step};

use super::harness::{Cluster, connect};
use super::real::{normal, real_etcds};

/// Requests of one seed.
const REQUESTS: usize = 1500;
/// Watches that are told the whole story again.
const WATCHES: usize = 30;
/// Seeds of a usual run.
const SEEDS: u64 = 2;
/// More seeds, where somebody has the time.
const SEEDS_VARIABLE: &str = "KEELSON_DIFFERENTIAL_SEEDS";

/// Written once a watch must have told everything before it: after all other keys.
const LAST: &str = "\u{7f}~";

/// The line of its answer.
async fn ask(channel: &Channel, step: Step) -> String {
    let mut kv = KvClient::new(channel.clone());
    let mut lease = LeaseClient::new(channel.clone());
    match step {
        Step::Put(request) => normal(kv.put(request).await),
        Step::Range(request) => normal(kv.range(request).await),
        Step::Delete(request) => normal(kv.delete_range(request).await),
        Step::Txn(request) => normal(kv.txn(request).await),
        Step::Compact(request) => normal(kv.compact(request).await),
        Step::Grant(request) => normal(lease.lease_grant(request).await),
        Step::Revoke(request) => normal(lease.lease_revoke(request).await),
        Step::TimeToLive(request) => {
            normal(lease.lease_time_to_live(request).await.map(|mut answer| {
                let told = answer.get_mut();
                // Time goes on between the two, and no lease's keys have an order.
                told.ttl = told.ttl.min(0);
                told.keys.sort_unstable();
                answer
            }))
        }
        Step::Leases => normal(lease.lease_leases(LeaseLeasesRequest {}).await.map(
            |mut answer| {
                answer
                    .get_mut()
                    .leases
                    .sort_unstable_by_key(|lease| lease.id);
                answer
            },
        )),
    }
}

/// Whether a transaction was answered with an error, which begins with its code and not with a type.
fn is_refusal(told: &str) -> bool {
    !told.starts_with("TxnResponse")
}

async fn newest(channel: &Channel) -> i64 {
    let everything = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        count_only: true,
        ..RangeRequest::default()
    };
    let answer = KvClient::new(channel.clone()).range(everything).await;
    answer.unwrap().into_inner().header.unwrap().revision
}

/// All that a watch is told up to [`LAST`]; what ends it, if that comes first.
async fn story(channel: &Channel, create: WatchCreateRequest) -> Vec<String> {
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The stream stays open: its end would be that of the watch.
    let requests =
        tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
    let answers = WatchClient::new(channel.clone()).watch(requests).await;
    let mut answers = answers.unwrap().into_inner();
    let mut lines = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), answers.message());
        let mut answer = next.await.expect("the watch is silent").unwrap().unwrap();
        for event in answer.events.drain(..) {
            let is_last = event
                .kv
                .as_ref()
                .is_some_and(|kv| kv.key == LAST.as_bytes());
            lines.push(format!("{event:?}"));
            if is_last {
                return lines;
            }
        }
        if answer.created || answer.canceled {
            // In which pieces events come is the server's to choose, and with them the header.
            answer.header = None;
            lines.push(format!("{answer:?}"));
        }
        if answer.canceled {
            return lines;
        }
    }
}

/// What was answered otherwise; what comes later may only follow from it.
#[derive(Default)]
struct Unlike(Vec<String>);

/// Differences that are told.
const UNLIKE_MAX: usize = 8;

impl Unlike {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, theirs: &T, ours: &T, what: &str) {
        if theirs != ours && self.0.len() < UNLIKE_MAX {
            self.0
                .push(format!("{what}\n  theirs: {theirs:?}\n  ours:   {ours:?}"));
        }
    }
}

/// One seed on both, empty before; how many requests were compared.
async fn walk(seed: u64, name: &str, theirs: &Channel, ours: &Channel) -> usize {
    let mut draw = Draw::new(seed, name != "etcd");
    let mut unlike = Unlike::default();
    for nth in 0..REQUESTS {
        if nth % 20 == 0 {
            draw.revision = newest(theirs).await;
        }
        let step = draw.step();
        let (mut wanted, told) = tokio::join!(ask(theirs, step.clone()), ask(ours, step.clone()));
        // Some requests end a real etcd: the first one is the news.
        let is_gone = [&wanted, &told].map(|told| told.starts_with("Unavailable"));
        assert!(
            is_gone == [false, false],
            "{name} and ours, seed {seed}: ended (theirs, ours) {is_gone:?} by request {nth} or before: {step:?}"
        );
        let is_txn = matches!(step, Step::Txn(_));
        if is_txn && !draw.is_newest && is_refusal(&wanted) && is_refusal(&told) {
            wanted.clone_from(&told);
        }
        unlike.compare(&wanted, &told, &format!("request {nth}: {step:?}"));
    }
    let last = Step::Put(PutRequest {
        key: LAST.into(),
        ..PutRequest::default()
    });
    let (wanted, told) = (ask(theirs, last.clone()).await, ask(ours, last).await);
    unlike.compare(&wanted, &told, "the last put");
    draw.revision = newest(theirs).await;
    for _ in 0..WATCHES {
        let create = draw.watch();
        let (wanted, told) =
            tokio::join!(story(theirs, create.clone()), story(ours, create.clone()));
        unlike.compare(&wanted, &told, &format!("{create:?}"));
    }
    assert!(
        unlike.0.is_empty(),
        "{name} and ours, seed {seed}:\n{}",
        unlike.0.join("\n")
    );
    REQUESTS + 1 + WATCHES
}

#[tokio::test(flavor = "multi_thread")]
async fn chance_finds_no_request_that_is_answered_otherwise() {
    let seeds = std::env::var(SEEDS_VARIABLE);
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut compared = 0;
    for seed in 0..seeds {
        for (name, real) in real_etcds(&[]).await {
            let ours = Cluster::start(1).await;
            let theirs = connect(&real.endpoint).await;
            let ours_channel = connect(&ours.endpoint(0)).await;
            compared += walk(seed, name, &theirs, &ours_channel).await;
        }
    }
    assert!(compared > 0, "{SEEDS_VARIABLE} leaves nothing to compare");
    println!("{compared} requests compared");
}

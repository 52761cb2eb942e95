//! A steady set of writers and a watcher on the store's own protocol. Every key is written once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use base::{OnError, Tasks};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{
    PutRequest, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use proto_etcd::mvccpb::event::EventType;
use testkit::Cluster;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::key_revision;
use crate::edn::Value;
use crate::history::{History, Kind};
use crate::wire::Failure;

const PREFIX: &str = "jepsen/";
/// The end of the range of keys that begin with [`PREFIX`].
const PREFIX_END: &str = "jepsen0";
/// A request without an answer by then has an unknown outcome.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// The workload's clients.
pub(crate) struct Store {
    channels: Vec<Channel>,
    history: History,
}

impl Store {
    /// Clients of every member of `cluster`.
    pub(crate) fn new(cluster: &Cluster, history: &History) -> Result<Self> {
        let urls = cluster.urls("store")?;
        let channels = urls
            .iter()
            .map(|url| cluster.store_channel(url))
            .collect::<Result<_>>()?;
        Ok(Self {
            channels,
            history: history.clone(),
        })
    }

    /// Starts `writers` writers, each on a member of its own until that fails, and one watcher.
    pub(crate) fn spawn(&self, tasks: &Tasks, writers: usize) {
        for i in 0..writers {
            let client = Client {
                channels: self.channels.clone(),
                at: i,
            };
            let (history, stop) = (self.history.clone(), tasks.stop().clone());
            tasks.spawn_infallible("writer", async move {
                write(client, &history, i, || stop.is_cancelled()).await;
            });
        }
    }

    /// Starts a watcher that sees every key; it ends only with `tasks`.
    pub(crate) fn spawn_watcher(&self, tasks: &Tasks) {
        let client = Client {
            channels: self.channels.clone(),
            at: 0,
        };
        let (history, stop) = (self.history.clone(), tasks.stop().clone());
        tasks.spawn("watcher", OnError::Stop, async move {
            tokio::select! { biased;
                () = stop.cancelled() => Ok(()),
                outcome = watch(client, &history) => outcome,
            }
        });
    }

    /// Reads all keys with their revisions, linearizably, and notes them as the final state.
    pub(crate) async fn read_final(&self) -> Result<BTreeMap<String, i64>> {
        let mut client = Client {
            channels: self.channels.clone(),
            at: 0,
        };
        let request = RangeRequest {
            key: PREFIX.into(),
            range_end: PREFIX_END.into(),
            keys_only: true,
            ..RangeRequest::default()
        };
        let reader = self.history.new_process();
        let op = self.history.invoke(reader, "read-final", Value::Nil);
        let answer = testkit::poll(60, "a final read", async || {
            let asked = KvClient::new(client.next())
                .max_decoding_message_size(usize::MAX)
                .range(request.clone())
                .await;
            asked.map_err(|status| status.to_string())
        });
        let kvs = answer.await?.into_inner().kvs;
        let pair = |kv: proto_etcd::mvccpb::KeyValue| {
            (
                String::from_utf8_lossy(&kv.key).into_owned(),
                kv.mod_revision,
            )
        };
        let keys: BTreeMap<String, i64> = kvs.into_iter().map(pair).collect();
        let pairs = keys.iter().map(|(key, at)| key_revision(key, *at));
        let told = Value::Vector(pairs.collect());
        self.history.complete(op, Kind::Ok, told, None);
        Ok(keys)
    }
}

/// One client: talks to one member, and goes on to the next after an error.
struct Client {
    channels: Vec<Channel>,
    at: usize,
}

impl Client {
    fn current(&self) -> Channel {
        self.channels[self.at % self.channels.len()].clone()
    }

    fn next(&mut self) -> Channel {
        self.at += 1;
        self.current()
    }
}

async fn write(mut client: Client, history: &History, number: usize, is_over: impl Fn() -> bool) {
    let mut kv = KvClient::new(client.current());
    let mut process = history.new_process();
    let mut sequence = 0_u64;
    while !is_over() {
        let key = format!("{PREFIX}{number}/{sequence:08}");
        sequence += 1;
        let request = PutRequest {
            key: key.clone().into(),
            value: "x".into(),
            ..PutRequest::default()
        };
        let op = history.invoke(process, "put", Value::text(&key));
        let answer = timeout(ANSWER_TIME_MAX, kv.put(request)).await;
        let (kind, value, error) = match answer {
            Ok(Ok(answer)) => {
                let revision = answer.into_inner().header.map(|header| header.revision);
                let told = revision.map(|revision| key_revision(&key, revision));
                (Kind::Ok, told.unwrap_or(Value::text(key)), None)
            }
            Ok(Err(status)) => {
                let why = status.to_string();
                (judge(status), Value::text(key), Some(why))
            }
            Err(_) => (
                Kind::Info,
                Value::text(key),
                Some("no answer in time".to_owned()),
            ),
        };
        let failed = kind != Kind::Ok;
        process = history.complete(op, kind, value, error);
        if failed {
            sleep(AFTER_ERROR).await;
            kv = KvClient::new(client.next());
        }
    }
}

/// Only what never has an effect is certain.
fn judge(status: Status) -> Kind {
    match Failure::from(status) {
        Failure::Refused(_) => Kind::Fail,
        Failure::Unknown(_) => Kind::Info,
    }
}

/// Follows all keys; after a break it goes on at the revision after the last one seen.
async fn watch(mut client: Client, history: &History) -> Result<()> {
    let mut from = 1;
    loop {
        let channel = client.next();
        if let Ok(mut stream) = open(channel, from).await {
            while let Ok(Some(answer)) = stream.message().await {
                anyhow::ensure!(
                    answer.compact_revision == 0,
                    "the watcher fell behind compaction at {}",
                    answer.compact_revision
                );
                from = note(history, &answer, from);
                if answer.canceled {
                    break;
                }
            }
        }
        sleep(AFTER_ERROR).await;
    }
}

async fn open(channel: Channel, from: i64) -> Result<Streaming<WatchResponse>> {
    let create = WatchCreateRequest {
        key: PREFIX.into(),
        range_end: PREFIX_END.into(),
        start_revision: from,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The stream of requests must stay open as long as the watch does.
    let requests =
        futures::StreamExt::chain(futures::stream::iter([request]), futures::stream::pending());
    let mut watch = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
    let answer = timeout(ANSWER_TIME_MAX, watch.watch(requests))
        .await
        .context("no watch in time")??;
    Ok(answer.into_inner())
}

/// Writes the events down and returns the revision to go on from.
fn note(history: &History, answer: &WatchResponse, from: i64) -> i64 {
    let mut next = from;
    for event in &answer.events {
        let Some(kv) = event
            .kv
            .as_ref()
            .filter(|_| event.r#type() == EventType::Put)
        else {
            continue;
        };
        next = next.max(kv.mod_revision + 1);
        let key = String::from_utf8_lossy(&kv.key);
        history.note("watcher", "seen", key_revision(&key, kv.mod_revision));
    }
    next
}

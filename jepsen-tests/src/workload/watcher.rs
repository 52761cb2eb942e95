//! A watcher: follows all keys of a run, on one member after another, and notes what each stream
//! says. It goes on where it was: at the revision after the last that it was told of.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::log::entry;
use crate::edn::Value;
use crate::history::History;
use crate::wire::{ANSWER_TIME_MAX, Dial, end_of, revision};

const AFTER_ERROR: Duration = Duration::from_millis(100);
/// A stream is left for another after at most this.
const STREAM_MS: std::ops::Range<u64> = 1_000..6_000;
const PROGRESS_EACH: Duration = Duration::from_millis(400);
/// A watcher that stops reading has longer streams, so that it comes to read on.
const STALLING_STREAM_MS: std::ops::Range<u64> = 15_000..30_000;
const READS_MS: std::ops::Range<u64> = 200..2_000;
const STALL_MS: std::ops::Range<u64> = 1_000..10_000;
/// What such a watcher's connection takes that nobody reads.
const NARROW_BYTES: u32 = 16 << 10;

/// What a watcher is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Reads,
    /// Stops reading now and then, and leaves its stream open.
    Stalls,
}

/// A watch of every key that begins with a prefix.
pub(crate) struct Stream {
    /// As long as it is open, so is the watch.
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Stream {
    pub(crate) async fn open(dial: &mut Dial, prefix: &str, from: i64) -> Result<Self> {
        let channel = dial.channel().await.context("nobody answers")?;
        let create = WatchCreateRequest {
            key: prefix.to_owned().into(),
            range_end: end_of(prefix).into(),
            start_revision: from,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let (requests, queue) = mpsc::channel(4);
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        requests.send(request).await.context("ask for a watch")?;
        let mut watch = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
        let answer = timeout(ANSWER_TIME_MAX, watch.watch(ReceiverStream::new(queue))).await;
        let answers = answer.context("no watch in time")??.into_inner();
        Ok(Self { requests, answers })
    }

    /// What it says next.
    // Cancel-safe: tonic's streams are.
    pub(crate) async fn next(&mut self) -> Result<WatchResponse> {
        match self.answers.message().await? {
            Some(answer) => Ok(answer),
            None => bail!("the stream has ended"),
        }
    }

    fn ask_progress(&self) {
        // One that is still queued is enough.
        let _ = self.requests.try_send(WatchRequest {
            request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
        });
    }
}

/// One watcher.
pub(crate) struct Watcher {
    pub(crate) name: String,
    pub(crate) urls: Vec<String>,
    /// The first of them that it asks.
    pub(crate) at: usize,
    pub(crate) prefix: String,
    pub(crate) from: i64,
    pub(crate) seed: u64,
    pub(crate) habit: Habit,
    pub(crate) history: History,
    pub(crate) stop: CancellationToken,
    /// The last revision that it was told of, for whoever waits for that.
    pub(crate) reached: Arc<AtomicI64>,
}

impl Watcher {
    /// Watches until it is to stop.
    pub(crate) async fn run(mut self) {
        let mut chance = StdRng::seed_from_u64(self.seed);
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
            let lasts = match self.habit {
                Habit::Reads => STREAM_MS,
                Habit::Stalls => STALLING_STREAM_MS,
            };
            let until = Instant::now() + Duration::from_millis(chance.random_range(lasts));
            tokio::select! { biased;
                () = stop.cancelled() => return,
                _ = self.follow(until, &mut chance) => {}
            }
            self.at += 1;
            tokio::select! { biased;
                () = stop.cancelled() => return,
                () = sleep(AFTER_ERROR) => {}
            }
        }
    }

    /// Follows one stream until `until`, or its end.
    async fn follow(&mut self, until: Instant, chance: &mut StdRng) -> Result<()> {
        let url = self
            .urls
            .get(self.at % self.urls.len())
            .context("no member")?;
        let mut dial = match self.habit {
            Habit::Reads => Dial::new(url),
            Habit::Stalls => Dial::narrow(url, NARROW_BYTES),
        };
        let mut stream = Stream::open(&mut dial, &self.prefix, self.from).await?;
        self.note(
            "open",
            Value::Vector(vec![Value::text(url), self.from.into()]),
        );
        let ms = |range, chance: &mut StdRng| Duration::from_millis(chance.random_range(range));
        let mut next_progress = Instant::now() + PROGRESS_EACH;
        let mut next_stall = match self.habit {
            Habit::Reads => until,
            Habit::Stalls => Instant::now() + ms(READS_MS, chance),
        };
        loop {
            tokio::select! { biased;
                () = sleep_until(until) => return Ok(()),
                () = sleep_until(next_stall) => {
                    let stall = ms(STALL_MS, chance);
                    self.note("stall", i64::try_from(stall.as_millis()).unwrap_or(0).into());
                    sleep(stall).await;
                    next_stall = Instant::now() + ms(READS_MS, chance);
                }
                answer = stream.next() => {
                    if !self.told(&answer?) {
                        return Ok(());
                    }
                }
                () = sleep_until(next_progress) => {
                    stream.ask_progress();
                    next_progress += PROGRESS_EACH;
                }
            }
        }
    }

    /// Notes an answer. False if the stream is of no more use.
    fn told(&mut self, answer: &WatchResponse) -> bool {
        let header = revision(answer.header.as_ref());
        if answer.compact_revision > 0 {
            self.note("compacted", answer.compact_revision.into());
            self.from = self.from.max(answer.compact_revision);
            return false;
        }
        if answer.canceled {
            self.note("canceled", Value::text(&answer.cancel_reason));
            return false;
        }
        if answer.created {
            return true;
        }
        let last = if answer.events.is_empty() {
            self.note("progress", header.into());
            header
        } else {
            let entries: Vec<_> = answer.events.iter().filter_map(entry).collect();
            let last = entries.iter().map(|entry| entry.revision).max();
            let entries = entries.iter().map(crate::check::Entry::to_value).collect();
            self.note(
                "batch",
                Value::Vector(vec![header.into(), Value::Vector(entries)]),
            );
            last.unwrap_or(0)
        };
        self.from = self.from.max(last.saturating_add(1));
        self.reached.fetch_max(last, Ordering::Relaxed);
        true
    }

    fn note(&self, f: &str, value: Value) {
        self.history.note(&self.name, f, value);
    }
}

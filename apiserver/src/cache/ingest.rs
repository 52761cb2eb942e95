//! Follows the store: reads everything once, then one watch for all kinds but events.
//!
//! The one task that publishes to the cache. When its stream breaks it goes on at another member
//! from the revision behind the last one it published, so that nothing is missed and nothing comes
//! twice. Only a compaction that overtook it makes it read everything again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::backoff::Backoff;
use bytes::Bytes;
use proto_etcd::etcdserverpb::WatchResponse;
use proto_etcd::mvccpb::{Event as StoreEvent, KeyValue, event::EventType};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Object;
use super::kind_cache::{Cache, Change, KindCache};
use super::position::Lane;
use crate::storage::watch::{WatchRange, WatchStream};
use crate::storage::{Error, Etcd};

/// The part of the store that belongs to the API.
const ROOT: &str = "/registry/";
/// Keys in the first page of a list.
const PAGE_FIRST: i64 = 500;
/// What a page should weigh: the next one's keys are chosen by the last one's bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How often an unanswered wish for progress is repeated.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// A stream that stays silent this long after a question is broken.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How often a quiet stream is asked, so that a dead one is noticed without a reader.
const IDLE_ASK: Duration = Duration::from_secs(5);

/// Which part of the store a follower follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but events, held in memory.
    Main,
    /// Events: a ring only.
    Events,
}

/// Follows one part of the store into the cache.
#[derive(Debug)]
pub struct Ingest {
    etcd: Etcd,
    cache: Arc<Cache>,
    part: Part,
}

/// Why following ended.
enum Broken {
    /// The store forgot what comes next: read everything again.
    Compacted,
    /// Go on elsewhere.
    Lost(String),
}

impl Ingest {
    /// A follower of one part.
    pub fn new(etcd: Etcd, cache: Arc<Cache>, part: Part) -> Self {
        Self { etcd, cache, part }
    }

    /// Follows until stopped.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! { biased;
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        let mut listed = false;
        loop {
            if !listed {
                match self.list().await {
                    Ok(revision) => {
                        listed = true;
                        tracing::info!(part = ?self.part, revision, "read the store");
                    }
                    Err(error) => {
                        tracing::warn!(part = ?self.part, error = %base::report(&error), "cannot read the store");
                    }
                }
            }
            if listed {
                let began = Instant::now();
                match self.watch().await {
                    Broken::Compacted => {
                        tracing::warn!(part = ?self.part, "the store compacted what was still to come; reading it again");
                        listed = false;
                    }
                    Broken::Lost(why) => {
                        tracing::warn!(part = ?self.part, %why, "the watch of the store broke");
                    }
                }
                if began.elapsed() > Duration::from_secs(10) {
                    backoff.reset();
                }
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    fn lanes(&self) -> &'static [Lane] {
        match self.part {
            Part::Main => &[Lane::Before, Lane::Behind],
            Part::Events => &[Lane::Events],
        }
    }

    /// Reads every object at one revision, beside the live state, and swaps it in.
    async fn list(&self) -> Result<u64, Error> {
        let mut objects: HashMap<String, Vec<Arc<Object>>> = HashMap::new();
        let mut revision = 0;
        if self.part == Part::Main {
            let mut limit = PAGE_FIRST;
            for lane in self.lanes() {
                let (start, end) = bounds(*lane);
                let mut start = Bytes::from_static(start.as_bytes());
                loop {
                    let page = self
                        .etcd
                        .page(&start, end.as_bytes(), revision, limit)
                        .await?;
                    if revision == 0 {
                        revision = page.revision;
                    }
                    let bytes: usize = page.kvs.iter().map(|kv| kv.value.len()).sum();
                    limit = next_limit(page.kvs.len(), bytes);
                    let last = page.kvs.last().map(|kv| kv.key.clone());
                    for kv in page.kvs {
                        if let Some((kind, object)) = self.object(&kv) {
                            objects
                                .entry(kind.prefix().to_owned())
                                .or_default()
                                .push(object);
                        }
                    }
                    match last {
                        Some(last) if page.more => start = [&last[..], b"\0"].concat().into(),
                        _ => break,
                    }
                }
            }
        } else {
            revision = i64::try_from(self.etcd.current_revision().await?).unwrap_or(i64::MAX);
        }
        let revision = u64::try_from(revision).map_err(|_| Error::Protocol("negative revision"))?;
        for kind in self
            .cache
            .kinds()
            .filter(|kind| self.lanes().contains(&kind.lane()))
        {
            kind.reset(objects.remove(kind.prefix()).unwrap_or_default(), revision);
        }
        for lane in self.lanes() {
            self.cache.positions().advance(*lane, revision);
        }
        if self.part == Part::Main {
            self.cache.set_live();
        }
        Ok(revision)
    }

    fn object(&self, kv: &KeyValue) -> Option<(&Arc<KindCache>, Arc<Object>)> {
        let (kind, key) = self.place(&kv.key)?;
        let revision = u64::try_from(kv.mod_revision).ok()?;
        Some((kind, Object::from_stored(key, &kv.value, revision)))
    }

    fn place<'a>(&self, key: &'a [u8]) -> Option<(&Arc<KindCache>, &'a str)> {
        self.cache
            .split(std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?)
    }

    /// Follows one stream until it breaks.
    async fn watch(&self) -> Broken {
        let positions = self.cache.positions();
        let ranges: Vec<_> = self
            .lanes()
            .iter()
            .map(|lane| {
                let (start, end) = bounds(*lane);
                WatchRange {
                    id: i64::try_from(lane.number()).unwrap_or_default(),
                    start: Bytes::from_static(start.as_bytes()),
                    end: Bytes::from_static(end.as_bytes()),
                    from: positions.get(*lane) + 1,
                    prev_kv: self.part == Part::Events,
                }
            })
            .collect();
        let mut stream = match self.etcd.watch(&ranges).await {
            Ok(stream) => stream,
            Err(error) => return Broken::Lost(base::report(&error).to_string()),
        };
        let broken = self.drain(&mut stream).await;
        if matches!(broken, Broken::Lost(_)) {
            self.etcd.leave_stream(&stream);
        }
        broken
    }

    async fn drain(&self, stream: &mut WatchStream) -> Broken {
        let positions = self.cache.positions();
        let wake = positions.notify(self.lanes()[0]);
        let mut fragments: HashMap<i64, Vec<StoreEvent>> = HashMap::new();
        let mut ticks = interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut asked: Option<Instant> = None;
        loop {
            // Answers first: they are what everyone waits for, and the other two only ask for more.
            tokio::select! { biased;
                answer = stream.next() => match answer {
                    Ok(Some(answer)) => {
                        heard = Instant::now();
                        asked = None;
                        if let Err(broken) = self.accept(answer, &mut fragments) {
                            return broken;
                        }
                    }
                    Ok(None) => return Broken::Lost("the member ended the stream".into()),
                    Err(error) => return Broken::Lost(base::report(&error).to_string()),
                },
                () = wake.notified() => {
                    asked.get_or_insert_with(Instant::now);
                    stream.request_progress();
                }
                _ = ticks.tick() => {
                    if asked.is_some_and(|asked| asked.elapsed() > SILENCE_MAX) {
                        return Broken::Lost("the member is silent".into());
                    }
                    let wanted = self.lanes().iter().any(|lane| positions.is_wanted(*lane));
                    if wanted || heard.elapsed() > IDLE_ASK {
                        asked.get_or_insert_with(Instant::now);
                        stream.request_progress();
                    }
                }
            }
        }
    }

    /// Takes one answer: publishes its events, then moves the position.
    fn accept(
        &self,
        answer: WatchResponse,
        fragments: &mut HashMap<i64, Vec<StoreEvent>>,
    ) -> Result<(), Broken> {
        let header = answer.header.as_ref().map_or(0, |header| header.revision);
        let header = u64::try_from(header).unwrap_or_default();
        if answer.canceled {
            return Err(match answer.compact_revision {
                0 => Broken::Lost(format!("the member cancelled it: {}", answer.cancel_reason)),
                _ => Broken::Compacted,
            });
        }
        let positions = self.cache.positions();
        if answer.created {
            // Going on at a member that lags would be going back for whoever reads here.
            let known = self
                .lanes()
                .iter()
                .map(|lane| positions.get(*lane))
                .max()
                .unwrap_or(0);
            if header < known {
                return Err(Broken::Lost(format!(
                    "the member is behind: {header} < {known}"
                )));
            }
            return Ok(());
        }
        if answer.watch_id == -1 {
            self.progress(self.lanes(), header);
            return Ok(());
        }
        let lane = self
            .lanes()
            .iter()
            .find(|lane| usize::try_from(answer.watch_id).is_ok_and(|id| id == lane.number()));
        let Some(lane) = lane else {
            return Err(Broken::Lost("an answer to no question".into()));
        };
        let mut events = fragments.remove(&answer.watch_id).unwrap_or_default();
        events.extend(answer.events);
        if answer.fragment {
            // A revision in pieces is published whole.
            fragments.insert(answer.watch_id, events);
            return Ok(());
        }
        match events
            .last()
            .and_then(|event| event.kv.as_ref())
            .map(|kv| kv.mod_revision)
        {
            Some(last) => {
                self.publish(*lane, events);
                let last = u64::try_from(last).unwrap_or_default();
                positions.advance(*lane, last);
            }
            None => self.progress(std::slice::from_ref(lane), header),
        }
        Ok(())
    }

    fn progress(&self, lanes: &[Lane], revision: u64) {
        for lane in lanes {
            self.cache.positions().advance(*lane, revision);
        }
    }

    fn publish(&self, lane: Lane, events: Vec<StoreEvent>) {
        let known = self.cache.positions().get(lane);
        let mut changes: HashMap<&str, (&Arc<KindCache>, Vec<Change>)> = HashMap::new();
        for event in &events {
            let Some(kv) = &event.kv else { continue };
            let Ok(revision) = u64::try_from(kv.mod_revision) else {
                continue;
            };
            // A stream that was opened anew must not repeat what is published.
            if revision <= known {
                continue;
            }
            let Some((kind, key)) = self.place(&kv.key) else {
                continue;
            };
            let old = event.prev_kv.as_ref().map(|prev| {
                let revision = u64::try_from(prev.mod_revision).unwrap_or_default();
                Object::from_stored(key, &prev.value, revision)
            });
            let new = (event.r#type() == EventType::Put)
                .then(|| Object::from_stored(key, &kv.value, revision));
            let change = Change {
                key: key.to_owned(),
                revision,
                old,
                new,
            };
            changes
                .entry(kind.prefix())
                .or_insert_with(|| (kind, Vec::new()))
                .1
                .push(change);
        }
        for (kind, changes) in changes.into_values() {
            kind.publish(changes);
        }
    }
}

/// First key of a lane and the first key behind it.
fn bounds(lane: Lane) -> (&'static str, &'static str) {
    match lane {
        Lane::Before => ("/registry/", "/registry/events/"),
        Lane::Behind => ("/registry/events0", "/registry0"),
        Lane::Events => ("/registry/events/", "/registry/events0"),
    }
}

/// How many keys the next page should have, going by what the last one weighed.
fn next_limit(keys: usize, bytes: usize) -> i64 {
    let keys_max = 10_000;
    let fitting = keys
        .saturating_mul(PAGE_BYTES)
        .checked_div(bytes)
        .unwrap_or(keys_max);
    i64::try_from(fitting.clamp(10, keys_max)).unwrap_or(PAGE_FIRST)
}

#[cfg(test)]
mod tests {
    use super::next_limit;

    #[test]
    fn pages_follow_the_size_of_the_objects() {
        assert_eq!(next_limit(500, 500 * 2048), 4096);
        assert_eq!(next_limit(500, 500 * 1024 * 1024), 10);
        assert_eq!(next_limit(0, 0), 10_000);
    }
}

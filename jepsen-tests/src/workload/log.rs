//! Reads the applied log of each member when a run is over, by a watch of everything since its
//! beginning.

use anyhow::{Context, Result};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::mvccpb::Event;
use proto_etcd::mvccpb::event::EventType;
use tokio::time::timeout;

use super::watcher::Stream;
use crate::check::Entry;
use crate::edn::Value;
use crate::history::{History, Kind};
use crate::wire::{ANSWER_TIME_MAX, Dial, put, revision, text};

const SECONDS_MAX: u64 = 60;
/// No value that counts as a whole is longer.
const LONG_BYTES: usize = 1_024;

/// Writes one last key and returns its revision: everything before it is over.
pub(crate) async fn mark_end(url: &str, prefix: &str) -> Result<i64> {
    let key = format!("{prefix}end");
    testkit::poll(SECONDS_MAX, "a last write", async || {
        let mut dial = Dial::new(url);
        let channel = dial.channel().await.ok_or("nobody answers")?;
        let asked = KvClient::new(channel).put(put(&key, "")).await;
        let answer = asked.map_err(|status| status.to_string())?.into_inner();
        Ok(revision(answer.header.as_ref()))
    })
    .await
}

/// Records the log of the member at `url` between two revisions.
pub(crate) async fn record(
    history: &History,
    url: &str,
    prefix: &str,
    (from, end): (i64, i64),
) -> Result<()> {
    let process = history.new_process();
    let asked = Value::Vector(vec![from.into(), end.into()]);
    let op = history.invoke(process, "log", asked);
    let log = testkit::poll(SECONDS_MAX, "a member's log", async || {
        read(url, prefix, from, end)
            .await
            .map_err(|error| format!("{error:#}"))
    });
    let (from, entries) = log.await.with_context(|| format!("of {url}"))?;
    let entries = entries.iter().map(Entry::to_value).collect();
    let told = Value::Vector(vec![from.into(), end.into(), Value::Vector(entries)]);
    history.complete(op, Kind::Ok, told, None);
    Ok(())
}

/// The changes before `end`, and the first revision that is still told of.
async fn read(url: &str, prefix: &str, mut from: i64, end: i64) -> Result<(i64, Vec<Entry>)> {
    let mut dial = Dial::new(url);
    let mut stream = Stream::open(&mut dial, prefix, from).await?;
    let mut entries = Vec::new();
    loop {
        let answer = timeout(ANSWER_TIME_MAX, stream.next())
            .await
            .context("nothing came")??;
        if answer.compact_revision > 0 {
            from = answer.compact_revision;
            entries.clear();
            stream = Stream::open(&mut dial, prefix, from).await?;
            continue;
        }
        for event in &answer.events {
            let entry = entry(event).context("an event without a key")?;
            if entry.revision >= end {
                return Ok((from, entries));
            }
            entries.push(entry);
        }
    }
}

/// An event as histories have it.
pub(crate) fn entry(event: &Event) -> Option<Entry> {
    let kv = event.kv.as_ref()?;
    let is_put = event.r#type() == EventType::Put;
    Some(Entry {
        revision: kv.mod_revision,
        key: text(&kv.key),
        value: is_put.then(|| unpadded(text(&kv.value))),
        create: kv.create_revision,
        version: kv.version,
        prev: event.prev_kv.as_ref().map(|kv| kv.mod_revision),
        lease: kv.lease,
    })
}

/// A value without its padding: of a long one only what stands before a colon is told.
fn unpadded(mut value: String) -> String {
    if value.len() > LONG_BYTES
        && let Some(end) = value.find(':')
    {
        value.truncate(end);
    }
    value
}

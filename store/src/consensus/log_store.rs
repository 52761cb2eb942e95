//! openraft's log storage over [`crate::log`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use futures::Stream;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use super::codec;
use super::types::{RaftEntry, RaftLogId, Types, Vote, from_log_entry, ours, theirs, to_log_entry};
use crate::log::Log;
use crate::planted::{self, Fault};

/// Payload bytes in one message to a follower, and in one step of a long read.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log as openraft wants it; also its reader.
#[derive(Clone)]
pub(super) struct LogStore {
    log: Log,
    /// Blocking reads are done where they are asked for, because there is no thread for them.
    reads_inline: bool,
}

impl LogStore {
    pub(super) fn new(log: Log) -> Self {
        Self {
            log,
            reads_inline: false,
        }
    }

    /// For a simulation, whose disk answers at once.
    pub(super) fn inline(log: Log) -> Self {
        Self {
            log,
            reads_inline: true,
        }
    }

    /// Entries by openraft's count. What is not in memory is read off the reactor.
    async fn read(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        let (from, to) = (from.saturating_add(1), to.saturating_add(1));
        let entries = match self.log.read_cached(from, to, bytes_max) {
            Some(entries) => entries,
            None if self.reads_inline => self.log.read(from, to, bytes_max)?,
            None => {
                let log = self.log.clone();
                let read = tokio::task::spawn_blocking(move || log.read(from, to, bytes_max));
                read.await.map_err(io::Error::other)??
            }
        };
        entries
            .into_iter()
            .map(|entry| from_log_entry(entry).map_err(io::Error::from))
            .collect()
    }
}

/// `[from, to)` by openraft's count.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => to.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl<C: Types> RaftLogReader<C> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<RaftEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.log.view().vote;
        Ok(vote.map(|vote| codec::decode(&vote)).transpose()?)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<RaftEntry>> {
        let entries = self.read(start, end, READ_BYTES_MAX).await?;
        // Entries that do not begin at `start` would be taken for the ones that do.
        Ok(entries
            .into_iter()
            .skip_while(|entry| entry.log_id.index != start)
            .collect())
    }

    // A member that was away for long applies many entries; only a step of them is in memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let steps =
            futures::stream::try_unfold((self.clone(), from), move |(store, from)| async move {
                if from >= to {
                    return Ok::<_, io::Error>(None);
                }
                let entries = store.read(from, to, READ_BYTES_MAX).await?;
                let next = entries.last().map(|entry| entry.log_id.index + 1);
                let entries = futures::stream::iter(entries.into_iter().map(Ok));
                Ok(next.map(|next| (entries, (store, next))))
            });
        futures::TryStreamExt::try_flatten(steps)
    }
}

impl<C: Types> RaftLogStorage<C> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<C>> {
        let view = self.log.view();
        Ok(LogState {
            last_purged_log_id: view.purged.and_then(theirs),
            last_log_id: view.last.and_then(theirs),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if planted::has(Fault::VoteNotPersisted) {
            return Ok(());
        }
        let (tx, rx) = oneshot::channel();
        // Whoever waits may be gone; the vote is saved all the same.
        self.log.save_vote(
            codec::encode(vote)?,
            Box::new(move |result| drop(tx.send(result))),
        )?;
        rx.await.map_err(io::Error::other)?
    }

    // In memory only: it goes to disk with the next group. A write of its own would hold up
    // openraft's core and its heartbeats.
    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> io::Result<()> {
        self.log.set_committed(committed.map(ours));
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<RaftLogId>> {
        Ok(self.log.view().committed.and_then(theirs))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries
            .into_iter()
            .map(to_log_entry)
            .collect::<Result<Vec<_>, _>>()?;
        self.log.append(
            entries,
            Box::new(move |result| callback.io_completed(result)),
        )
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> io::Result<()> {
        self.log.truncate_after(last_log_id.map(ours))
    }

    async fn purge(&mut self, log_id: RaftLogId) -> io::Result<()> {
        self.log.purge(ours(log_id))
    }
}

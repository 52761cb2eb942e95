//! Which watchers want a key: a map for single keys, and for ranges a list in blocks that a key
//! passes over when none of their ranges reaches it. Watchers of the same range share one entry, so
//! that a change costs the ranges it falls into and not the watchers there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::queue::StreamQueue;
use super::{Change, ChangeKind, WatchSpec};
use crate::mvcc::KeyRange;

/// Ranges in one block before it is split.
const BLOCK_MAX: usize = 64;

/// One watch of one stream.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Its id in the stream.
    pub(super) id: i64,
    /// Different for each watcher of a hub.
    pub(super) serial: u64,
    /// What it wants.
    pub(super) spec: WatchSpec,
    /// The keys it wants.
    pub(super) range: KeyRange,
    /// The stream it belongs to.
    pub(super) stream: Arc<StreamQueue>,
}

impl Watcher {
    /// True if the watcher wants this kind of change. Does not look at the key.
    pub(super) fn wants_kind(&self, change: &Change) -> bool {
        match change.kind {
            ChangeKind::Put => !self.spec.filter_put,
            ChangeKind::Delete => !self.spec.filter_delete,
        }
    }

    /// True if the watcher wants this change.
    pub(super) fn wants(&self, change: &Change) -> bool {
        self.wants_kind(change) && self.range.contains(&change.kv.key)
    }
}

/// A watcher that has seen everything before the next batch.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    /// Who.
    pub(super) watcher: Arc<Watcher>,
    /// It wants nothing before this revision.
    pub(super) from: i64,
}

/// Where a range ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Before(Bytes),
    Never,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => end.as_ref() > key,
            Self::Never => true,
        }
    }
}

#[derive(Debug)]
struct Group {
    start: Bytes,
    end: End,
    watchers: Vec<Synced>,
}

impl Group {
    fn is_before(&self, start: &Bytes, end: &End) -> bool {
        (&self.start, &self.end) < (start, end)
    }
}

/// Groups in order of start and end. Never empty.
#[derive(Debug)]
struct Block {
    groups: Vec<Group>,
    /// No range of the block ends later.
    end_max: End,
}

impl Block {
    fn new(groups: Vec<Group>) -> Option<Self> {
        let end_max = groups.iter().map(|group| &group.end).max()?.clone();
        Some(Self { groups, end_max })
    }
}

/// All watchers that have kept up.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    single: BTreeMap<Bytes, Vec<Synced>>,
    blocks: Vec<Block>,
    len: usize,
}

impl Matcher {
    /// How many watchers there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a watcher.
    pub(super) fn insert(&mut self, synced: Synced) {
        self.len += 1;
        match split(&synced.watcher.range) {
            None => {}
            Some((key, None)) => self.single.entry(key).or_default().push(synced),
            Some((start, Some(end))) => self.insert_range(start, end, synced),
        }
    }

    fn insert_range(&mut self, start: Bytes, end: End, synced: Synced) {
        let after = self
            .blocks
            .partition_point(|block| match block.groups.first() {
                Some(first) => !(&start, &end).lt(&(&first.start, &first.end)),
                None => true,
            });
        let Some(block) = self.blocks.get_mut(after.saturating_sub(1)) else {
            let group = Group {
                start,
                end,
                watchers: vec![synced],
            };
            self.blocks.extend(Block::new(vec![group]));
            return;
        };
        let at = block
            .groups
            .partition_point(|group| group.is_before(&start, &end));
        match block.groups.get_mut(at) {
            Some(group) if group.start == start && group.end == end => group.watchers.push(synced),
            _ => {
                block.end_max = block.end_max.clone().max(end.clone());
                block.groups.insert(
                    at,
                    Group {
                        start,
                        end,
                        watchers: vec![synced],
                    },
                );
            }
        }
        if block.groups.len() > BLOCK_MAX {
            let tail = block.groups.split_off(BLOCK_MAX / 2);
            let head = std::mem::take(&mut block.groups);
            let halves = [head, tail].into_iter().filter_map(Block::new);
            let place = after.saturating_sub(1);
            self.blocks.splice(place..=place, halves);
        }
    }

    /// Takes a watcher out; none if it is not here.
    pub(super) fn remove(&mut self, watcher: &Watcher) -> Option<Synced> {
        let removed = match split(&watcher.range)? {
            (key, None) => {
                let watchers = self.single.get_mut(&key)?;
                let removed = take(watchers, watcher.serial)?;
                if watchers.is_empty() {
                    self.single.remove(&key);
                }
                removed
            }
            (start, Some(end)) => self.remove_range(&start, &end, watcher.serial)?,
        };
        self.len -= 1;
        Some(removed)
    }

    fn remove_range(&mut self, start: &Bytes, end: &End, serial: u64) -> Option<Synced> {
        let after = self
            .blocks
            .partition_point(|block| match block.groups.first() {
                Some(first) => !(start, end).lt(&(&first.start, &first.end)),
                None => true,
            });
        let place = after.checked_sub(1)?;
        let block = self.blocks.get_mut(place)?;
        let at = block
            .groups
            .partition_point(|group| group.is_before(start, end));
        let group = block.groups.get_mut(at)?;
        if (&group.start, &group.end) != (start, end) {
            return None;
        }
        let removed = take(&mut group.watchers, serial)?;
        if group.watchers.is_empty() {
            block.groups.remove(at);
            let rest = Block::new(std::mem::take(&mut block.groups));
            self.blocks.splice(place..=place, rest);
        }
        Some(removed)
    }

    /// Calls `visit` for each watcher of `key`.
    pub(super) fn each(&self, key: &[u8], visit: &mut dyn FnMut(&Synced)) {
        for synced in self.single.get(key).into_iter().flatten() {
            visit(synced);
        }
        for block in &self.blocks {
            if block
                .groups
                .first()
                .is_some_and(|first| first.start.as_ref() > key)
            {
                return;
            }
            if !block.end_max.is_after(key) {
                continue;
            }
            let started = block
                .groups
                .iter()
                .take_while(|group| group.start.as_ref() <= key);
            for group in started.filter(|group| group.end.is_after(key)) {
                group.watchers.iter().for_each(&mut *visit);
            }
        }
    }

    /// Takes every watcher out.
    pub(super) fn drain(&mut self) -> Vec<Synced> {
        self.len = 0;
        let single = std::mem::take(&mut self.single).into_values().flatten();
        let blocks = std::mem::take(&mut self.blocks).into_iter();
        let ranges = blocks
            .flat_map(|block| block.groups)
            .flat_map(|group| group.watchers);
        single.chain(ranges).collect()
    }
}

/// A range as its start and end; without an end it is a single key. None if it is empty.
fn split(range: &KeyRange) -> Option<(Bytes, Option<End>)> {
    match range {
        KeyRange::Single(key) => Some((key.clone(), None)),
        KeyRange::From(start) => Some((start.clone(), Some(End::Never))),
        KeyRange::Between(start, end) if start < end => {
            Some((start.clone(), Some(End::Before(end.clone()))))
        }
        KeyRange::Between(..) => None,
    }
}

fn take(watchers: &mut Vec<Synced>, serial: u64) -> Option<Synced> {
    let at = watchers
        .iter()
        .position(|synced| synced.watcher.serial == serial)?;
    Some(watchers.swap_remove(at))
}

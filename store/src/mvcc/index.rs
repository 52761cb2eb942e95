//! All keys in memory: the live ones with where their pair is stored, and, in a side list, the older
//! versions that no compaction has dropped yet.
//!
//! Holds no values. The side list grows with the changes since the last compaction alone. Rebuilt
//! from the rows at start; must then equal what applying the log made.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;

use super::live_map::{self, Key, LiveMap};
use super::{KeyRange, Revision};

/// What is known of a key without its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Where the pair is stored.
    pub at: Revision,
    /// The revision that created the key.
    pub create_revision: i64,
    /// Changes since the creation, from 1.
    pub version: i64,
    /// The lease it hangs on; 0 if none. Not kept for older versions: there it is 0 too.
    pub lease: i64,
}

/// An older version, or a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Past {
    at: Revision,
    /// 0 marks a deletion.
    create_revision: i64,
    version: i64,
}

impl Past {
    fn of(live: &Live) -> Self {
        Self {
            at: live.at,
            create_revision: live.create_revision,
            version: live.version,
        }
    }

    fn deletion(at: Revision) -> Self {
        Self {
            at,
            create_revision: 0,
            version: 0,
        }
    }

    fn to_live(self) -> Option<Live> {
        (self.create_revision != 0).then_some(Live {
            at: self.at,
            create_revision: self.create_revision,
            version: self.version,
            lease: 0,
        })
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    live: LiveMap,
    /// Ascending; every entry is older than the live one of the same key.
    past: BTreeMap<Key, Vec<Past>>,
}

impl Index {
    /// How many keys are live.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// True if no key is live.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The live version of `key`.
    pub fn live(&self, key: &[u8]) -> Option<&Live> {
        self.live.get(key)
    }

    /// The version of `key` that is seen at revision `at`.
    pub fn at(&self, key: &[u8], at: i64) -> Option<Live> {
        seen(self.live.get(key), self.past.get(key), at)
    }

    /// Calls `visit` for each live key of `range` in order, until it returns false.
    pub fn walk_live(&self, range: &KeyRange, visit: &mut dyn FnMut(&[u8], &Live) -> bool) {
        for (key, live) in self.live_range(range) {
            if !visit(key, live) {
                return;
            }
        }
    }

    /// The live keys of `range` in order.
    pub fn live_range<'a>(
        &'a self,
        range: &'a KeyRange,
    ) -> impl Iterator<Item = (&'a Key, &'a Live)> {
        let bounds = range.bounds();
        bounds
            .map(|bounds| self.live.range(bounds))
            .into_iter()
            .flatten()
    }

    /// As [`Index::walk_live`], at revision `at`, which must not be compacted.
    pub fn walk_at(&self, range: &KeyRange, at: i64, visit: &mut dyn FnMut(&[u8], &Live) -> bool) {
        let Some(bounds) = range.bounds() else { return };
        let mut live = self.live.range(bounds).peekable();
        let mut past = self.past.range::<[u8], _>(bounds).peekable();
        while let Some((key, live, past)) = next_key(&mut live, &mut past) {
            if let Some(found) = seen(live, past, at)
                && !visit(key, &found)
            {
                return;
            }
        }
    }

    /// How many keys of `range` are live. Takes no longer for a large range than for a small one.
    pub fn count_live(&self, range: &KeyRange) -> usize {
        let all = |bounds| self.live.count(bounds, i64::MAX, &mut |_| {});
        range.bounds().map_or(0, all)
    }

    /// How many there were at revision `at`, which must not be compacted. Takes time in proportion to
    /// the keys of the range that have changed since the last compaction.
    pub fn count_at(&self, range: &KeyRange, at: i64) -> usize {
        let Some(bounds) = range.bounds() else {
            return 0;
        };
        let was_there = |key: &[u8]| seen(None, self.past.get(key), at).is_some();
        let mut changed_since = 0;
        let unchanged = self.live.count(bounds, at, &mut |key| {
            changed_since += usize::from(was_there(key));
        });
        // A deletion that is the last of a key's past: the key is gone, or came again after that.
        let deleted_since = self
            .past
            .range::<[u8], _>(bounds)
            .filter(|(_, past)| past.last().is_some_and(|last| last.create_revision == 0))
            .filter(|(key, past)| {
                seen(None, Some(past), at).is_some() && self.live.get(key).is_none()
            });
        unchanged + changed_since + deleted_since.count()
    }

    /// Records a put. Revisions must come in order.
    pub fn put(&mut self, key: &[u8], live: Live) {
        if let Some(old) = self.live.insert(key, live) {
            self.past
                .entry(key.into())
                .or_default()
                .push(Past::of(&old));
        }
    }

    /// Records a deletion.
    pub fn delete(&mut self, key: &[u8], at: Revision) {
        let old = self.live.remove(key);
        let past = self.past.entry(key.into()).or_default();
        past.extend(old.as_ref().map(Past::of));
        past.push(Past::deletion(at));
    }

    /// Adds a live key while rebuilding.
    pub fn load_live(&mut self, key: &[u8], live: Live) {
        self.live.insert(key, live);
    }

    /// Adds an older version while rebuilding, in order. `None` is a deletion.
    pub fn load_past(&mut self, key: &[u8], at: Revision, version: Option<Live>) {
        let past = version.as_ref().map_or(Past::deletion(at), Past::of);
        self.past.entry(key.into()).or_default().push(past);
    }

    /// True if an older version of `key` has been loaded.
    pub fn has_past(&self, key: &[u8]) -> bool {
        self.past.contains_key(key)
    }

    /// Drops older versions that nothing at or after revision `at` can see, for at most `keys_max`
    /// keys after `after`. Returns the last key looked at, or none when all are done.
    pub fn compact(&mut self, at: i64, after: Option<&[u8]>, keys_max: usize) -> Option<Vec<u8>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let mut last = None;
        let mut looked_at = 0;
        let mut emptied = Vec::new();
        for (key, versions) in self
            .past
            .range_mut::<[u8], _>((start, Unbounded))
            .take(keys_max)
        {
            let is_live_enough = self.live.get(key).is_some_and(|live| live.at.main <= at);
            let keep_from = if is_live_enough {
                versions.len()
            } else {
                first_needed(versions, at)
            };
            versions.drain(..keep_from);
            if versions.is_empty() {
                emptied.push(key.clone());
            } else {
                versions.shrink_to_fit();
            }
            looked_at += 1;
            last = Some(key.to_vec());
        }
        for key in emptied {
            self.past.remove(&key);
        }
        if looked_at == keys_max { last } else { None }
    }
}

/// The first of `versions` that a read at or after revision `at` can see.
fn first_needed(versions: &[Past], at: i64) -> usize {
    let later = versions.partition_point(|version| version.at.main <= at);
    match later.checked_sub(1).and_then(|newest| versions.get(newest)) {
        // A read at `at` still sees this one; a deletion shows nothing and can go.
        Some(newest) if newest.create_revision != 0 => later - 1,
        _ => later,
    }
}

fn seen(live: Option<&Live>, past: Option<&Vec<Past>>, at: i64) -> Option<Live> {
    if let Some(live) = live
        && live.at.main <= at
    {
        return Some(*live);
    }
    let past = past?;
    let later = past.partition_point(|version| version.at.main <= at);
    past.get(later.checked_sub(1)?)?.to_live()
}

type Merged<'a> = (&'a [u8], Option<&'a Live>, Option<&'a Vec<Past>>);

/// The next key of either map, with what each holds of it.
fn next_key<'a>(
    live: &mut Peekable<live_map::Range<'a>>,
    past: &mut Peekable<btree_map::Range<'a, Key, Vec<Past>>>,
) -> Option<Merged<'a>> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (live.peek(), past.peek()) {
        (None, None) => return None,
        (Some(_), None) => Less,
        (None, Some(_)) => Greater,
        (Some((live, _)), Some((past, _))) => live.cmp(past),
    };
    let live = if order == Greater { None } else { live.next() };
    let past = if order == Less { None } else { past.next() };
    debug_assert!(order != Equal || live.is_some() && past.is_some());
    let key = live.map(|(key, _)| key).or(past.map(|(key, _)| key))?;
    Some((key, live.map(|(_, live)| live), past.map(|(_, past)| past)))
}

//! The live keys in order: a B+tree whose parts know how many keys they hold, and how new the newest
//! of them is.
//!
//! So the keys of a range are counted, as they are or as they were, without a walk over them: only
//! parts that reach over the range's ends, or that have changed since, are looked into.

use std::mem;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::slice;

use super::Live;
use super::range::Bounds;

/// A key, with no room to grow.
pub type Key = Box<[u8]>;

/// Entries of a leaf, or children of an inner part, at most.
const SLOTS_MAX: usize = 64;
/// With fewer, a part is put together with its neighbour if both together leave room to grow.
const SLOTS_MIN: usize = SLOTS_MAX / 4;
const MERGED_MAX: usize = SLOTS_MAX / 4 * 3;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct LiveMap {
    root: Part,
}

/// A part of the tree. All leaves lie at one depth.
#[derive(Clone, Debug, Default)]
struct Part {
    /// No key of this part is less, and all keys of the parts before it are. Not so in the first of
    /// its siblings, which takes whatever is less than the second.
    first: Key,
    /// Keys in it.
    count: usize,
    /// No key in it was changed after this revision.
    newest: i64,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Vec<(Key, Live)>),
    Inner(Vec<Part>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Vec::new())
    }
}

impl LiveMap {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.root.count
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Live> {
        let mut node = &self.root.node;
        loop {
            match node {
                Node::Inner(parts) => node = &parts.get(place(parts, key))?.node,
                Node::Leaf(entries) => {
                    let at = find(entries, key).ok()?;
                    return entries.get(at).map(|(_, live)| live);
                }
            }
        }
    }

    /// Puts a key; what was known of it before.
    pub fn insert(&mut self, key: &[u8], live: Live) -> Option<Live> {
        let (old, right) = self.root.insert(key, live);
        if let Some(right) = right {
            let left = mem::take(&mut self.root);
            self.root = Part::of(Node::Inner(vec![left, right]));
        }
        old
    }

    /// Takes a key out; what was known of it.
    pub fn remove(&mut self, key: &[u8]) -> Option<Live> {
        let old = self.root.remove(key)?;
        while let Node::Inner(parts) = &mut self.root.node
            && parts.len() <= 1
        {
            self.root = parts.pop().unwrap_or_default();
        }
        Some(old)
    }

    /// All keys, in order.
    pub fn iter(&self) -> Range<'_> {
        self.range((Unbounded, Unbounded))
    }

    /// The keys within `bounds`, in order.
    pub fn range<'a>(&'a self, bounds: Bounds<'a>) -> Range<'a> {
        let (start, end) = bounds;
        let mut above = Vec::new();
        let mut node = &self.root.node;
        loop {
            match node {
                Node::Inner(parts) => {
                    let mut rest = parts.iter();
                    let within = match start {
                        Unbounded => 0,
                        Included(key) | Excluded(key) => place(parts, key),
                    };
                    let Some(part) = rest.nth(within) else {
                        return Range::default();
                    };
                    above.push(rest);
                    node = &part.node;
                }
                Node::Leaf(entries) => {
                    let from = entries.partition_point(|(key, _)| is_before(key, start));
                    let leaf = entries.get(from..).unwrap_or_default().iter();
                    return Range { above, leaf, end };
                }
            }
        }
    }

    /// How many keys within `bounds` were changed last at revision `at` or earlier. The others are
    /// shown to `changed`, in order.
    pub fn count(&self, bounds: Bounds<'_>, at: i64, changed: &mut dyn FnMut(&[u8])) -> usize {
        self.root.count(bounds, at, changed)
    }
}

impl PartialEq for LiveMap {
    /// The same keys; the form of the tree depends on the past.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for LiveMap {}

impl Part {
    fn of(node: Node) -> Self {
        let (first, count, newest) = match &node {
            Node::Leaf(entries) => (
                entries.first().map(|(key, _)| key.clone()),
                entries.len(),
                entries.iter().map(|(_, live)| live.at.main).max(),
            ),
            Node::Inner(parts) => (
                parts.first().map(|part| part.first.clone()),
                parts.iter().map(|part| part.count).sum(),
                parts.iter().map(|part| part.newest).max(),
            ),
        };
        Self {
            first: first.unwrap_or_default(),
            count,
            newest: newest.unwrap_or_default(),
            node,
        }
    }

    fn slots(&self) -> usize {
        match &self.node {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(parts) => parts.len(),
        }
    }

    /// Puts a key. If this part was full, half of it comes back as its new neighbour on the right.
    fn insert(&mut self, key: &[u8], live: Live) -> (Option<Live>, Option<Self>) {
        let (old, right) = match &mut self.node {
            Node::Leaf(entries) => match find(entries, key) {
                Ok(at) => (Some(mem::replace(&mut entries[at].1, live)), None),
                Err(at) => {
                    let right = insert(entries, at, (key.into(), live));
                    (None, right.map(Node::Leaf))
                }
            },
            Node::Inner(parts) => {
                let at = place(parts, key);
                let (old, split) = parts[at].insert(key, live);
                let right = split.and_then(|part| insert(parts, at + 1, part));
                (old, right.map(Node::Inner))
            }
        };
        self.count += usize::from(old.is_none());
        self.newest = self.newest.max(live.at.main);
        let right = right.map(Self::of);
        self.count -= right.as_ref().map_or(0, |part| part.count);
        (old, right)
    }

    fn remove(&mut self, key: &[u8]) -> Option<Live> {
        let old = match &mut self.node {
            Node::Leaf(entries) => {
                let at = find(entries, key).ok()?;
                entries.remove(at).1
            }
            Node::Inner(parts) => {
                let at = place(parts, key);
                let part = parts.get_mut(at)?;
                let old = part.remove(key)?;
                match part.slots() {
                    0 => drop(parts.remove(at)),
                    slots if slots < SLOTS_MIN => merge(parts, at),
                    _ => {}
                }
                old
            }
        };
        self.count -= 1;
        Some(old)
    }

    fn count(&self, bounds: Bounds<'_>, at: i64, changed: &mut dyn FnMut(&[u8])) -> usize {
        if self.newest <= at && bounds == (Unbounded, Unbounded) {
            return self.count;
        }
        let (start, end) = bounds;
        match &self.node {
            Node::Leaf(entries) => {
                let from = entries.partition_point(|(key, _)| is_before(key, start));
                let within = entries.iter().skip(from);
                let within = within.take_while(|(key, _)| !is_after(key, end));
                let mut count = 0;
                for (key, live) in within {
                    if live.at.main <= at {
                        count += 1;
                    } else {
                        changed(key);
                    }
                }
                count
            }
            Node::Inner(parts) => {
                let place_of = |bound, open| match bound {
                    Unbounded => open,
                    Included(key) | Excluded(key) => place(parts, key),
                };
                let (from, to) = (place_of(start, 0), place_of(end, parts.len() - 1));
                let mut count = 0;
                for (i, part) in parts.iter().enumerate().take(to + 1).skip(from) {
                    // What lies between the ends is in the range as a whole.
                    let start = if i == from { start } else { Unbounded };
                    let end = if i == to { end } else { Unbounded };
                    count += part.count((start, end), at, changed);
                }
                count
            }
        }
    }
}

/// The part that has the key, if any has.
fn place(parts: &[Part], key: &[u8]) -> usize {
    parts
        .partition_point(|part| *part.first <= *key)
        .saturating_sub(1)
}

fn find(entries: &[(Key, Live)], key: &[u8]) -> Result<usize, usize> {
    entries.binary_search_by(|(of_entry, _)| (**of_entry).cmp(key))
}

/// Inserts into a part's slots. If they were full, those for a new part on the right come back.
fn insert<T>(slots: &mut Vec<T>, at: usize, new: T) -> Option<Vec<T>> {
    if slots.len() < SLOTS_MAX {
        slots.insert(at, new);
        return None;
    }
    // Keys that come in order leave full parts behind.
    if at == slots.len() {
        return Some(vec![new]);
    }
    let half = slots.len() / 2;
    let mut right = slots.split_off(half);
    match at.checked_sub(half) {
        Some(at) => right.insert(at, new),
        None => slots.insert(at, new),
    }
    Some(right)
}

/// Puts a small part together with a neighbour, if there is one that is small enough.
fn merge(parts: &mut Vec<Part>, at: usize) {
    let slots = |i: usize| parts.get(i).map_or(SLOTS_MAX, Part::slots);
    let fits = |left: usize| slots(left) + slots(left + 1) <= MERGED_MAX;
    let left = match at.checked_sub(1) {
        Some(before) if fits(before) => before,
        _ if fits(at) => at,
        _ => return,
    };
    let right = parts.remove(left + 1);
    let part = &mut parts[left];
    part.count += right.count;
    part.newest = part.newest.max(right.newest);
    match (&mut part.node, right.node) {
        (Node::Leaf(left), Node::Leaf(entries)) => left.extend(entries),
        (Node::Inner(left), Node::Inner(mut parts)) => {
            // It is the first of its siblings no longer.
            if let Some(part) = parts.first_mut() {
                part.first = right.first;
            }
            left.extend(parts);
        }
        _ => unreachable!("all leaves lie at one depth"),
    }
}

fn is_before(key: &[u8], start: Bound<&[u8]>) -> bool {
    match start {
        Unbounded => false,
        Included(start) => key < start,
        Excluded(start) => key <= start,
    }
}

fn is_after(key: &[u8], end: Bound<&[u8]>) -> bool {
    match end {
        Unbounded => false,
        Included(end) => key > end,
        Excluded(end) => key >= end,
    }
}

/// Keys in order; see [`LiveMap::range`].
#[derive(Clone, Debug)]
pub struct Range<'a> {
    /// What comes after the leaf, part by part; the lowest last.
    above: Vec<slice::Iter<'a, Part>>,
    leaf: slice::Iter<'a, (Key, Live)>,
    end: Bound<&'a [u8]>,
}

impl Default for Range<'_> {
    fn default() -> Self {
        Self {
            above: Vec::new(),
            leaf: [].iter(),
            end: Unbounded,
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = (&'a Key, &'a Live);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, live)) = self.leaf.next() {
                if is_after(key, self.end) {
                    *self = Self::default();
                    return None;
                }
                return Some((key, live));
            }
            match self.above.last_mut()?.next() {
                None => drop(self.above.pop()),
                Some(part) => self.descend(&part.node),
            }
        }
    }
}

impl<'a> Range<'a> {
    fn descend(&mut self, mut node: &'a Node) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Inner(parts) => {
                    let mut rest = parts.iter();
                    let first = rest.next();
                    self.above.push(rest);
                    let Some(first) = first else { return };
                    node = &first.node;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The order of each list's elements, from the longest read of it.

use std::collections::{HashMap, HashSet};

use super::Reading;
use crate::check::txn::parse::Txns;
use crate::check::{Finding, Findings};

/// The lists of all keys.
#[derive(Debug)]
pub(super) struct Lists<'t> {
    /// By key: the longest list read, and who read it.
    longest: Vec<Option<Reading<'t>>>,
    /// By key: the positions in it of elements that no transaction can have appended.
    suspects: Vec<Vec<usize>>,
    /// Elements of any list that was read, by key.
    seen: HashSet<(u32, u32)>,
}

impl<'t> Lists<'t> {
    pub(super) fn new(txns: &Txns<'_>, readings: &[Reading<'t>]) -> Self {
        let mut longest: Vec<Option<Reading<'t>>> = vec![None; txns.keys.len()];
        for reading in readings {
            let so_far = &mut longest[reading.key as usize];
            if so_far.is_none_or(|so_far| so_far.list.len() < reading.list.len()) {
                *so_far = Some(*reading);
            }
        }
        let is_suspect = |key: u32, value: u32| txns.writer(key, value).is_none();
        let suspects = longest.iter().flatten().map(|reading| {
            let each = reading.list.iter().enumerate();
            let bad = each.filter(|(_, value)| is_suspect(reading.key, **value));
            (reading.key, bad.map(|(at, _)| at).collect())
        });
        let suspects: HashMap<u32, Vec<usize>> = suspects.collect();
        let mut lists = Self {
            suspects: (0..longest.len())
                .map(|key| u32::try_from(key).ok().and_then(|key| suspects.get(&key)))
                .map(|bad| bad.cloned().unwrap_or_default())
                .collect(),
            longest,
            seen: HashSet::new(),
        };
        for reading in readings {
            let is_new = lists.is_longest_read(reading) || !lists.is_prefix(reading);
            if is_new {
                let seen = reading.list.iter().map(|value| (reading.key, *value));
                lists.seen.extend(seen);
            }
        }
        lists
    }

    /// The elements of a key in their order.
    pub(super) fn order(&self, key: u32) -> &'t [u32] {
        self.longest[key as usize].map_or(&[], |reading| reading.list)
    }

    /// Every key that was read, and its order.
    pub(super) fn orders(&self) -> impl Iterator<Item = (u32, &'t [u32])> {
        let read = self.longest.iter().flatten();
        read.map(|reading| (reading.key, reading.list))
    }

    /// Whether what others had appended is the beginning of the order.
    pub(super) fn is_prefix(&self, reading: &Reading<'_>) -> bool {
        self.order(reading.key).starts_with(reading.outer())
    }

    /// Whether it saw all that was ever seen of the list.
    pub(super) fn is_longest(&self, reading: &Reading<'_>) -> bool {
        reading.outer().len() == self.order(reading.key).len()
    }

    fn is_longest_read(&self, reading: &Reading<'_>) -> bool {
        reading.list.len() == self.order(reading.key).len()
    }

    /// Whether anybody read the element.
    pub(super) fn is_seen(&self, key: u32, value: u32) -> bool {
        self.seen.contains(&(key, value))
    }

    /// Elements of the read that no transaction can have appended.
    pub(super) fn suspects(&self, txns: &Txns<'_>, reading: &Reading<'_>) -> Vec<u32> {
        if !self.order(reading.key).starts_with(reading.list) {
            let all = reading.list.iter().copied();
            return all
                .filter(|value| txns.writer(reading.key, *value).is_none())
                .collect();
        }
        // The longest list was looked through once, and all its beginnings with it.
        let known = &self.suspects[reading.key as usize];
        let in_prefix = known.iter().filter_map(|at| reading.list.get(*at).copied());
        in_prefix.collect()
    }
}

/// Lists with an element twice, lists of one key that contradict each other, and appends upon one
/// of a failed transaction.
pub(super) fn check(
    txns: &Txns<'_>,
    lists: &Lists<'_>,
    readings: &[Reading<'_>],
    found: &mut Findings,
) {
    for reading in readings {
        let is_prefix = lists.order(reading.key).starts_with(reading.list);
        if !is_prefix || lists.is_longest_read(reading) {
            check_duplicates(txns, reading, found);
        }
        if !is_prefix {
            found.add("incompatible-order", || contradiction(txns, lists, reading));
        }
    }
    for (key, order) in lists.orders() {
        for pair in order.windows(2) {
            let (Some(failed), Some(next)) =
                (txns.writers.get(&(key, pair[0])), txns.writer(key, pair[1]))
            else {
                continue;
            };
            if txns.is_failed(failed.txn) {
                found.add("dirty-update", || {
                    let what = format!(
                        "{} was appended to key {} upon {}, whose transaction had failed",
                        txns.values.value(pair[1]),
                        txns.keys.value(key),
                        txns.values.value(pair[0])
                    );
                    let [failed, next] =
                        [failed.txn, next.txn].map(|txn| txns.all[txn as usize].op);
                    Finding::new("dirty-update", what, &[failed, next])
                });
            }
        }
    }
}

fn check_duplicates(txns: &Txns<'_>, reading: &Reading<'_>, found: &mut Findings) {
    let mut sorted = reading.list.to_vec();
    sorted.sort_unstable();
    if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        found.add("duplicate-elements", || {
            let what = format!(
                "key {} was read with {} in it twice",
                txns.keys.value(reading.key),
                txns.values.value(twice[0])
            );
            let mut ops = vec![txns.all[reading.txn as usize].op];
            if let Some(writer) = txns.writers.get(&(reading.key, twice[0]))
                && writer.txn != reading.txn
            {
                ops.insert(0, txns.all[writer.txn as usize].op);
            }
            Finding::new("duplicate-elements", what, &ops)
        });
    }
}

fn contradiction(txns: &Txns<'_>, lists: &Lists<'_>, reading: &Reading<'_>) -> Finding {
    let what = format!(
        "two reads of key {} contradict each other: neither list begins with the other",
        txns.keys.value(reading.key)
    );
    let longest = lists.longest[reading.key as usize].map_or(reading.txn, |longest| longest.txn);
    let [one, other] = [longest, reading.txn].map(|txn| txns.all[txn as usize].op);
    Finding::new("incompatible-order", what, &[one, other])
}

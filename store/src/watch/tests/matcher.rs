//! The matcher against asking every watcher.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::mvcc::KeyRange;
use crate::watch::WatchSpec;
use crate::watch::group::{Matcher, Synced, Watcher};
use crate::watch::queue::StreamQueue;

fn watcher(serial: u64, range: KeyRange) -> Arc<Watcher> {
    let stream = Arc::new(StreamQueue::default());
    Arc::new(Watcher {
        id: 0,
        serial,
        spec: WatchSpec::default(),
        range,
        stream,
    })
}

fn key() -> impl Strategy<Value = Bytes> {
    vec(0_u8..12, 1..3).prop_map(Bytes::from)
}

fn range() -> impl Strategy<Value = KeyRange> {
    let end =
        prop_oneof![2 => Just(Bytes::new()), 1 => Just(Bytes::from_static(b"\0")), 9 => key()];
    (key(), end).prop_map(|(key, end)| KeyRange::new(&key, &end))
}

fn matched(matcher: &Matcher, key: &[u8]) -> Vec<u64> {
    let mut serials = Vec::new();
    matcher.each(key, &mut |synced| serials.push(synced.watcher.serial));
    serials.sort_unstable();
    serials
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_finds_its_watchers(
        ranges in vec(range(), 0..300), removed in vec(any::<prop::sample::Index>(), 0..200),
        keys in vec(key(), 20),
    ) {
        let watchers: Vec<_> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .zip(0..)
            .map(|(range, serial)| watcher(serial, range))
            .collect();
        let mut matcher = Matcher::default();
        for watcher in &watchers {
            matcher.insert(Synced { watcher: watcher.clone(), from: 0 });
        }
        let mut gone = BTreeSet::new();
        if !watchers.is_empty() {
            for index in removed {
                let watcher = index.get(&watchers);
                let was_there = gone.insert(watcher.serial);
                prop_assert_eq!(matcher.remove(watcher).is_some(), was_there);
            }
        }
        prop_assert_eq!(matcher.len(), watchers.len() - gone.len());
        for key in keys {
            let wanted: Vec<_> = watchers
                .iter()
                .filter(|watcher| !gone.contains(&watcher.serial) && watcher.range.contains(&key))
                .map(|watcher| watcher.serial)
                .collect();
            prop_assert_eq!(matched(&matcher, &key), wanted);
        }
        prop_assert_eq!(matcher.drain().len(), watchers.len() - gone.len());
    }
}

//! The tree beside the standard library's map, over keys few enough to meet again and many enough to
//! split and merge its parts.

use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

use proptest::prelude::*;

use super::{LiveMap, Node, Part, SLOTS_MAX};
use crate::mvcc::{Live, Revision};

fn live(main: i64) -> Live {
    Live {
        at: Revision { main, sub: 0 },
        create_revision: 1,
        version: 1,
        lease: 0,
    }
}

/// All that the parts say of themselves; the depth of the leaves.
fn check(part: &Part, is_root: bool) -> usize {
    assert!(part.slots() <= SLOTS_MAX);
    match &part.node {
        Node::Leaf(entries) => {
            assert!(is_root || !entries.is_empty());
            assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
            assert_eq!(part.count, entries.len());
            let newest = entries.iter().map(|(_, live)| live.at.main).max();
            assert!(newest.unwrap_or_default() <= part.newest);
            1
        }
        Node::Inner(parts) => {
            assert!(parts.len() > usize::from(is_root));
            assert_eq!(part.count, parts.iter().map(|p| p.count).sum::<usize>());
            assert!(parts.iter().all(|p| p.newest <= part.newest));
            let depths: Vec<_> = parts.iter().map(|part| check(part, false)).collect();
            assert!(depths.iter().all(|depth| depth == &depths[0]));
            depths[0] + 1
        }
    }
}

fn compare(
    tree: &LiveMap,
    map: &BTreeMap<Vec<u8>, Live>,
    bounds: &(Bound<Vec<u8>>, Bound<Vec<u8>>),
    at: i64,
) {
    let (start, end) = (bounds.0.as_ref(), bounds.1.as_ref());
    let bounds = (start.map(Vec::as_slice), end.map(Vec::as_slice));
    let wanted: Vec<_> = map
        .range::<[u8], _>(bounds)
        .map(|(k, l)| (k.clone(), *l))
        .collect();
    let got: Vec<_> = tree.range(bounds).map(|(k, l)| (k.to_vec(), *l)).collect();
    assert_eq!(got, wanted);
    let mut changed = Vec::new();
    let count = tree.count(bounds, at, &mut |key| changed.push(key.to_vec()));
    let (old, new): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, live)| live.at.main <= at);
    assert_eq!(count, old.len());
    assert_eq!(
        changed,
        new.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    );
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16),
    /// So many from there on, in order or against it.
    Run(u16, u16, bool),
    Remove(u16),
    /// So many from there on.
    Clear(u16, u16),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_u16..2000;
    prop_oneof![
        4 => number.clone().prop_map(Step::Put),
        2 => (number.clone(), 1_u16..300, any::<bool>()).prop_map(|(n, count, up)| Step::Run(n, count, up)),
        3 => number.clone().prop_map(Step::Remove),
        2 => (number, 1_u16..500).prop_map(|(n, count)| Step::Clear(n, count)),
    ]
}

/// In the order of the numbers, of different lengths.
fn key(number: u16) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.resize(2 + usize::from(number % 5), b'x');
    key
}

fn bounds() -> impl Strategy<Value = (Bound<Vec<u8>>, Bound<Vec<u8>>)> {
    let bound = (0_u8..3, 0_u16..2100);
    (bound.clone(), bound).prop_map(|((a, start), (b, end))| {
        let bound = |kind, number| match kind {
            0 => Unbounded,
            1 => Included(key(number)),
            _ => Excluded(key(number)),
        };
        // An empty or inverted range never gets here.
        (bound(a, start.min(end)), bound(b, start.max(end) + 1))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_is_a_map_that_counts(
        steps in prop::collection::vec(step(), 1..60),
        ranges in prop::collection::vec((bounds(), 0_i64..4000), 8),
    ) {
        let (mut tree, mut map) = (LiveMap::default(), BTreeMap::new());
        let mut revision = 0;
        for step in steps {
            let (numbers, is_put): (Vec<u16>, bool) = match step {
                Step::Put(n) => (vec![n], true),
                Step::Run(n, count, true) => ((n..n + count).collect(), true),
                Step::Run(n, count, false) => ((n..n + count).rev().collect(), true),
                Step::Remove(n) => (vec![n], false),
                Step::Clear(n, count) => ((n..n + count).collect(), false),
            };
            for number in numbers {
                let key = key(number);
                revision += 1;
                if is_put {
                    prop_assert_eq!(tree.insert(&key, live(revision)), map.insert(key.clone(), live(revision)));
                    prop_assert_eq!(tree.get(&key), map.get(&key));
                } else {
                    prop_assert_eq!(tree.remove(&key), map.remove(&key));
                    prop_assert_eq!(tree.get(&key), None);
                }
            }
            check(&tree.root, true);
            prop_assert_eq!(tree.len(), map.len());
        }
        for (bounds, at) in ranges {
            compare(&tree, &map, &bounds, at);
        }
        let same: LiveMap = {
            let mut same = LiveMap::default();
            for (key, live) in map.iter().rev() {
                same.insert(key, *live);
            }
            same
        };
        prop_assert_eq!(&same, &tree);
    }
}

#[test]
fn keys_in_order_fill_the_leaves() {
    let mut tree = LiveMap::default();
    for number in 0..6400 {
        tree.insert(&key(number), live(1));
    }
    let Node::Inner(top) = &tree.root.node else {
        panic!("6400 keys in one leaf");
    };
    let leaves = top.iter().map(|part| part.slots()).sum::<usize>();
    assert!(leaves <= 6400 / SLOTS_MAX + 2, "{leaves} leaves");
}

//! A set of keys, put together from permissions on keys and ranges of keys.
//!
//! Permissions of one user count as one: two that meet cover a range that reaches over both.

use bytes::{BufMut, Bytes, BytesMut};

/// Where a piece of the key space ends. Ordered: no end is after every key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Before this key.
    Before(Bytes),
    Never,
}

impl End {
    /// By etcd's rules for `range_end`: none is the key alone, a zero byte is everything from it on.
    fn new(key: &[u8], range_end: &[u8]) -> Self {
        match range_end {
            [] => {
                // The next key that there can be.
                let mut next = BytesMut::with_capacity(key.len() + 1);
                next.put_slice(key);
                next.put_u8(0);
                Self::Before(next.freeze())
            }
            [0] => Self::Never,
            end => Self::Before(Bytes::copy_from_slice(end)),
        }
    }

    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < end.as_ref(),
            Self::Never => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    start: Bytes,
    end: End,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Invariant: sorted, and between each and the next there is a key that is in neither.
    pieces: Vec<Piece>,
}

impl Ranges {
    /// The union of ranges, each given by `key` and `range_end`.
    pub fn union<'a>(ranges: impl IntoIterator<Item = (&'a Bytes, &'a Bytes)>) -> Self {
        let mut all: Vec<Piece> = ranges
            .into_iter()
            .map(|(key, range_end)| Piece {
                start: key.clone(),
                end: End::new(key, range_end),
            })
            .filter(|piece| piece.end.is_after(&piece.start))
            .collect();
        all.sort_by(|a, b| a.start.cmp(&b.start));
        let mut pieces: Vec<Piece> = Vec::with_capacity(all.len());
        for piece in all {
            match pieces.last_mut() {
                Some(last) if last.end >= End::Before(piece.start.clone()) => {
                    last.end = std::mem::replace(&mut last.end, End::Never).max(piece.end);
                }
                _ => pieces.push(piece),
            }
        }
        Self { pieces }
    }

    /// True if every key of the range is in the set. A range without keys counts as its first key, so
    /// that no request reaches a key that its sender knows nothing of.
    pub fn covers(&self, key: &[u8], range_end: &[u8]) -> bool {
        let after = self.pieces.partition_point(|piece| piece.start <= key);
        let Some(piece) = after.checked_sub(1).and_then(|at| self.pieces.get(at)) else {
            return false;
        };
        if !piece.end.is_after(key) {
            return false;
        }
        match range_end {
            [] => true,
            [0] => piece.end == End::Never,
            end => match &piece.end {
                End::Before(last) => end <= last.as_ref(),
                End::Never => true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::Ranges;

    fn set(ranges: &[(&'static str, &'static str)]) -> Ranges {
        let owned: Vec<(Bytes, Bytes)> = ranges
            .iter()
            .map(|(key, end)| {
                (
                    Bytes::from_static(key.as_bytes()),
                    Bytes::from_static(end.as_bytes()),
                )
            })
            .collect();
        Ranges::union(owned.iter().map(|(key, end)| (key, end)))
    }

    #[test]
    fn a_range_is_covered_by_one_or_by_several_that_meet() {
        let cases = [
            // A key alone never is the keys after it.
            (&[("a", "")][..], "a", "", true),
            (&[("a", "")], "b", "", false),
            (&[("a", "")], "a", "\0", false),
            (&[("a", "")], "a", "b", false),
            (&[("a", "")], "a", "a\0", true),
            (&[("a", "c")], "a", "c", true),
            (&[("a", "c")], "b", "", true),
            (&[("a", "c")], "c", "", false),
            (&[("a", "c")], "a", "c\0", false),
            (&[("a", "c")], "b", "\0", false),
            (&[("a", "c"), ("c", "e")], "b", "d", true),
            (&[("a", "c"), ("d", "e")], "b", "e", false),
            (&[("d", "e"), ("a", "d")], "a", "e", true),
            (&[("a", "z"), ("b", "c")], "d", "e", true),
            (&[("a", ""), ("a\0", "")], "a", "a\0\0", true),
            (&[("a", "c"), ("b", "\0")], "a", "\0", true),
            (&[("b", "\0")], "\0", "\0", false),
            (&[("\0", "\0")], "\0", "\0", true),
            (&[("b", "\0")], "b", "zzz", true),
            (&[], "a", "", false),
            // Ranges without a key.
            (&[("a", "c")], "b", "a", true),
            (&[("a", "c")], "d", "a", false),
            (&[("c", "a")], "b", "", false),
        ];
        for (ranges, key, end, expected) in cases {
            let covered = set(ranges).covers(key.as_bytes(), end.as_bytes());
            assert_eq!(covered, expected, "{ranges:?} {key:?} {end:?}");
        }
    }

    /// What etcd asks its tree: do those that overlap the range, in order, reach from its start to
    /// its end without a gap? Its empty end is after every key.
    fn as_etcd(ranges: &[(Bytes, Bytes)], key: &[u8], range_end: &[u8]) -> bool {
        let end = |key: &[u8], end: &[u8]| match end {
            [] => Some([key, &[0]].concat()),
            [0] => None,
            end => Some(end.to_vec()),
        };
        // None is the greatest.
        let le = |a: &Option<Vec<u8>>, b: &Option<Vec<u8>>| match (a, b) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(a), Some(b)) => a <= b,
        };
        let wanted_end = end(key, range_end);
        let mut nodes: Vec<(Vec<u8>, Option<Vec<u8>>)> = ranges
            .iter()
            .map(|(key, range_end)| (key.to_vec(), end(key, range_end)))
            .filter(|(start, end)| {
                let left = key < start.as_slice() && le(&wanted_end, &Some(start.clone()));
                let right = le(end, &Some(key.to_vec()));
                !left && !right
            })
            .collect();
        nodes.sort();
        let Some((start, mut reached)) = nodes.first().cloned() else {
            return false;
        };
        for (start, end) in &nodes {
            if !le(&Some(start.clone()), &reached) {
                return false;
            }
            if le(&reached, end) {
                reached.clone_from(end);
            }
        }
        le(&wanted_end, &reached) && start.as_slice() <= key
    }

    fn range() -> impl Strategy<Value = (Bytes, Bytes)> {
        let key = || prop::collection::vec(prop::sample::select(vec![0_u8, b'a', b'b']), 0..3);
        (key(), key()).prop_map(|(mut key, end)| {
            if key.is_empty() {
                key.push(b'a');
            }
            (Bytes::from(key), Bytes::from(end))
        })
    }

    proptest! {
        #[test]
        fn covers_what_etcd_covers(
            ranges in prop::collection::vec(range(), 0..6),
            wanted in range(),
        ) {
            // etcd refuses to grant a range without a key.
            let granted: Vec<_> = ranges
                .into_iter()
                .filter(|(key, end)| end.is_empty() || end.as_ref() == [0] || key < end)
                .collect();
            let set = Ranges::union(granted.iter().map(|(key, end)| (key, end)));
            let (key, end) = wanted;
            prop_assert_eq!(set.covers(&key, &end), as_etcd(&granted, &key, &end));
        }
    }
}

//! The parts of the history that stand alone: key ranges, the index's side list, dead rows.

use bytes::Bytes;
use expect_test::{Expect, expect};

use super::{Index, KeyRange, Live, Revision};

fn range(key: &str, end: &str) -> KeyRange {
    KeyRange::new(
        &Bytes::copy_from_slice(key.as_bytes()),
        &Bytes::copy_from_slice(end.as_bytes()),
    )
}

#[test]
fn ranges_read_as_etcd_reads_them() {
    for (key, end, inside, outside) in [
        ("a", "", &["a"][..], &["", "aa", "b"][..]),
        ("a", "c", &["a", "aa", "b", "bzz"], &["", "c", "d"]),
        ("a", "\0", &["a", "b", "zzz"], &["", "A"]),
        ("\0", "\0", &["\0", "a"], &[""]),
        ("c", "a", &[], &["a", "b", "c"]),
    ] {
        let range = range(key, end);
        assert!(
            inside.iter().all(|key| range.contains(key.as_bytes())),
            "{range:?}"
        );
        assert!(
            !outside.iter().any(|key| range.contains(key.as_bytes())),
            "{range:?}"
        );
        assert_eq!(range.is_empty(), inside.is_empty());
        assert_eq!(range.bounds().is_none(), inside.is_empty());
    }
}

fn at(main: i64) -> Revision {
    Revision { main, sub: 0 }
}

fn live(main: i64, create_revision: i64, version: i64) -> Live {
    Live {
        at: at(main),
        create_revision,
        version,
        lease: 0,
    }
}

/// `a` is put at 2, 3 and 7 and deleted at 5; `b` is put at 4; `c` is put at 6 and deleted at 8.
fn index() -> Index {
    let mut index = Index::default();
    index.put(b"a", live(2, 2, 1));
    index.put(b"a", live(3, 2, 2));
    index.put(b"b", live(4, 4, 1));
    index.delete(b"a", at(5));
    index.put(b"c", live(6, 6, 1));
    index.put(b"a", live(7, 7, 1));
    index.delete(b"c", at(8));
    index
}

fn check(index: &Index, revisions: std::ops::RangeInclusive<i64>, expected: Expect) {
    let mut text = String::new();
    for revision in revisions {
        text.push_str(&format!("{revision}:"));
        let mut count = 0;
        index.walk_at(&range("\0", "\0"), revision, &mut |key, live| {
            let key = String::from_utf8_lossy(key);
            text.push_str(&format!(" {key}@{} v{}", live.at.main, live.version));
            count += 1;
            true
        });
        assert_eq!(index.count_at(&range("\0", "\0"), revision), count);
        text.push('\n');
    }
    expected.assert_eq(&text);
}

#[test]
fn every_revision_shows_its_own_state() {
    check(
        &index(),
        1..=8,
        expect![[r#"
            1:
            2: a@2 v1
            3: a@3 v2
            4: a@3 v2 b@4 v1
            5: b@4 v1
            6: b@4 v1 c@6 v1
            7: a@7 v1 b@4 v1 c@6 v1
            8: a@7 v1 b@4 v1
        "#]],
    );
}

#[test]
fn compaction_drops_what_is_not_seen_and_nothing_else() {
    for revision in 1..=8 {
        let mut compacted = index();
        let mut after = None;
        loop {
            after = compacted.compact(revision, after.as_deref(), 1);
            if after.is_none() {
                break;
            }
        }
        for seen in revision..=8 {
            for key in [b"a", b"b", b"c"] {
                assert_eq!(
                    compacted.at(key, seen),
                    index().at(key, seen),
                    "{revision} {seen}"
                );
            }
        }
        if revision == 8 {
            assert!(
                ![b"a", b"b", b"c"]
                    .iter()
                    .any(|key| compacted.has_past(*key))
            );
        }
    }
}

//! One body for both engines: what [`Engine`] promises.

use std::ops::ControlFlow;

use super::mem::MemOpener;
use super::rocks::RocksOptions;
use super::{Direction, Family, Opener, Reader, Span, WriteBatch};

fn each_engine(body: impl Fn(&dyn Opener)) {
    body(&MemOpener);
    body(&RocksOptions::default());
}

fn rows(pairs: &[(Family, &str, &str)]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (family, key, value) in pairs {
        batch.put(*family, key.as_bytes().to_vec(), value.as_bytes().to_vec());
    }
    batch
}

fn keys(
    reader: &(impl Reader + ?Sized),
    span: Span<'_>,
    direction: Direction,
    max: usize,
) -> String {
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        seen.push(String::from_utf8(key.to_vec()).unwrap());
        if seen.len() == max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    reader
        .scan(Family::Key, span, direction, &mut visit)
        .unwrap();
    seen.join(" ")
}

fn abc() -> WriteBatch {
    rows(&[
        (Family::Key, "a", "1"),
        (Family::Key, "b", "2"),
        (Family::Key, "c", "3"),
    ])
}

#[test]
fn scans_keep_to_their_span_and_direction() {
    each_engine(|opener| {
        let dir = tempfile::tempdir().unwrap();
        let engine = opener.open(&dir.path().join("e")).unwrap();
        engine.write(abc()).unwrap();
        engine
            .write(rows(&[(Family::Rev, "b", "elsewhere")]))
            .unwrap();
        let forward = |span| keys(&*engine, span, Direction::Forward, 9);
        let backward = |span| keys(&*engine, span, Direction::Backward, 9);
        assert_eq!(forward(Span::ALL), "a b c");
        assert_eq!(forward(Span::from(b"b")), "b c");
        assert_eq!(forward(Span::between(b"a", b"c")), "a b");
        assert_eq!(forward(Span::between(b"c", b"a")), "");
        assert_eq!(forward(Span::between(b"b", b"b")), "");
        assert_eq!(backward(Span::ALL), "c b a");
        assert_eq!(backward(Span::between(b"a", b"c")), "b a");
        assert_eq!(keys(&*engine, Span::ALL, Direction::Forward, 2), "a b");
    });
}

#[test]
fn a_snapshot_does_not_change() {
    each_engine(|opener| {
        let dir = tempfile::tempdir().unwrap();
        let engine = opener.open(&dir.path().join("e")).unwrap();
        engine.write(abc()).unwrap();
        let snapshot = engine.snapshot();
        let mut batch = rows(&[(Family::Key, "a", "changed")]);
        batch.delete(Family::Key, b"b".to_vec());
        engine.write(batch).unwrap();
        assert_eq!(
            snapshot.get(Family::Key, b"a").unwrap().unwrap().as_ref(),
            b"1"
        );
        let wanted = [b"b".to_vec(), b"none".to_vec(), b"a".to_vec()];
        let old = snapshot.multi_get(Family::Key, &wanted).unwrap();
        assert_eq!(old, [Some("2".into()), None, Some("1".into())]);
        let new = engine.multi_get(Family::Key, &wanted).unwrap();
        assert_eq!(new, [None, None, Some("changed".into())]);
        assert_eq!(keys(&*snapshot, Span::ALL, Direction::Forward, 9), "a b c");
        assert_eq!(keys(&*engine, Span::ALL, Direction::Forward, 9), "a c");
    });
}

#[test]
fn a_flush_and_a_checkpoint_hold_every_family() {
    each_engine(|opener| {
        let dir = tempfile::tempdir().unwrap();
        let (first, copy) = (dir.path().join("e"), dir.path().join("copy"));
        let engine = opener.open(&first).unwrap();
        let all = Family::ALL.map(|family| (family, "k", family.name()));
        engine.write(rows(&all)).unwrap();
        engine.flush().unwrap();
        engine.checkpoint(&copy).unwrap();
        engine.write(rows(&[(Family::Sys, "k", "later")])).unwrap();
        assert!(engine.sizes().unwrap().total_bytes > 0);
        let copy = opener.open(&copy).unwrap();
        drop(engine);
        let engine = opener.open(&first).unwrap();
        for family in Family::ALL {
            let held = copy.get(family, b"k").unwrap().unwrap();
            assert_eq!(held.as_ref(), family.name().as_bytes());
            assert!(engine.get(family, b"k").unwrap().is_some());
        }
    });
}

#[test]
fn a_copy_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksOptions::default().open(&dir.path().join("e")).unwrap();
    let target = dir.path().join("copy");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("file"), "of somebody else").unwrap();
    assert!(engine.checkpoint(&target).is_err());
}

#[test]
fn a_folder_in_use_or_damaged_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = RocksOptions::default();
    let engine = rocks.open(dir.path()).unwrap();
    engine.write(abc()).unwrap();
    engine.flush().unwrap();
    assert!(rocks.open(dir.path()).is_err(), "one engine per folder");
    drop(engine);
    std::fs::write(dir.path().join("CURRENT"), "nonsense").unwrap();
    assert!(rocks.open(dir.path()).is_err());
}

#[test]
fn a_flipped_bit_is_found_before_it_can_answer() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = RocksOptions::default();
    let engine = rocks.open(dir.path()).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..2000_u32 {
        batch.put(Family::Rev, number.to_be_bytes().to_vec(), vec![7; 100]);
    }
    engine.write(batch).unwrap();
    engine.flush().unwrap();
    drop(engine);
    let files = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let largest = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&largest, bytes).unwrap();
    let damaged = rocks.open(dir.path()).and_then(|engine| {
        engine.scan(Family::Rev, Span::ALL, Direction::Forward, &mut |_, _| {
            ControlFlow::Continue(())
        })
    });
    assert!(damaged.is_err());
}

#[test]
fn an_engine_that_stops_ends_its_scans() {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksOptions::default().open(&dir.path().join("e")).unwrap();
    engine.write(abc()).unwrap();
    let mut seen = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        seen += 1;
        engine.stop();
        ControlFlow::Continue(())
    };
    let scanned = engine.scan(Family::Key, Span::ALL, Direction::Forward, &mut visit);
    assert!(scanned.is_err() && seen == 1);
    // What is known to be there can still be had.
    assert!(engine.get(Family::Key, b"a").unwrap().is_some());
}

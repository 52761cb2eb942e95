//! What many starts leave on the disk.

use super::*;

#[test]
fn many_restarts_leave_little_behind() {
    let dir = tempfile::tempdir().unwrap();
    for index in 1..=20 {
        let log = Log::open(Options {
            segment_bytes: 4 << 20,
            ..options(dir.path())
        })
        .unwrap();
        append(&log, vec![entry(1, index, 100)]);
        log.close();
    }
    let bytes: u64 = segments(dir.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(bytes < 5 << 20, "{bytes} bytes for twenty small entries");
    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(all(&log).len(), 20);
    log.close();
}

/// As a death, or a loss of power, between the start of the next segment and the trim leaves them.
fn lengthen(dir: &Path) {
    for path in segments(dir) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(options(dir).segment_bytes).unwrap();
    }
}

#[test]
fn what_a_death_kept_from_being_trimmed_is_trimmed_later() {
    let dir = tempfile::tempdir().unwrap();
    for index in 1..=5 {
        let log = Log::open(options(dir.path())).unwrap();
        append(&log, vec![entry(1, index, 100)]);
        log.close();
        lengthen(dir.path());
    }
    // It dies, or is told of an error, while it opens.
    for (action, code) in [("panic", None), ("return", Some(101))] {
        let ended = run_child(dir.path(), &format!("log::segment_trimmed={action}"));
        assert_eq!(ended, (0, code), "{action}");
        lengthen(dir.path());
    }
    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(all(&log).len(), 5);
    log.close();
    let lengths = segments(dir.path()).into_iter();
    let lengths: Vec<u64> = lengths
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    let (last, older) = lengths.split_last().unwrap();
    let full = options(dir.path()).segment_bytes;
    assert_eq!(*last, full);
    assert!(older.iter().all(|len| *len < full / 4), "{lengths:?}");
}

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

#[test]
fn what_a_death_kept_from_being_trimmed_is_trimmed_later() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options {
        segment_bytes: 1 << 20,
        ..options(dir.path())
    };
    for index in 1..=5 {
        let log = Log::open(options()).unwrap();
        append(&log, vec![entry(1, index, 100)]);
        log.close();
        for path in segments(dir.path()) {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(1 << 20).unwrap();
        }
    }
    let log = Log::open(options()).unwrap();
    assert_eq!(all(&log).len(), 5);
    log.close();
    let lengths = segments(dir.path()).into_iter();
    let lengths: Vec<u64> = lengths
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    let (last, older) = lengths.split_last().unwrap();
    assert_eq!(*last, 1 << 20);
    assert!(older.iter().all(|len| *len < 100_000), "{lengths:?}");
}

//! The log against a model, against every torn tail and flipped bit, and against sudden death.
//!
//! Proves the crash invariants: what was acknowledged is found again (1), the vote never goes back (2),
//! and what is found is contiguous and whole, or opening refuses (3).

mod restarts;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Entry, Log, OpenError, Options, View};
use crate::consensus::LogId;

const PATIENCE: Duration = Duration::from_secs(20);

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 16 << 10,
        cache_bytes_max: 2 << 10,
        ..Options::new(dir.to_owned())
    }
}

fn entry(term: u64, index: u64, len: usize) -> Entry {
    let byte = u8::try_from((term * 31 + index) % 251).unwrap();
    Entry {
        log_id: LogId { term, index },
        kind: 1,
        payload: vec![byte; len].into(),
    }
}

/// Appends and waits until it is on disk.
fn append(log: &Log, entries: Vec<Entry>) {
    let (tx, rx) = mpsc::channel();
    log.append(entries, Box::new(move |result| tx.send(result).unwrap()))
        .unwrap();
    rx.recv_timeout(PATIENCE).unwrap().unwrap();
}

fn save_vote(log: &Log, vote: &str) {
    let (tx, rx) = mpsc::channel();
    log.save_vote(
        Bytes::copy_from_slice(vote.as_bytes()),
        Box::new(move |result| tx.send(result).unwrap()),
    )
    .unwrap();
    rx.recv_timeout(PATIENCE).unwrap().unwrap();
}

fn all(log: &Log) -> Vec<Entry> {
    log.read(0, u64::MAX, usize::MAX).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

/// A folder in memory where there is one: thousands of openings would spend minutes on syncs, and what
/// matters is which bytes they find.
fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = memory_dir();
    for path in segments(from) {
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn starts_empty_and_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(log.view(), View::default());
    append(&log, (1..=3).map(|index| entry(1, index, 10)).collect());
    save_vote(&log, "vote");
    log.set_committed(Some(LogId { term: 1, index: 2 }));
    append(&log, vec![entry(2, 4, 0)]);
    log.wait_durable(4).unwrap();
    let view = log.view();
    log.close();
    assert!(log.append(vec![entry(2, 5, 1)], Box::new(|_| {})).is_err());

    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(log.view(), view);
    assert_eq!(view.committed, Some(LogId { term: 1, index: 2 }));
    assert_eq!(all(&log).len(), 4);
    log.close();
}

#[test]
fn refuses_entries_that_leave_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    append(&log, vec![entry(1, 1, 10)]);
    assert!(log.append(vec![entry(1, 3, 10)], Box::new(|_| {})).is_err());
    assert_eq!(all(&log).len(), 1);
    log.close();
}

#[test]
fn a_purge_beyond_the_end_empties_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    append(&log, (1..=3).map(|index| entry(1, index, 10)).collect());
    let purged = LogId { term: 4, index: 50 };
    log.purge(purged).unwrap();
    assert_eq!(
        (log.view().purged, log.view().last),
        (Some(purged), Some(purged))
    );
    append(&log, vec![entry(4, 51, 10)]);
    log.close();
    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(log.view().purged, Some(purged));
    assert_eq!(all(&log), vec![entry(4, 51, 10)]);
    log.wait_durable(51).unwrap();
    log.wait_durable(50).unwrap();
    log.close();
}

#[test]
fn purged_segments_go_and_the_vote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    save_vote(&log, "early");
    for index in 1..=100 {
        append(&log, vec![entry(1, index, 1000)]);
    }
    let before = segments(dir.path()).len();
    log.purge(LogId { term: 1, index: 95 }).unwrap();
    append(&log, vec![entry(1, 101, 10)]);
    log.close();
    let after = segments(dir.path()).len();
    assert!(before > 5 && after <= 2, "{before} segments, then {after}");
    let log = Log::open(options(dir.path())).unwrap();
    assert_eq!(log.view().vote.as_deref(), Some(&b"early"[..]));
    assert_eq!(all(&log).first().unwrap().log_id.index, 96);
    log.close();
}

#[test]
fn only_one_process_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    assert!(matches!(
        Log::open(options(dir.path())),
        Err(OpenError::InUse(_))
    ));
    log.close();
    Log::open(options(dir.path())).unwrap().close();
}

#[test]
fn a_foreign_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("0000000000000000-0000000000000000.wal"),
        b"etcd",
    )
    .unwrap();
    assert!(matches!(
        Log::open(options(dir.path())),
        Err(OpenError::Foreign(_))
    ));
}

/// A log of some groups whose last one holds entry 6 and a vote of its own before it.
fn sample(dir: &Path) -> u64 {
    let log = Log::open(Options {
        segment_bytes: 64 << 10,
        ..options(dir)
    })
    .unwrap();
    save_vote(&log, "five");
    append(&log, (1..=4).map(|index| entry(1, index, 300)).collect());
    log.truncate_after(Some(LogId { term: 1, index: 3 }))
        .unwrap();
    append(&log, (4..=5).map(|index| entry(2, index, 700)).collect());
    let before = end_of_groups(dir);
    // With a sector of zeros, as a value may well have.
    let mut last = entry(2, 6, 0);
    last.payload = [vec![7; 200], vec![0; 1200]].concat().into();
    append(&log, vec![last]);
    log.close();
    before
}

fn end_of_groups(dir: &Path) -> u64 {
    let bytes = fs::read(segments(dir).pop().unwrap()).unwrap();
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    u64::try_from(used.next_multiple_of(512)).unwrap()
}

#[test]
fn a_tail_torn_at_any_byte_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let start = sample(dir.path());
    let end = end_of_groups(dir.path());
    for cut in start..end {
        for is_zeroed in [false, true] {
            // Most zero-filled cuts differ only in the payload.
            if is_zeroed && cut > start + 80 && cut % 97 != 0 && cut + 10 < end {
                continue;
            }
            let torn = copy(dir.path());
            let path = segments(torn.path()).pop().unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(cut).unwrap();
            if is_zeroed {
                file.set_len(end + 4096).unwrap();
            }
            drop(file);
            check_without_last(
                torn.path(),
                &format!("cut at {cut} of {start}..{end}, zeroed: {is_zeroed}"),
            );
        }
    }
}

#[test]
fn a_tail_with_any_sector_unwritten_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let start = usize::try_from(sample(dir.path())).unwrap();
    let end = usize::try_from(end_of_groups(dir.path())).unwrap();
    for sector in (start..end).step_by(512) {
        let torn = copy(dir.path());
        let path = segments(torn.path()).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        if bytes[sector..sector + 512].iter().all(|byte| *byte == 0) {
            continue;
        }
        bytes[sector..sector + 512].fill(0);
        fs::write(&path, bytes).unwrap();
        check_without_last(
            torn.path(),
            &format!("sector at {sector} of {start}..{end}"),
        );
    }
}

fn check_without_last(dir: &Path, what: &str) {
    let log = Log::open(options(dir)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let indexes: Vec<u64> = all(&log).iter().map(|entry| entry.log_id.index).collect();
    assert_eq!(indexes, [1, 2, 3, 4, 5], "{what}");
    assert_eq!(log.view().vote.as_deref(), Some(&b"five"[..]), "{what}");
    log.close();
}

#[test]
fn every_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let path = segments(dir.path()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let end = usize::try_from(end_of_groups(dir.path())).unwrap();
    for at in 0..end {
        // Every byte of headers, and a sample of the payloads' bytes.
        if at % 512 > 80 && at % 41 != 0 {
            continue;
        }
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        // A file of only what was written is as good, and quicker.
        flipped.truncate(end);
        let damaged = memory_dir();
        fs::write(damaged.path().join(path.file_name().unwrap()), flipped).unwrap();
        match Log::open(options(damaged.path())) {
            Err(OpenError::Damaged { .. } | OpenError::Version { .. }) => {}
            Err(error) => panic!("byte {at}: {error}"),
            Ok(log) => {
                log.close();
                panic!("byte {at} of {end} was changed and nobody noticed");
            }
        }
    }
}

#[test]
fn a_group_that_vanished_before_another_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let end = usize::try_from(sample(dir.path())).unwrap();
    let path = segments(dir.path()).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    // Sectors never written, as after a torn write, but with the last group whole behind them.
    for sector in (512..end).step_by(512) {
        let mut holed = bytes.clone();
        holed[sector..sector + 512].fill(0);
        let damaged = memory_dir();
        fs::write(damaged.path().join(path.file_name().unwrap()), holed).unwrap();
        let opened = Log::open(options(damaged.path()));
        assert!(
            matches!(opened, Err(OpenError::Damaged { .. })),
            "sector at {sector}"
        );
    }
}

#[test]
fn a_flip_after_opening_is_noticed_by_the_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    append(&log, vec![entry(1, 1, 3000)]);
    append(&log, vec![entry(1, 2, 3000)]);
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let needle = entry(1, 1, 100).payload;
    let at = bytes
        .windows(100)
        .position(|window| window == needle)
        .unwrap();
    bytes[at] ^= 4;
    fs::write(&path, bytes).unwrap();
    assert!(log.read(1, 2, usize::MAX).is_err());
    assert_eq!(log.read(2, 3, usize::MAX).unwrap().len(), 1);
    log.close();
}

#[test]
fn a_missing_segment_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(options(dir.path())).unwrap();
    for index in 1..=60 {
        append(&log, vec![entry(1, index, 1000)]);
    }
    log.close();
    let count = segments(dir.path()).len();
    assert!(count > 3);
    for missing in 0..count {
        let holed = copy(dir.path());
        fs::remove_file(&segments(holed.path())[missing]).unwrap();
        let opened = Log::open(options(holed.path()));
        // Without the last one nothing contradicts: a file that vanished whole is beyond what a log can
        // notice by itself.
        assert_eq!(
            opened.is_ok(),
            missing == count - 1,
            "segment {missing} of {count}"
        );
        if let Ok(log) = opened {
            log.close();
        }
    }
}

#[test]
fn an_unfinished_segment_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let unfinished = dir.path().join("00000000000000ff.tmp");
    fs::write(&unfinished, b"half").unwrap();
    Log::open(options(dir.path())).unwrap().close();
    assert!(!unfinished.exists());
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        len: usize,
        is_new_term: bool,
    },
    Truncate {
        back: u64,
    },
    Purge {
        forward: u64,
    },
    Vote(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..6_u64, 0..1500_usize, any::<bool>())
            .prop_map(|(count, len, is_new_term)| Step::Append { count, len, is_new_term }),
        2 => (0..6_u64).prop_map(|back| Step::Truncate { back }),
        2 => (0..12_u64).prop_map(|forward| Step::Purge { forward }),
        1 => any::<u8>().prop_map(Step::Vote),
        2 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// What a log is meant to hold.
#[derive(Default)]
struct Model {
    term: u64,
    purged: LogId,
    last: LogId,
    entries: Vec<Entry>,
    vote: Option<Bytes>,
}

impl Model {
    fn run(&mut self, step: Step, log: &mut Log, dir: &Path) {
        match step {
            Step::Append {
                count,
                len,
                is_new_term,
            } => {
                self.term += u64::from(is_new_term || self.term == 0);
                let first = self.last.index + 1;
                let entries: Vec<Entry> = (first..first + count)
                    .map(|index| entry(self.term, index, len))
                    .collect();
                self.last = entries.last().unwrap().log_id;
                self.entries.extend(entries.clone());
                // Every other one is left to be told with a later one.
                match count % 2 {
                    0 => append(log, entries),
                    _ => log
                        .append(entries, Box::new(|result| result.unwrap()))
                        .unwrap(),
                }
            }
            Step::Truncate { back } => {
                let keep = self.last.index.saturating_sub(back).max(self.purged.index);
                self.entries.retain(|entry| entry.log_id.index <= keep);
                self.last = self
                    .entries
                    .last()
                    .map_or(self.purged, |entry| entry.log_id);
                log.truncate_after((self.last.index > 0).then_some(self.last))
                    .unwrap();
            }
            Step::Purge { forward } => {
                let index = self.purged.index + forward;
                let found = self
                    .entries
                    .iter()
                    .find(|entry| entry.log_id.index == index);
                let upto = found.map_or(
                    LogId {
                        term: self.term,
                        index,
                    },
                    |entry| entry.log_id,
                );
                if index == self.purged.index || upto.term < self.purged.term {
                    return;
                }
                self.entries.retain(|entry| entry.log_id.index > index);
                self.purged = upto;
                if self.last.index < index {
                    self.last = upto;
                }
                log.purge(upto).unwrap();
            }
            Step::Vote(vote) => {
                self.vote = Some(vec![vote].into());
                save_vote(log, &String::from_utf8_lossy(&[vote % 128]));
                self.vote = log.view().vote;
            }
            Step::Reopen => {
                log.close();
                *log = Log::open(options(dir)).unwrap();
            }
        }
    }

    fn check(&self, log: &Log) {
        let some = |log_id: LogId| (log_id.index > 0).then_some(log_id);
        let view = log.view();
        assert_eq!(
            (view.purged, view.last),
            (some(self.purged), some(self.last))
        );
        assert_eq!(view.vote, self.vote);
        assert_eq!(all(log), self.entries);
        if let Some(first) = self.entries.first().filter(|first| first.payload.len() > 1) {
            let limited = log.read(first.log_id.index, u64::MAX, 1).unwrap();
            assert_eq!(limited, vec![first.clone()]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_the_model(steps in steps()) {
        let dir = memory_dir();
        let mut log = Log::open(options(dir.path())).unwrap();
        let mut model = Model::default();
        for step in steps.into_iter().chain([Step::Reopen]) {
            model.run(step, &mut log, dir.path());
            model.check(&log);
        }
        log.close();
    }
}

const CHILD_DIR: &str = "KEELSON_TEST_LOG_DIR";

/// Writes and reports what was acknowledged, until it dies or is told of an error.
fn child(dir: &Path) {
    let log = Log::open(options(dir)).unwrap();
    let mut out = std::io::stdout();
    let mut index = log.view().last.map_or(0, |last| last.index);
    loop {
        let (tx, rx) = mpsc::channel();
        let told = tx.clone();
        let entries = (1..=3).map(|more| entry(1, index + more, 900)).collect();
        index += 3;
        let vote = index.to_string();
        let sent = log
            .append(
                entries,
                Box::new(move |result| tx.send(result.is_ok()).unwrap()),
            )
            .and_then(|()| {
                log.save_vote(
                    vote.into(),
                    Box::new(move |result| told.send(result.is_ok()).unwrap()),
                )
            });
        let acked = sent.is_ok() && rx.recv().unwrap() && rx.recv().unwrap();
        if !acked {
            // From now on there must be nothing but errors.
            let late = log.append(
                vec![entry(1, index + 1, 1)],
                Box::new(|result| assert!(result.is_err())),
            );
            assert!(late.is_err() && log.wait_durable(index).is_err());
            writeln!(out, "\nrefused").unwrap();
            std::process::exit(3);
        }
        writeln!(out, "\nacked {index}").unwrap();
        if index > 300 {
            std::process::exit(4);
        }
    }
}

/// Runs [`child`] with `failpoints` and gives the last index that it reported, and its exit code.
fn run_child(dir: &Path, failpoints: &str) -> (u64, Option<i32>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "log::tests::survives_death_at_every_step",
            "--nocapture",
        ])
        .env(CHILD_DIR, dir)
        .env("GOFAIL_FAILPOINTS", failpoints)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acked = lines
        .filter_map(|line| line.ok()?.strip_prefix("acked ")?.parse().ok())
        .last()
        .unwrap_or(0);
    (acked, child.wait().unwrap().code())
}

#[test]
fn survives_death_at_every_step() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        child(Path::new(&dir));
        return;
    }
    let places = [
        "raftBeforeSave",
        "log::after_write",
        "raftAfterSave",
        "log::segment_written",
        "log::segment_synced",
        "log::segment_renamed",
    ];
    for place in places {
        for (action, code) in [("panic", None), ("return", Some(3))] {
            let dir = tempfile::tempdir().unwrap();
            // Opening makes the first segment, so that the later ones are the ones to die in.
            let before = if place.contains("segment") { 2 } else { 11 };
            let failpoints = format!("{place}={before}*off->{action}");
            let (acked, ended) = run_child(dir.path(), &failpoints);
            assert_eq!(ended, code, "{failpoints}");
            assert!(acked > 0, "{failpoints}");
            let log = Log::open(options(dir.path()))
                .unwrap_or_else(|error| panic!("{failpoints}: {error}"));
            let entries = all(&log);
            assert!(
                entries.len() as u64 >= acked,
                "{failpoints}: {acked} acknowledged, {} found",
                entries.len()
            );
            assert!(
                entries
                    .iter()
                    .zip(1..)
                    .all(|(found, index)| *found == entry(1, index, 900)),
                "{failpoints}"
            );
            let vote: u64 = std::str::from_utf8(&log.view().vote.unwrap())
                .unwrap()
                .parse()
                .unwrap();
            assert!(vote >= acked, "{failpoints}");
            log.close();
        }
    }
}

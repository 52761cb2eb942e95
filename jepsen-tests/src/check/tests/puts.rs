//! Unique keys with a watcher: what our scenarios record.

use super::{Options, Workload, judge};
use crate::check::Verdict;
use crate::edn::Value;
use crate::history::{History, Kind, pair};

fn told(key: &str, revision: i64) -> Value {
    Value::Vector(vec![Value::text(key), Value::Int(revision)])
}

/// One step of a history.
enum Step {
    Put(&'static str, Kind, Option<i64>),
    Seen(&'static str, i64),
    Last(&'static [(&'static str, i64)]),
}
use Step::{Last, Put, Seen};

fn recorded(steps: &[Step]) -> History {
    let history = History::default();
    let process = history.new_process();
    for step in steps {
        match step {
            Put(key, kind, revision) => {
                let op = history.invoke(process, "put", Value::text(*key));
                let value = revision.map_or(Value::text(*key), |revision| told(key, revision));
                history.complete(op, *kind, value, None);
            }
            Seen(key, revision) => history.note("x", "seen", told(key, *revision)),
            Last(keys) => {
                let op = history.invoke(process, "read-final", Value::Nil);
                let keys = keys.iter().map(|(key, revision)| told(key, *revision));
                history.complete(op, Kind::Ok, Value::Vector(keys.collect()), None);
            }
        }
    }
    history
}

fn found(steps: &[Step]) -> Vec<String> {
    let options = Options {
        workload: Some(Workload::Puts),
        ..Options::default()
    };
    match judge(&recorded(steps).events(), options).verdict {
        Verdict::Valid => Vec::new(),
        Verdict::Unknown(why) => vec![why],
        Verdict::Violated(found) => {
            let told = found.told().iter();
            told.map(|finding| finding.what.clone()).collect()
        }
    }
}

const A: Step = Put("a", Kind::Ok, Some(2));
const B: Step = Put("b", Kind::Ok, Some(3));
const END: Step = Last(&[("a", 2), ("b", 3)]);

#[test]
fn a_faithful_history_passes_and_an_unknown_write_may_go_either_way() {
    let unknown = Put("b", Kind::Info, None);
    let never = Put("c", Kind::Info, None);
    let refused = Put("d", Kind::Fail, None);
    assert!(found(&[A, unknown, never, refused, Seen("a", 2), Seen("b", 3), END]).is_empty());
}

#[test]
fn finds_each_planted_fault() {
    let a = || Put("a", Kind::Ok, Some(2));
    let cases: [(&[Step], &str); 12] = [
        (&[a(), Last(&[])], "acknowledged write of a is lost"),
        (
            &[a(), Last(&[("a", 3)])],
            "a was acknowledged at revision 2 but is at 3",
        ),
        (
            &[a(), Put("b", Kind::Fail, None), Last(&[("a", 2), ("b", 3)])],
            "b was refused but is there at revision 3",
        ),
        (
            &[a(), Last(&[("a", 2), ("z", 9)])],
            "z is there but nobody wrote it",
        ),
        (
            &[
                a(),
                Put("b", Kind::Ok, Some(2)),
                Last(&[("a", 2), ("b", 2)]),
            ],
            "b and a were both acknowledged at revision 2",
        ),
        (
            &[
                Put("b", Kind::Ok, Some(3)),
                a(),
                Last(&[("a", 2), ("b", 3)]),
            ],
            "a was acknowledged at revision 2 after b was at 3",
        ),
        (&[A, B, Seen("a", 2), END], "x never saw b"),
        (
            &[A, B, Seen("a", 2), Seen("b", 3), Seen("a", 2), END],
            "x saw a twice",
        ),
        (
            &[A, B, Seen("b", 3), Seen("a", 2), END],
            "x saw a at revision 2 after revision 3",
        ),
        (
            &[A, B, Seen("a", 2), Seen("b", 4), END],
            "x saw b at revision 4, it is at 3",
        ),
        (
            &[A, B, Seen("a", 2), Seen("b", 3), Seen("c", 4), END],
            "x saw c, which is not there at the end",
        ),
        (&[A], "nothing was judged: there is no final read"),
    ];
    for (steps, what) in cases {
        assert_eq!(found(steps), [what]);
    }
}

#[test]
fn finds_the_gap_that_a_fault_made() {
    let history = History::default();
    let process = history.new_process();
    let write = || {
        let op = history.invoke(process, "put", Value::text("k"));
        history.complete(op, Kind::Ok, Value::text("k"), None);
    };
    write();
    history.nemesis("kill", "store-0");
    write();
    let op = history.invoke(process, "react", Value::text("scheduler"));
    history.complete(op, Kind::Ok, Value::text("scheduler"), None);
    let mut events = history.events();
    // A clock by hand: the fault at 25 ms, the next acknowledgement at 1520 ms.
    let times = [5, 20, 25, 1510, 1520, 1530, 1537];
    for (event, ms) in events.iter_mut().zip(times) {
        event.time_ns = Some(ms * 1_000_000);
    }
    let found = crate::check::pauses(&events, &pair(&events).unwrap());
    assert_eq!(found.writes, [("kill store-0".to_owned(), 1500)]);
    assert_eq!(found.reactions["scheduler"], 7);
}

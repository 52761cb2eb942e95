//! Availability: pauses while a majority was there, and pauses that nobody is to blame for.

use super::events;
use crate::check::availability;

/// Each line is a time in milliseconds and what was noted then: an answer, or a fault or its end.
fn pauses(notes: &[(i64, &str)]) -> (i64, usize) {
    let mut text = String::new();
    for (ms, note) in notes {
        let (who, f, value) = match note.split_once(' ') {
            None => ("prober", *note, "n1"),
            Some((f, value)) => ("nemesis", f, value),
        };
        let at = ms * 1_000_000;
        text.push_str(&format!(
            ":{who} info :f :{f} :value \"{value}\" :time {at}\n"
        ));
    }
    let seen = availability(&events(&text));
    (seen.pause_ms_max, seen.found.counts().values().sum())
}

#[test]
fn a_majority_serves_within_three_elections() {
    let cut = "start-partition the leader alone";
    let quick = [
        (0, "served"),
        (100, cut),
        (2_900, "served"),
        (3_000, "served"),
    ];
    assert_eq!(pauses(&quick), (2_800, 0));
    let slow = [(0, "served"), (100, cut), (6_100, "served")];
    assert_eq!(pauses(&slow), (6_000, 1));
    // A pause is as long if the fault ends before anybody is served.
    let ended = [
        (0, "served"),
        (100, cut),
        (6_100, "stop-partition the leader n1 alone"),
        (6_200, "served"),
    ];
    assert_eq!(pauses(&ended).1, 1);
    let none = [(0, "served"), (9_000, "served")];
    assert_eq!(pauses(&none), (9_000, 1));
    let one_way = [
        (0, "served"),
        (100, "start-partition one way, nothing to n2"),
        (6_100, "served"),
    ];
    assert_eq!(pauses(&one_way).1, 0);
}

#[test]
fn without_a_majority_nobody_is_to_blame() {
    for fault in [
        "start-kill a majority n1,n2",
        "start-pause all n1,n2,n3",
        "start-partition n1 from n2,n3, flapping each 300 ms",
        "start-delay one n2",
    ] {
        let end = fault.replace("start", "stop");
        let notes = [
            (0, "served"),
            (100, fault),
            (9_000, end.as_str()),
            (20_000, "served"),
            (20_100, "served"),
        ];
        assert_eq!(pauses(&notes), (100, 0), "{fault}");
    }
    let two = [
        (0, "served"),
        (100, "start-kill one n1"),
        (200, "start-partition n2 from n1,n3"),
        (9_000, "stop-kill one n1"),
        (9_100, "served"),
    ];
    assert_eq!(pauses(&two).1, 0);
}

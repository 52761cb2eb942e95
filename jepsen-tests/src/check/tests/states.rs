//! Quota, snapshots, a lost majority and overload: what is planted by hand is found.

use super::{anomalies, judged};
use crate::check::{Model, Workload};

fn found(text: &str, workload: Workload) -> String {
    anomalies(&judged(text, workload, Model::default())).join(", ")
}

const FULL: &str = ":error \"ResourceExhausted: etcdserver: mvcc: database space exceeded\"";

#[test]
fn a_full_database_takes_deletions_and_is_full_everywhere() {
    let log = |last: &str| {
        format!(
            "9 does :f :log :value [2 9 [[2 :put \"k\" \"1\" 2 1 nil 0] [3 :delete \"k\" nil 0 0 2 0] [4 :put \"k\" \"{last}\" 4 1 nil 0]]]\n"
        )
    };
    let full = format!(
        "0 invoke :f :fill :value [\"k\" \"2\"]\n0 info :f :fill :value [\"k\" \"2\"] {FULL}\n"
    );
    let run = |deleted: &str, more: &str| {
        let text = format!(
            "0 does :f :fill :value [\"k\" \"1\" 2]\n{full}{deleted}\
             1 does :f :relieve :value [3 1]\n1 does :f :fill :value [\"k\" \"3\" 4]\n{}{more}",
            log("3")
        );
        found(&text, Workload::Quota)
    };
    let deleted = "1 does :f :delete :value [1 3]\n";
    assert_eq!(run(deleted, ""), "");
    assert_eq!(run(deleted, &log("7")), "log-diverged");
    let refused = format!("1 invoke :f :delete :value nil\n1 info :f :delete :value nil {FULL}\n");
    let refused = refused.replace("1 info", "1 fail");
    assert_eq!(run(&format!("{refused}{deleted}"), ""), "delete-refused");
    assert_eq!(
        run("", ""),
        "unknown: nothing was judged: nothing was deleted after the quota was reached"
    );
    let lost = "2 does :f :fill :value [\"k\" \"8\" 5]\n";
    assert_eq!(run(deleted, lost), "lost");
    let there = "2 invoke :f :fill :value [\"k\" \"3\"]\n2 fail :f :fill :value [\"k\" \"3\"]\n";
    assert_eq!(run(deleted, there), "refused-write");
}

const ASSIGNED: &str = "0 does :f :assign :value [\"assign/a\" \"1\" 2]\n\
    0 does :f :assign :value [\"assign/a\" \"2\" 3]\n\
    1 does :f :read-at :value [2 [[\"assign/a\" \"1\" 2]]]\n";
const ENTRIES: &str = "[2 :put \"assign/a\" \"1\" 2 1 nil 0] [3 :put \"assign/a\" \"2\" 2 2 2 0]";

#[test]
fn a_snapshot_is_a_state_that_was() {
    let restored = |told: &str| {
        let text = format!(
            "{ASSIGNED}9 does :f :log :value [2 4 [{ENTRIES}]]\n8 does :f :restored :value {told}\n"
        );
        found(&text, Workload::Restore)
    };
    assert_eq!(restored("[0 2 [[\"assign/a\" \"1\" 2]] nil 3]"), "");
    assert_eq!(restored("[100 103 [[\"assign/a\" \"2\" 3]] 103 104]"), "");
    assert_eq!(
        restored("[0 2 [[\"assign/a\" \"2\" 3]] nil 3]"),
        "not-a-prefix"
    );
    assert_eq!(restored("[100 102 [] 102 103]"), "not-a-prefix");
    assert_eq!(restored("[0 9 [] nil 10]"), "unexpected");
    assert_eq!(
        restored("[1 4 [[\"assign/a\" \"2\" 3]] 4 4]"),
        "revision-reused"
    );
    assert_eq!(
        restored("[100 103 [[\"assign/a\" \"2\" 3]] nil 104]"),
        "watch-not-compacted"
    );
    let none = format!("{ASSIGNED}9 does :f :log :value [2 4 [{ENTRIES}]]\n");
    assert_eq!(
        found(&none, Workload::Restore),
        "unknown: nothing was judged: no snapshot was restored"
    );
}

#[test]
fn a_survivor_keeps_what_it_told_and_goes_on() {
    let run = |before: &str, after: &str, last: &str| {
        let text = format!(
            "{ASSIGNED}9 does :f :log :value [2 4 [{ENTRIES}]]\n{before}\
             8 does :f :forced :value \"n1\"\n{after}\
             9 does :f :log :value [2 9 [{last}]]\n"
        );
        found(&text, Workload::QuorumLoss)
    };
    let next = "2 does :f :assign :value [\"assign/a\" \"9\" 4]\n";
    let whole = format!("{ENTRIES} [4 :put \"assign/a\" \"9\" 2 3 3 0]");
    assert_eq!(run("", next, &whole), "");
    // Acknowledged by those that are gone, and by them alone.
    let lost = "0 does :f :assign :value [\"assign/a\" \"8\" 4]\n";
    assert_eq!(run(lost, next, &whole), "");
    let own = "2 does :f :assign :value [\"assign/a\" \"7\" 5]\n";
    assert_eq!(run("", &format!("{next}{own}"), &whole), "lost");
    let short = whole.replace("[3 :put \"assign/a\" \"2\" 2 2 2 0] ", "");
    assert!(run("", next, &short).contains("log-diverged"));
    let stale = "1 does :f :read-at :value [4 [[\"assign/a\" \"2\" 3]]]\n";
    assert_eq!(run("", &format!("{next}{stale}"), &whole), "not-a-prefix");
    assert_eq!(
        run("", "", ENTRIES),
        "unknown: nothing was judged: the survivor acknowledged nothing"
    );
}

#[test]
fn what_was_refused_for_too_many_requests_never_happens() {
    let run = |more: &str| {
        let text = format!("{ASSIGNED}{more}9 does :f :log :value [2 4 [{ENTRIES}]]\n");
        found(&text, Workload::Overload)
    };
    assert_eq!(run(""), "");
    let refused = "3 invoke :f :assign :value [\"assign/a\" \"2\"]\n\
        3 fail :f :assign :value [\"assign/a\" \"2\"]\n";
    assert_eq!(run(refused), "refused-write");
    let lost = "3 does :f :assign :value [\"assign/a\" \"5\" 3]\n";
    assert_eq!(run(lost), "lost");
}

//! Watches, leases, serializable reads and locks: what is planted by hand is found, and a faithful
//! history passes.

use super::{anomalies, judged};
use crate::check::{Model, Workload};

fn found(text: &str, workload: Workload) -> String {
    anomalies(&judged(text, workload, Model::default())).join(", ")
}

/// A put and a deletion of `a`, at revisions 2 and 3, as every member tells them.
const LOG: &str = "9 invoke :f :log :value [2 4]\n\
    9 ok :f :log :value [2 4 [[2 :put \"a\" \"1\" 2 1 nil 0] [3 :delete \"a\" nil 0 0 2 0]]]\n";
const CHANGES: &str = "0 invoke :f :change :value [[\"a\" \"1\"]]\n\
    0 ok :f :change :value [[[\"a\" \"1\"]] 2]\n\
    0 invoke :f :change :value [[\"a\" nil]]\n\
    0 ok :f :change :value [[[\"a\" nil]] 3]\n";
const PUT: &str = "[2 :put \"a\" \"1\" 2 1 nil 0]";
const DELETE: &str = "[3 :delete \"a\" nil 0 0 2 0]";

fn watch(notes: &[String]) -> String {
    let mut text = CHANGES.to_owned();
    text.push_str(":watcher-1 info :f :open :value [\"n1\" 2]\n");
    for note in notes {
        text.push_str(&format!(":watcher-1 info {note}\n"));
    }
    found(&format!("{text}{LOG}"), Workload::Watch)
}

fn batch(header: i64, entries: &[&str]) -> String {
    format!(":f :batch :value [{header} [{}]]", entries.join(" "))
}

#[test]
fn a_watcher_is_told_of_all_once_and_in_order() {
    assert_eq!(watch(&[batch(3, &[PUT, DELETE])]), "");
    assert_eq!(watch(&[batch(2, &[PUT]), batch(3, &[DELETE])]), "");
    assert_eq!(watch(&[batch(3, &[PUT])]), "watch-lost");
    assert_eq!(watch(&[batch(3, &[DELETE])]), "watch-lost");
    let twice = watch(&[batch(2, &[PUT]), batch(3, &[PUT, DELETE])]);
    assert_eq!(twice, "watch-duplicate, watch-order");
    assert_eq!(watch(&[batch(3, &[DELETE, PUT])]), "watch-order");
    assert_eq!(watch(&[batch(2, &[PUT, DELETE])]), "watch-ahead");
    let progress = ":f :progress :value 3".to_owned();
    assert_eq!(
        watch(&[batch(2, &[PUT]), progress, batch(3, &[DELETE])]),
        "watch-order"
    );
    let other = "[2 :put \"a\" \"7\" 2 1 nil 0]";
    assert_eq!(watch(&[batch(3, &[other, DELETE])]), "watch-differs");
    let prev = "[3 :delete \"a\" nil 0 0 1 0]";
    assert_eq!(watch(&[batch(3, &[PUT, prev])]), "watch-prev");
    let old = ":f :open :value [\"n2\" 3]".to_owned();
    let early = watch(&[batch(2, &[PUT]), old, batch(3, &[PUT, DELETE])]);
    assert_eq!(early, "watch-before-start, watch-duplicate");
}

#[test]
fn who_asked_ahead_is_told_all_from_there_until_it_leaves() {
    let ahead = |from: i64, entries: &[&str]| {
        let told = batch(3, entries);
        let text = format!(
            "{CHANGES}:watcher-1 info :f :open :value [\"n1\" 2]\n:watcher-1 info {}\n\
             :watcher-ahead-1-1 info :f :open :value [\"n1\" {from}]\n\
             :watcher-ahead-1-1 info {told}\n{LOG}",
            batch(3, &[PUT, DELETE])
        );
        found(&text, Workload::WatchFuture)
    };
    assert_eq!(ahead(3, &[DELETE]), "");
    assert_eq!(ahead(2, &[PUT]), "");
    assert_eq!(ahead(2, &[DELETE]), "watch-lost");
    assert_eq!(ahead(3, &[PUT, DELETE]), "watch-before-start");
}

#[test]
fn the_log_holds_what_was_acknowledged_and_is_the_same_everywhere() {
    let told = format!(
        ":watcher-1 info :f :open :value [\"n1\" 2]\n:watcher-1 info {}\n",
        batch(3, &[PUT, DELETE])
    );
    let judge = |more: &str| found(&format!("{CHANGES}{told}{more}{LOG}"), Workload::Watch);
    let lost =
        "1 invoke :f :change :value [[\"b\" \"2\"]]\n1 ok :f :change :value [[[\"b\" \"2\"]] 3]\n";
    assert_eq!(judge(lost), "lost, shared-revision");
    let refused =
        "1 invoke :f :change :value [[\"a\" \"1\"]]\n1 fail :f :change :value [[\"a\" \"1\"]]\n";
    assert_eq!(judge(refused), "refused-write");
    let other = "8 invoke :f :log :value [2 4]\n8 ok :f :log :value [2 4 [[2 :put \"a\" \"1\" 2 1 nil 0]]]\n";
    assert!(judge(other).contains("log-diverged"));
    let nobody = found(&format!("{told}{LOG}"), Workload::Watch);
    assert_eq!(nobody, "unexpected");
}

fn lease(gone_s: f64, renewed: bool) -> String {
    let at = |seconds: f64| format!(":time {}", (seconds * 1e9) as i64);
    let mut text = format!(
        "0 invoke :f :grant :value 2 {}\n0 ok :f :grant :value [7 2] {}\n\
         0 invoke :f :attach :value [7 \"k\"] {}\n0 ok :f :attach :value [7 \"k\" 2] {}\n",
        at(1.0),
        at(1.1),
        at(1.2),
        at(1.3)
    );
    if renewed {
        text.push_str(&format!(
            "0 invoke :f :keepalive :value 7 {}\n0 ok :f :keepalive :value [7 2] {}\n",
            at(2.0),
            at(2.1)
        ));
    }
    text.push_str(&format!(
        ":watcher-1 info :f :batch :value [3 [[3 :delete \"k\" nil 0 0 2 0]]] {}\n\
         9 invoke :f :log :value [2 4] {}\n\
         9 ok :f :log :value [2 4 [[2 :put \"k\" \"\" 2 1 nil 7] [3 :delete \"k\" nil 0 0 2 0]]] {}\n",
        at(gone_s), at(30.0), at(30.0)
    ));
    found(&text, Workload::Lease)
}

#[test]
fn a_lease_ends_neither_early_nor_late() {
    assert_eq!(lease(3.2, false), "");
    assert_eq!(lease(2.5, false), "lease-early");
    assert_eq!(lease(3.2, true), "lease-early");
    assert_eq!(lease(4.2, true), "");
    assert_eq!(lease(29.0, true), "lease-late");
    assert_eq!(lease(1.9, true), "lease-early");
}

#[test]
fn of_very_many_leases_none_is_left() {
    let run = |left: i64| {
        let text = format!(
            "0 does :f :flood :value [500 10]\n0 does :f :grant :value [7 2] :time 1000000000\n\
             0 does :f :attach :value [7 \"k\" 2] :time 1100000000\n\
             :watcher-1 info :f :batch :value [3 [[3 :delete \"k\" nil 0 0 2 0]]] :time 4000000000\n\
             0 does :f :left :value {left}\n\
             9 does :f :log :value [2 4 [[2 :put \"k\" \"\" 2 1 nil 7] [3 :delete \"k\" nil 0 0 2 0]]]\n"
        );
        found(&text, Workload::LeaseMass)
    };
    assert_eq!(run(0), "");
    assert_eq!(run(3), "lease-late");
}

#[test]
fn keys_of_a_lease_go_together() {
    let text = "0 does :f :grant :value [7 2]\n\
        0 does :f :attach :value [7 \"k\" 2]\n0 does :f :attach :value [7 \"l\" 3]\n\
        :watcher-1 info :f :batch :value [5 [[4 :delete \"k\" nil 0 0 2 0]]] :time 9000000000\n\
        9 does :f :log :value [2 6 [[2 :put \"k\" \"\" 2 1 nil 7] [3 :put \"l\" \"\" 3 1 nil 7] \
        [4 :delete \"k\" nil 0 0 2 0] [5 :delete \"l\" nil 0 0 3 0]]]\n";
    assert!(found(text, Workload::Lease).contains("lease-torn"));
}

#[test]
fn a_serializable_read_is_the_state_at_its_revision() {
    let read = |value: &str| {
        let text = format!(
            "0 does :f :assign :value [\"assign/a\" \"1\" 2]\n0 does :f :assign :value [\"assign/a\" \"2\" 3]\n\
             1 does :f :read-at :value {value}\n\
             9 does :f :log :value [2 4 [[2 :put \"assign/a\" \"1\" 2 1 nil 0] [3 :put \"assign/a\" \"2\" 2 2 2 0]]]\n"
        );
        found(&text, Workload::Serializable)
    };
    assert_eq!(read("[2 [[\"assign/a\" \"1\" 2]]]"), "");
    assert_eq!(read("[3 [[\"assign/a\" \"2\" 3]]]"), "");
    assert_eq!(read("[1 []]"), "");
    assert_eq!(read("[3 [[\"assign/a\" \"1\" 2]]]"), "not-a-prefix");
    assert_eq!(read("[2 [[\"assign/a\" \"2\" 3]]]"), "not-a-prefix");
    assert_eq!(read("[3 []]"), "not-a-prefix");
    assert_eq!(read("[9 []]"), "unexpected");
}

fn lock(base: &str, until: i64, told_at: i64) -> String {
    let text = format!(
        "0 does :f :acquire :value [0 \"lock/0/a\" {told_at}]\n\
         0 does :f :fenced-write :value [\"r\" 5 3]\n0 does :f :fenced-write :value [\"r\" 6 4]\n\
         9 does :f :log :value [2 9 [[2 :put \"lock/0/a\" \"\" 2 1 nil 7] \
         [3 :put \"r\" \"5 on 0 by lock/0/a\" 3 1 nil 0] [4 :put \"r\" \"6 on {base} by lock/0/a\" 3 2 3 0]]]\n"
    );
    let ended = format!("[{until} :delete \"lock/0/a\" nil 0 0 2 0]");
    let text = match until {
        3 => text.replace("[4 :put", &format!("{ended} [4 :put")),
        _ => text.replace("3 2 3 0]]]", &format!("3 2 3 0] {ended}]]")),
    };
    found(&text, Workload::Lock)
}

#[test]
fn a_lock_holds_off_others_as_long_as_it_is_told_to() {
    assert_eq!(lock("5", 6, 2), "");
    assert_eq!(lock("0", 6, 2), "lost-update");
    assert_eq!(lock("5", 3, 2), "not-owner");
    assert_eq!(lock("5", 6, 7), "not-held");
}

#[test]
fn what_was_compacted_before_the_log_was_read_is_not_held_against_anybody() {
    let text = "0 does :f :acquire :value [0 \"lock/0/a\" 4]\n\
         0 does :f :fenced-write :value [\"r\" 6 4]\n9 invoke :f :log :value [2 9]\n\
         9 ok :f :log :value [4 9 [[4 :put \"r\" \"6 on 5 by lock/0/a\" 3 2 nil 0]]]\n";
    assert_eq!(found(text, Workload::Lock), "");
    let whole = text.replace("[2 9]", "[4 9]");
    assert_eq!(found(&whole, Workload::Lock), "not-held, not-owner");
}

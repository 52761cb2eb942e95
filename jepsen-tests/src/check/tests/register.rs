//! Registers: by hand, and made up.

use super::{BUSY, anomalies, blamed, judged};
use crate::check::{Model, Verdict, Workload};
use crate::generate::{Registers, Shape};

fn found(text: &str) -> Vec<String> {
    anomalies(&judged(text, Workload::Register, Model::default()))
}

fn found_versioned(text: &str) -> Vec<String> {
    anomalies(&judged(text, Workload::VersionedRegister, Model::default()))
}

#[test]
fn orders_that_exist_are_found() {
    let cases = [
        "0 does :f :read :value nil",
        "0 does :f :write :value 1\n0 does :f :read :value 1\n0 does :f :cas :value [1 2]\n0 does :f :read :value 2",
        // Two at once, seen in either order.
        "0 invoke :f :write :value 1\n1 invoke :f :write :value 2\n0 ok :f :write :value 1\n1 ok :f :write :value 2\n2 does :f :read :value 1",
        // A write without an answer may happen late, or never.
        "0 invoke :f :write :value 1\n0 info :f :write :value 1\n1 does :f :read :value nil\n1 does :f :read :value 1",
        "0 invoke :f :write :value 1\n1 does :f :read :value nil\n1 does :f :write :value 2\n1 does :f :read :value 1",
        "0 invoke :f :write :value 1\n0 fail :f :write :value 1\n1 does :f :read :value nil",
        // Unknown outcomes in a chain.
        "0 invoke :f :cas :value [nil 1]\n1 invoke :f :cas :value [1 2]\n2 does :f :read :value 2",
        // Keys are apart.
        "0 does :f :write :value [1 1]\n0 does :f :read :value [2 nil]",
        "0 does :f :write :value #jepsen.independent/tuple [1 [7 8]]\n0 does :f :read :value #jepsen.independent/tuple [1 [7 8]]",
    ];
    for text in cases {
        assert!(found(text).is_empty(), "{text}: {:?}", found(text));
    }
}

#[test]
fn finds_each_planted_fault() {
    let cases = [
        // Stale.
        "0 does :f :write :value 1\n0 does :f :write :value 2\n1 does :f :read :value 1",
        // Lost.
        "0 does :f :write :value 1\n1 does :f :read :value nil",
        // Both of two compare-and-sets from one value, as elle-cli's example has it.
        "0 does :f :read :value nil\n0 does :f :cas :value [nil 1]\n1 does :f :cas :value [nil 2]",
        // Refused, and seen all the same.
        "0 invoke :f :write :value 1\n0 fail :f :write :value 1\n1 does :f :read :value 1",
        // Seen, and then not.
        "0 invoke :f :write :value 1\n1 does :f :read :value 1\n1 does :f :read :value nil",
        // Never written.
        "0 does :f :read :value 7",
        // Back in time between two readers of one write under way.
        "0 invoke :f :write :value 1\n1 does :f :read :value 1\n2 does :f :read :value nil\n0 ok :f :write :value 1",
    ];
    for text in cases {
        assert_eq!(found(text), ["nonlinearizable"], "{text}");
    }
}

#[test]
fn versions_tell_more() {
    let fine = "0 does :f :write :value [1 [1 5 10]]\n0 does :f :read :value [1 [1 5 10]]\n\
                0 does :f :cas :value [1 [2 [5 6] 11]]\n1 does :f :read :value [1 [2 6 11 11]]\n\
                0 does :f :read :value [2 [nil nil nil 11]]";
    assert!(
        found_versioned(fine).is_empty(),
        "{:?}",
        found_versioned(fine)
    );
    // A write without an answer explains the gap, and only one that wrote what was read does.
    let gap = "0 invoke :f :write :value [1 [nil 5]]\n1 does :f :write :value [1 [2 6]]";
    assert!(
        found_versioned(gap).is_empty(),
        "{:?}",
        found_versioned(gap)
    );
    let cases = [
        ("0 does :f :write :value [1 [2 6]]", "nonlinearizable"),
        (
            "0 does :f :write :value [1 [1 6]]\n0 does :f :write :value [1 [1 7]]",
            "duplicate-version, stale-version",
        ),
        (
            "0 does :f :write :value [1 [1 6]]\n1 does :f :read :value [1 [1 7]]",
            "version-mismatch",
        ),
        (
            "0 does :f :write :value [1 [1 6]]\n0 does :f :write :value [1 [2 7]]\n1 does :f :read :value [1 [1 6]]",
            "stale-version",
        ),
        (
            "0 does :f :write :value [1 [1 6 9]]\n0 does :f :write :value [1 [2 7 8]]",
            "revision-order",
        ),
        (
            "0 does :f :write :value [1 [1 6 9]]\n0 does :f :write :value [2 [1 7 8]]",
            "revision-order",
        ),
        (
            "0 invoke :f :write :value [1 [nil 6]]\n1 does :f :write :value [2 [1 7 9]]\n0 ok :f :write :value [1 [1 6 9]]",
            "duplicate-revision",
        ),
        (
            "0 does :f :write :value [1 [1 6 9]]\n1 does :f :read :value [2 [nil nil nil 8]]",
            "header-order",
        ),
        (
            "0 does :f :read :value [2 [nil nil nil 9]]\n1 does :f :write :value [1 [1 6 8]]",
            "header-order",
        ),
        (
            "0 invoke :f :write :value [1 [nil 6]]\n1 does :f :read :value [1 [1 7]]",
            "nonlinearizable",
        ),
    ];
    for (text, anomaly) in cases {
        assert_eq!(found_versioned(text).join(", "), anomaly, "{text}");
    }
}

#[test]
fn the_proof_is_small() {
    let mut text = String::new();
    for value in 1..=200 {
        text.push_str(&format!(
            "0 does :f :write :value {value}\n1 does :f :read :value {value}\n"
        ));
    }
    text.push_str("2 does :f :read :value 150\n");
    let judgement = judged(&text, Workload::Register, Model::default());
    let Verdict::Violated(found) = &judgement.verdict else {
        panic!("{judgement:?}");
    };
    // The write of 150, any later write, and the read of 150.
    assert!(found.told()[0].ops.len() <= 3, "{:?}", found.told()[0]);
}

#[test]
fn a_store_that_keeps_its_word_is_never_blamed() {
    assert!(blamed(0..500, BUSY, Workload::Register, || Registers::new(2, None)).is_empty());
    assert!(
        blamed(0..500, BUSY, Workload::Register, || Registers::new(
            2,
            Some(3)
        ))
        .is_empty()
    );
    let versioned = || Registers::new(2, Some(3)).versioned();
    assert!(blamed(0..500, BUSY, Workload::VersionedRegister, versioned).is_empty());
}

#[test]
fn a_store_that_breaks_it_is() {
    // Now and then a stale read is of a key that was not written yet, or while a write is under way.
    let unique = |stale, lost| move || Registers::new(2, None).breaking(stale, lost);
    let stale = blamed(0..200, BUSY, Workload::Register, unique(30, 0));
    assert!(stale.len() > 180, "{}", stale.len());
    let lost = blamed(0..200, BUSY, Workload::Register, unique(0, 30));
    assert!(lost.len() > 180, "{}", lost.len());
    let versioned = || Registers::new(2, None).versioned().breaking(30, 0);
    let stale = blamed(0..200, BUSY, Workload::VersionedRegister, versioned);
    assert!(stale.len() > 180, "{}", stale.len());
}

#[test]
fn many_at_once_are_no_matter() {
    let crowd = Shape {
        clients: 40,
        ops: 4000,
        fail_percent: 2,
        info_percent: 2,
    };
    assert!(blamed(0..5, crowd, Workload::Register, || Registers::new(4, None)).is_empty());
    let versioned = || Registers::new(4, None).versioned();
    assert!(blamed(0..5, crowd, Workload::VersionedRegister, versioned).is_empty());
    let stale = || Registers::new(4, None).breaking(5, 0);
    assert_eq!(blamed(0..5, crowd, Workload::Register, stale).len(), 5);
}

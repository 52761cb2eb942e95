//! Sets: by hand, and made up.

use super::{BUSY, anomalies, blamed, judged};
use crate::check::{Model, Workload};
use crate::generate::Sets;

fn found(text: &str) -> String {
    anomalies(&judged(text, Workload::Set, Model::default())).join(", ")
}

#[test]
fn a_faithful_set_passes() {
    let cases = [
        "0 does :f :add :value 1\n0 does :f :read :value #{1}",
        "0 does :f :add :value 1\n0 does :f :read :value [1]",
        // Under way, it may be seen or not.
        "0 invoke :f :add :value 1\n1 does :f :read :value #{}\n0 ok :f :add :value 1\n1 does :f :read :value #{1}",
        "0 invoke :f :add :value 1\n0 info :f :add :value 1\n1 does :f :read :value #{}\n1 does :f :read :value #{1}",
        "0 invoke :f :add :value 1\n0 fail :f :add :value 1\n1 does :f :read :value #{}",
        // A read that began before the answer need not see it.
        "1 invoke :f :read :value nil\n0 does :f :add :value 1\n1 ok :f :read :value #{}",
        // Never read is not lost.
        "1 does :f :read :value #{}\n0 does :f :add :value 1",
        // By key.
        "0 does :f :add :value [1 7]\n0 does :f :read :value [1 #{7}]\n0 does :f :read :value [2 #{}]",
    ];
    for text in cases {
        assert_eq!(found(text), "", "{text}");
    }
}

#[test]
fn finds_each_planted_fault() {
    let cases = [
        (
            "0 does :f :add :value 1\n0 does :f :read :value #{}",
            "lost",
        ),
        (
            "0 does :f :add :value 1\n0 does :f :read :value #{}\n0 does :f :read :value #{1}",
            "stale",
        ),
        // Known because somebody has read it.
        (
            "0 invoke :f :add :value 1\n1 does :f :read :value #{1}\n1 does :f :read :value #{}",
            "lost",
        ),
        (
            "0 does :f :add :value 1\n0 does :f :read :value [1 1]",
            "duplicated",
        ),
        ("0 does :f :read :value #{9}", "unexpected"),
        (
            "0 invoke :f :add :value 1\n0 fail :f :add :value 1\n1 does :f :read :value #{1}",
            "aborted-read",
        ),
        (
            "0 does :f :add :value [1 7]\n0 does :f :add :value [2 7]\n0 does :f :read :value [1 #{7}]\n0 does :f :read :value [2 #{}]",
            "lost",
        ),
    ];
    for (text, anomaly) in cases {
        assert_eq!(found(text), anomaly, "{text}");
    }
}

#[test]
fn only_a_store_that_breaks_its_word_is_blamed() {
    assert!(blamed(0..500, BUSY, Workload::Set, Sets::default).is_empty());
    let lost = || Sets::default().breaking(0, 20);
    assert_eq!(blamed(0..200, BUSY, Workload::Set, lost).len(), 200);
    // A read may miss its last element rightly, while its adding is under way.
    let stale = || Sets::default().breaking(60, 0);
    assert!(blamed(0..200, BUSY, Workload::Set, stale).len() > 150);
}

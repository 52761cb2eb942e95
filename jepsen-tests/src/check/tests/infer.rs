//! Which workload a history is of, and what cannot be judged.

use super::{anomalies, events};
use crate::check::{Options, Workload, judge};

fn inferred(text: &str) -> Result<Workload, String> {
    let judgement = judge(&events(text), Options::default());
    match judgement.workload {
        Some(workload) => Ok(workload),
        None => Err(anomalies(&judgement).join(", ")),
    }
}

#[test]
fn the_operations_tell_the_workload() {
    let cases = [
        ("0 does :f :txn :value [[:append 1 1]]", Workload::Append),
        ("0 does :value [[:append 1 1] [:r 1 [1]]]", Workload::Append),
        ("0 does :f :txn :value [[:r 1 [1 2]]]", Workload::Append),
        ("0 does :f :txn :value [[:w 1 1] [:r 2 nil]]", Workload::Wr),
        ("0 does :f :txn :value [[:r x 3]]", Workload::Wr),
        ("0 does :f :write :value 1", Workload::Register),
        ("0 does :f :cas :value [1 2]", Workload::Register),
        (
            "0 does :f :write :value [1 [1 7]]",
            Workload::VersionedRegister,
        ),
        (
            "0 does :f :jepsen/add :value 1\n 0 does :f :read :value #{1}",
            Workload::Set,
        ),
        ("0 does :f :put :value \"k\"", Workload::Puts),
    ];
    for (text, workload) in cases {
        assert_eq!(inferred(text), Ok(workload), "{text}");
    }
}

#[test]
fn what_cannot_be_judged_is_never_green() {
    let cases = [
        ("", "there is no event in it"),
        (
            ":nemesis info :f :kill",
            "no operation of a client is in it",
        ),
        (
            "0 does :f :read :value 1",
            "nothing tells what this history is about",
        ),
        (
            "0 does :f :transfer :value 1",
            "line 1: there is no checker for the operation :transfer",
        ),
        (
            "0 does :f :add :value 1\n0 does :f :txn :value [[:w 1 1]]",
            "a mix of workloads: line 3 is of wr, line 1 of set",
        ),
        (
            "0 invoke :f :write :value 1",
            "no operation was acknowledged",
        ),
        ("0 ok :f :write :value 1", "completions alone"),
        (
            "0 invoke :f :write :value 1\n1 ok :f :write :value 1",
            "line 2: process 1 completes :write that it did not invoke",
        ),
        (
            "0 invoke :f :write :value 1\n0 invoke :f :write :value 1",
            "line 2: process 0 invokes :write before its operation of line 1 has ended",
        ),
        (
            "0 invoke :f :write :value 1\n0 ok :f :cas :value [1 2]",
            "line 2: process 0 completes :cas, but invoked :write in line 1",
        ),
        ("0 does :f :add :value 1", "no read was acknowledged"),
        (
            "0 does :f :txn :value [[:append 1 1]]",
            "no acknowledged transaction read anything",
        ),
        ("0 does :f :put :value \"k\"", "there is no final read"),
        (
            "0 does :f :txn :value [[:append 1 1] [:r 1 [1]]]\n0 does :f :txn :value [[:append 1 1]]",
            "1 is written to key 1 twice, first in line 1",
        ),
        (
            "0 does :f :txn :value [[:append 1 1] [:r 1 7]]",
            "[:r 1 7] is none",
        ),
        (
            "0 does :f :write :value 1\n0 does :f :cas :value 1",
            "the value of a :cas must be [old new]",
        ),
        (
            "0 does :f :add :value 1\n0 does :f :add :value 1\n0 does :f :read :value [1]",
            "1 is added twice",
        ),
    ];
    for (text, why) in cases {
        let judgement = judge(&events(text), Options::default());
        let told = anomalies(&judgement).join(", ");
        assert!(
            told.starts_with("unknown: ") && told.contains(why),
            "{text}: {told}"
        );
    }
}

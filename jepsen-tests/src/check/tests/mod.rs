//! Proves that checkers find what is planted, and nothing where nothing is.
//!
//! Histories by hand show each anomaly in its smallest form; made-up ones, thousands by seed, show
//! that a store that keeps its word is never blamed, and one that does not is; small random ones
//! are judged by an exhaustive search beside ours.

mod availability;
mod election;
mod infer;
mod log;
mod puts;
mod register;
mod rights;
mod search;
mod set;
mod states;
mod tls;
mod txn;
mod txn_random;

use super::{Judgement, Model, Options, Verdict, Workload, judge};
use crate::generate::{Shape, Store, history};
use crate::history::{Event, read};

/// A history in short: each line is a process, then `invoke`, `ok`, `fail`, `info`, or `does` for
/// an operation that is invoked and at once acknowledged with the same value, and then the rest of
/// the event.
pub(super) fn events(text: &str) -> Vec<Event> {
    let mut edn = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let [process, kind, rest] = [0; 3].map(|_| words.next().unwrap_or(""));
        let kinds = if kind == "does" {
            vec!["invoke", "ok"]
        } else {
            vec![kind]
        };
        for kind in kinds {
            edn.push_str(&format!("{{:process {process} :type :{kind} {rest}}}\n"));
        }
    }
    read(edn.as_bytes()).unwrap_or_else(|error| panic!("{error} in\n{edn}"))
}

/// Judges a history in short.
pub(super) fn judged(text: &str, workload: Workload, model: Model) -> Judgement {
    let options = Options {
        workload: Some(workload),
        model,
    };
    judge(&events(text), options)
}

/// The anomalies of a judgement, in the order of their names; or why there is none.
pub(super) fn anomalies(judgement: &Judgement) -> Vec<String> {
    match &judgement.verdict {
        Verdict::Valid => Vec::new(),
        Verdict::Violated(found) => found
            .counts()
            .keys()
            .map(|name| (*name).to_owned())
            .collect(),
        Verdict::Unknown(why) => vec![format!("unknown: {why}")],
    }
}

/// Judges made-up histories of `store` by the seeds; gives those that were found invalid. What was
/// found shows in the output of a test that fails.
pub(super) fn blamed<S: Store>(
    seeds: std::ops::Range<u64>,
    shape: Shape,
    workload: Workload,
    store: impl Fn() -> S,
) -> Vec<u64> {
    let options = Options {
        workload: Some(workload),
        model: Model::StrictSerializable,
    };
    let is_blamed = |seed: &u64| {
        let judgement = judge(&history(*seed, shape, &mut store()), options);
        match judgement.verdict {
            Verdict::Valid => false,
            Verdict::Violated(found) => {
                println!("seed {seed}: {:#?}", found.told().first());
                true
            }
            Verdict::Unknown(why) => panic!("seed {seed}: {why}"),
        }
    };
    seeds.filter(is_blamed).collect()
}

/// A busy little cluster.
pub(super) const BUSY: Shape = Shape {
    clients: 5,
    ops: 120,
    fail_percent: 5,
    info_percent: 5,
};

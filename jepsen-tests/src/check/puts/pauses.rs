//! How long the cluster was of no use after each fault: the longest time without an acknowledged
//! write, and without a reaction of each component.

use std::collections::BTreeMap;

use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

/// Milliseconds by fault: the longest gap between acknowledgements that begins before the next
/// fault and ends after this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// Fault, and the longest pause of writes in milliseconds.
    pub(crate) writes: Vec<(String, u64)>,
    /// Component, and its longest reaction in milliseconds.
    pub(crate) reactions: BTreeMap<String, u64>,
}

/// Reads the pauses out of a history and its operations.
pub(crate) fn pauses(events: &[Event], ops: &[Op<'_>]) -> Pauses {
    let acknowledged: Vec<i64> = events
        .iter()
        .filter(|event| event.kind == Kind::Ok && event.f == "put")
        .filter_map(|event| event.time_ns)
        .collect();
    let faults: Vec<(String, i64)> = events
        .iter()
        .filter(|event| event.process == Process::Named("nemesis".into()))
        .filter_map(|event| Some((fault(event), event.time_ns?)))
        .collect();
    let mut found = Pauses::default();
    for (i, (what, from)) in faults.iter().enumerate() {
        let to = faults.get(i + 1).map_or(i64::MAX, |(_, at)| *at);
        let gaps = acknowledged
            .windows(2)
            .filter(|pair| pair[1] > *from && pair[0] < to);
        let longest = gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        found.writes.push((what.clone(), milliseconds(longest)));
    }
    for op in ops
        .iter()
        .filter(|op| op.f() == "react" && op.kind == Kind::Ok)
    {
        let times = (
            op.invoked.time_ns,
            op.completed.and_then(|event| event.time_ns),
        );
        if let (Value::Text(of), (Some(start), Some(end))) = (&op.invoked.value, times) {
            let longest = found.reactions.entry(of.clone()).or_default();
            *longest = (*longest).max(milliseconds(end - start));
        }
    }
    found
}

fn fault(event: &Event) -> String {
    match &event.value {
        Value::Text(to) if !to.is_empty() => format!("{} {to}", event.f),
        _ => event.f.clone(),
    }
}

fn milliseconds(ns: i64) -> u64 {
    u64::try_from(ns / 1_000_000).unwrap_or(0)
}

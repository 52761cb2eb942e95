//! How long the cluster was of no use after each fault: the longest time without an acknowledged
//! write, and without a reaction of each component.

use std::collections::BTreeMap;

use crate::history::{Op, Outcome};

/// Milliseconds by fault: the longest gap between acknowledgements that begins before the next
/// fault and ends after this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// Fault, and the longest pause of writes in milliseconds.
    pub(crate) writes: Vec<(String, u64)>,
    /// Component, and its longest reaction in milliseconds.
    pub(crate) reactions: BTreeMap<String, u64>,
}

/// Reads the pauses out of a history.
pub(crate) fn pauses(ops: &[Op]) -> Pauses {
    let mut acknowledged: Vec<u64> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Write {
                outcome: Outcome::Ok,
                end_ns,
                ..
            } => Some(*end_ns),
            _ => None,
        })
        .collect();
    acknowledged.sort_unstable();
    let faults: Vec<(&str, u64)> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Nemesis { what, at_ns } => Some((what.as_str(), *at_ns)),
            _ => None,
        })
        .collect();
    let mut found = Pauses::default();
    for (i, (what, from)) in faults.iter().enumerate() {
        let to = faults.get(i + 1).map_or(u64::MAX, |(_, at)| *at);
        let gaps = acknowledged
            .windows(2)
            .filter(|pair| pair[1] > *from && pair[0] < to);
        let longest = gaps.map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        found.writes.push(((*what).to_owned(), longest / 1_000_000));
    }
    for op in ops {
        if let Op::Reaction {
            of,
            start_ns,
            end_ns: Some(end_ns),
        } = op
        {
            let longest = found.reactions.entry(of.clone()).or_default();
            *longest = (*longest).max((end_ns - start_ns) / 1_000_000);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::pauses;
    use crate::history::{Op, Outcome};

    #[test]
    fn finds_the_gap_that_a_fault_made() {
        let at = |ms: u64| ms * 1_000_000;
        let write = |ms| Op::Write {
            client: "w".into(),
            key: format!("k{ms}"),
            start_ns: at(ms),
            end_ns: at(ms),
            outcome: Outcome::Ok,
            revision: None,
            error: None,
        };
        let fault = |what: &str, ms| Op::Nemesis {
            what: what.into(),
            at_ns: at(ms),
        };
        let ops = [
            write(10),
            write(20),
            fault("kill", 25),
            write(1520),
            write(1530),
            fault("restart", 1535),
            write(1540),
            Op::Reaction {
                of: "scheduler".into(),
                start_ns: at(10),
                end_ns: Some(at(17)),
            },
        ];
        let found = pauses(&ops);
        assert_eq!(
            found.writes,
            [("kill".to_owned(), 1500), ("restart".to_owned(), 10)]
        );
        assert_eq!(found.reactions["scheduler"], 7);
    }
}

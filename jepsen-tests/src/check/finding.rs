//! What checkers find, and what a history proves.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::Op;

/// Findings of one anomaly that are told in full; the rest are counted.
const EACH_MAX: usize = 8;

/// One broken promise, with the smallest set of operations that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its class, by the name that Elle and Jepsen give it where they have one.
    pub anomaly: &'static str,
    /// What is wrong, in one sentence.
    pub what: String,
    /// The operations that show it.
    pub ops: Vec<Shown>,
    /// What orders them, if they form a cycle.
    pub edges: Vec<Edge>,
}

/// An operation for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The number of its invocation.
    pub index: i64,
    /// The operation in one line.
    pub text: String,
}

/// One operation must come before another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Position in [`Finding::ops`].
    pub from: usize,
    /// Position in [`Finding::ops`].
    pub to: usize,
    /// The kind of dependency: `ww`, `wr`, `rw`, `process` or `realtime`.
    pub kind: &'static str,
    /// Why the one comes before the other.
    pub why: String,
}

/// What a history proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No promise was broken.
    Valid,
    /// These were.
    Violated(Findings),
    /// The history does not say enough.
    Unknown(String),
}

/// Broken promises, by anomaly; of each the first few in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    found: Vec<Finding>,
    counts: BTreeMap<&'static str, usize>,
}

impl Finding {
    /// One that `ops` show.
    pub(crate) fn new(anomaly: &'static str, what: impl Into<String>, ops: &[&Op<'_>]) -> Self {
        let shown = |op: &&Op<'_>| Shown {
            index: op.number(),
            text: op.show(),
        };
        Self {
            anomaly,
            what: what.into(),
            ops: ops.iter().map(shown).collect(),
            edges: Vec::new(),
        }
    }
}

impl Findings {
    /// Adds one; it is made only if there is still room for its anomaly.
    pub(crate) fn add(&mut self, anomaly: &'static str, make: impl FnOnce() -> Finding) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count <= EACH_MAX {
            self.found.push(make());
        }
    }

    /// Adds all of `others`.
    pub(crate) fn extend(&mut self, others: Self) {
        for (anomaly, count) in others.counts {
            *self.counts.entry(anomaly).or_default() += count;
        }
        self.found.extend(others.found);
    }

    /// Those whose anomaly is so, and the others.
    pub(crate) fn split(self, is_so: impl Fn(&str) -> bool) -> (Self, Self) {
        let (found, other): (Vec<_>, Vec<_>) = self
            .found
            .into_iter()
            .partition(|finding| is_so(finding.anomaly));
        let (counts, other_counts): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .counts
            .into_iter()
            .partition(|(anomaly, _)| is_so(anomaly));
        let others = Self {
            found: other,
            counts: other_counts,
        };
        (Self { found, counts }, others)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Those told in full.
    pub fn told(&self) -> &[Finding] {
        &self.found
    }

    /// How many of each anomaly were found.
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        &self.counts
    }

    /// Valid if there are none.
    pub(crate) fn verdict(self) -> Verdict {
        if self.is_empty() {
            Verdict::Valid
        } else {
            Verdict::Violated(self)
        }
    }
}

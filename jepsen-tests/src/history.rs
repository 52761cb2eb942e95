//! What clients asked and what they were told, in the order of time.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// How an operation ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// It may or may not have happened.
    Info,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Op {
    /// A client wrote `key`, and was told `outcome`; `revision` is set where it was acknowledged.
    Write {
        /// Which of the writers.
        client: String,
        /// What it wrote; every key is written once.
        key: String,
        /// Nanoseconds from the history's start to the request.
        start_ns: u64,
        /// Nanoseconds to the answer.
        end_ns: u64,
        /// What the client was told.
        outcome: Outcome,
        /// The revision or resource version in the answer.
        revision: Option<i64>,
        /// The error's text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A watcher was shown that `key` was created at `revision`.
    Seen {
        /// Which of the watchers.
        watcher: String,
        /// The key.
        key: String,
        /// Its revision or resource version.
        revision: i64,
        /// Nanoseconds from the history's start.
        at_ns: u64,
    },
    /// All keys that a read after the faults found, with their revisions.
    Final {
        /// Sorted by key.
        keys: Vec<(String, i64)>,
    },
    /// A fault, or a step of the scenario.
    Nemesis {
        /// What was done.
        what: String,
        /// Nanoseconds from the history's start.
        at_ns: u64,
    },
    /// How long a component of the plane took to act on something, in its own words.
    Reaction {
        /// `scheduler` or `controllers`.
        of: String,
        /// When it was asked.
        start_ns: u64,
        /// When it had acted; none if it never did.
        end_ns: Option<u64>,
    },
}

/// A history being recorded. Clones share it.
#[derive(Clone, Debug)]
pub struct History {
    started: Instant,
    ops: Arc<Mutex<Vec<Op>>>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            ops: Arc::default(),
        }
    }
}

impl History {
    /// Nanoseconds since the history began.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds a line.
    pub fn push(&self, op: Op) {
        self.ops.lock().push(op);
    }

    /// Notes a fault or step.
    pub fn nemesis(&self, what: impl Into<String>) {
        self.push(Op::Nemesis {
            what: what.into(),
            at_ns: self.now_ns(),
        });
    }

    /// Everything recorded so far.
    pub fn ops(&self) -> Vec<Op> {
        self.ops.lock().clone()
    }

    /// Acknowledged writes so far.
    pub fn acknowledged(&self) -> usize {
        let ops = self.ops.lock();
        ops.iter()
            .filter(|op| {
                matches!(
                    op,
                    Op::Write {
                        outcome: Outcome::Ok,
                        ..
                    }
                )
            })
            .count()
    }

    /// Writes one JSON object a line.
    pub fn write(&self, mut to: impl Write) -> Result<()> {
        for op in self.ops() {
            serde_json::to_writer(&mut to, &op)?;
            to.write_all(b"\n")?;
        }
        to.flush().context("write the history")
    }
}

/// Reads what [`History::write`] wrote.
pub(crate) fn read(from: impl BufRead) -> Result<Vec<Op>> {
    let lines = from.lines().enumerate();
    lines
        .map(|(number, line)| {
            serde_json::from_str(&line?)
                .with_context(|| format!("line {} is no operation", number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{History, Op, Outcome, read};

    #[test]
    fn a_history_is_read_back_as_written() {
        let history = History::default();
        history.nemesis("kill store-0");
        history.push(Op::Write {
            client: "w0".into(),
            key: "k1".into(),
            start_ns: 1,
            end_ns: 2,
            outcome: Outcome::Info,
            revision: None,
            error: Some("timed out".into()),
        });
        history.push(Op::Final {
            keys: vec![("k1".into(), 7)],
        });
        let mut bytes = Vec::new();
        history.write(&mut bytes).unwrap();
        assert_eq!(read(bytes.as_slice()).unwrap(), history.ops());
        assert!(read(b"{\"op\":\"nonsense\"}\n".as_slice()).is_err());
    }
}

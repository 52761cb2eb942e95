//! Puts each invocation and its completion together.

use std::collections::HashMap;

use thiserror::Error;

use super::{Event, Kind, Process};
use crate::edn::Value;

/// The position of a completion that says nothing of when the operation took effect.
pub(crate) const NEVER: u32 = u32::MAX;

/// One operation of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op<'a> {
    /// Who did it.
    pub(crate) process: i64,
    /// How it ended; [`Kind::Info`] where it did not.
    pub(crate) kind: Kind,
    /// The invocation.
    pub(crate) invoked: &'a Event,
    /// The completion, of whichever kind.
    pub(crate) completed: Option<&'a Event>,
    /// Where the invocation stands in the history.
    pub(crate) invoked_at: u32,
    /// Where its acknowledgement stands; [`NEVER`] if it was not acknowledged.
    pub(crate) completed_at: u32,
}

impl<'a> Op<'a> {
    /// The operation's name.
    pub(crate) fn f(&self) -> &'a str {
        &self.invoked.f
    }

    /// What was answered, or, without an answer, what was asked.
    pub(crate) fn value(&self) -> &'a Value {
        match self.completed {
            Some(completed) if self.kind == Kind::Ok => &completed.value,
            _ => &self.invoked.value,
        }
    }

    /// Its number for people: the invocation's index, or its line where there is none.
    pub(crate) fn number(&self) -> i64 {
        let line = i64::try_from(self.invoked.line).unwrap_or(i64::MAX);
        self.invoked.index.unwrap_or(line)
    }

    /// The operation in one line; of a long value its beginning and its end.
    pub(crate) fn show(&self) -> String {
        let f = match self.f() {
            "" => String::new(),
            f => format!(":{f} "),
        };
        format!(
            "line {}: process {} {f}{} {}",
            self.invoked.line,
            self.process,
            shortened(self.value().to_string()),
            self.kind.name(),
        )
    }
}

/// Characters of a value that are shown at each end.
const SHOWN_MAX: usize = 120;

fn shortened(value: String) -> String {
    let count = value.chars().count();
    if count <= 2 * SHOWN_MAX {
        return value;
    }
    let first: String = value.chars().take(SHOWN_MAX).collect();
    let last: String = value.chars().skip(count - SHOWN_MAX).collect();
    format!("{first} … {last}")
}

/// Why events are no operations.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum PairError {
    #[error("there is no event in it")]
    Empty,
    #[error("no operation of a client is in it")]
    NoClients,
    #[error(
        "it has completions alone, without invocations: nobody knows which operations were concurrent"
    )]
    NoInvocations,
    #[error(
        "line {line}: process {process} completes {f} that it did not invoke: the beginning is missing"
    )]
    Orphan {
        line: usize,
        process: i64,
        f: String,
    },
    #[error(
        "line {line}: process {process} invokes {f} before its operation of line {open} has ended"
    )]
    Overlap {
        line: usize,
        process: i64,
        f: String,
        open: usize,
    },
    #[error("line {line}: process {process} completes {f}, but invoked {invoked} in line {open}")]
    Other {
        line: usize,
        process: i64,
        f: String,
        invoked: String,
        open: usize,
    },
    #[error("it has more than {} events", u32::MAX - 1)]
    TooLong,
}

/// The operations of all clients, in the order of their invocations.
pub(crate) fn pair(events: &[Event]) -> Result<Vec<Op<'_>>, PairError> {
    if events.is_empty() {
        return Err(PairError::Empty);
    }
    let mut ops: Vec<Op<'_>> = Vec::with_capacity(events.len() / 2);
    let mut open: HashMap<i64, usize> = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        let at = u32::try_from(at).ok().filter(|at| *at < NEVER);
        let at = at.ok_or(PairError::TooLong)?;
        let Process::Client(process) = event.process else {
            continue;
        };
        let (line, f) = (event.line, shown(&event.f));
        if event.kind == Kind::Invoke {
            if let Some(open) = open.insert(process, ops.len()) {
                return Err(PairError::Overlap {
                    line,
                    process,
                    f,
                    open: ops[open].invoked.line,
                });
            }
            ops.push(Op {
                process,
                kind: Kind::Info,
                invoked: event,
                completed: None,
                invoked_at: at,
                completed_at: NEVER,
            });
            continue;
        }
        let Some(op) = open.remove(&process) else {
            if !events.iter().any(|event| event.kind == Kind::Invoke) {
                return Err(PairError::NoInvocations);
            }
            return Err(PairError::Orphan { line, process, f });
        };
        let op = &mut ops[op];
        if op.invoked.f != event.f {
            return Err(PairError::Other {
                line,
                process,
                f,
                invoked: shown(&op.invoked.f),
                open: op.invoked.line,
            });
        }
        op.kind = event.kind;
        op.completed = Some(event);
        if event.kind == Kind::Ok {
            op.completed_at = at;
        }
    }
    if ops.is_empty() {
        return Err(PairError::NoClients);
    }
    Ok(ops)
}

fn shown(f: &str) -> String {
    match f {
        "" => "an operation".to_owned(),
        f => format!(":{f}"),
    }
}

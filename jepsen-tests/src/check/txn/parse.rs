//! Reads transactions as Elle writes them: a vector of `[:append k v]`, `[:w k v]` and `[:r k v]`.

use std::collections::HashMap;

use crate::check::intern::{Interner, NIL};
use crate::check::{Error, Workload};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// What a transaction did in one step. Keys and values are numbers of the history's interners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wrote or appended.
    Write { key: u32, value: u32 },
    /// Read.
    Read { key: u32, seen: Seen },
}

/// What a read saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody was told.
    Unknown,
    /// A register's value.
    Value(u32),
    /// A list.
    List(Vec<u32>),
}

/// A transaction.
#[derive(Clone, Debug)]
pub(super) struct Txn<'a> {
    pub(super) op: &'a Op<'a>,
    pub(super) steps: Vec<Step>,
}

/// Where a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// Position of the transaction.
    pub(super) txn: u32,
    /// Whether it is the transaction's last write of the key.
    pub(super) is_last: bool,
}

/// All transactions of a history.
#[derive(Debug)]
pub(super) struct Txns<'a> {
    pub(super) all: Vec<Txn<'a>>,
    pub(super) keys: Interner<'a>,
    pub(super) values: Interner<'a>,
    /// By key and value.
    pub(super) writers: HashMap<(u32, u32), Writer>,
}

/// Which workload a transaction is of; `Some(None)` if it is a transaction but does not tell, and
/// nothing if it is none.
pub(in crate::check) fn kind_of(op: &Op<'_>) -> Option<Option<Workload>> {
    let steps = match op.value() {
        Value::Vector(all) | Value::List(all) => all,
        _ => return None,
    };
    let is_named = matches!(op.f(), "txn" | "");
    if steps.is_empty() && is_named {
        return Some(None);
    }
    let mut kind = None;
    for step in steps {
        let (name, _, value) = split(step)?;
        kind = kind.or(match (name, value) {
            ("append", _) => Some(Workload::Append),
            ("w", _) => Some(Workload::Wr),
            ("r", _) if op.kind != Kind::Ok => None,
            ("r", Value::Nil) => None,
            ("r", Value::Vector(_) | Value::List(_)) => Some(Workload::Append),
            ("r", _) => Some(Workload::Wr),
            _ => return None,
        });
    }
    (!steps.is_empty()).then_some(kind)
}

/// Name, key and value of a step.
fn split(step: &Value) -> Option<(&str, &Value, &Value)> {
    match step {
        Value::Vector(parts) | Value::List(parts) => match parts.as_slice() {
            [name, key, value] => Some((name.name()?, key, value)),
            [name, key] if name.name() == Some("r") => Some(("r", key, &Value::Nil)),
            _ => None,
        },
        _ => None,
    }
}

impl<'a> Txns<'a> {
    /// Reads all of `ops` as transactions of `workload`.
    pub(super) fn parse(ops: &'a [Op<'a>], workload: Workload) -> Result<Self, Error> {
        let mut txns = Self {
            all: Vec::with_capacity(ops.len()),
            keys: Interner::new(),
            values: Interner::new(),
            writers: HashMap::new(),
        };
        for op in ops {
            let steps = match op.value() {
                Value::Vector(steps) | Value::List(steps) => steps,
                // Refused before it did anything, as some clients write it.
                Value::Nil if op.kind != Kind::Ok => continue,
                other => return Err(shape(op, other, workload)),
            };
            let mut parsed = Vec::with_capacity(steps.len());
            for step in steps {
                let step = txns.step(op, step, workload);
                parsed.push(step.map_err(|value| shape(op, value, workload))?);
            }
            txns.index(op, &parsed)?;
            txns.all.push(Txn { op, steps: parsed });
        }
        let has_read = txns.all.iter().any(|txn| {
            txn.op.kind == Kind::Ok
                && txn
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::Read { .. }))
        });
        if !has_read {
            return Err(Error::Nothing("no acknowledged transaction read anything"));
        }
        Ok(txns)
    }

    fn step(
        &mut self,
        op: &Op<'a>,
        step: &'a Value,
        workload: Workload,
    ) -> Result<Step, &'a Value> {
        let (name, key, value) = split(step).ok_or(step)?;
        let key = self.keys.number(key);
        match (name, workload) {
            ("append", Workload::Append) | ("w", Workload::Wr) => Ok(Step::Write {
                key,
                value: self.values.number(value),
            }),
            ("r", _) if op.kind != Kind::Ok => Ok(Step::Read {
                key,
                seen: Seen::Unknown,
            }),
            ("r", Workload::Append) => {
                let list = match value {
                    Value::Nil => &[],
                    Value::Vector(all) | Value::List(all) => all.as_slice(),
                    _ => return Err(step),
                };
                let list = list.iter().map(|value| self.values.number(value));
                Ok(Step::Read {
                    key,
                    seen: Seen::List(list.collect()),
                })
            }
            ("r", _) => Ok(Step::Read {
                key,
                seen: Seen::Value(self.values.number(value)),
            }),
            _ => Err(step),
        }
    }

    /// Notes who wrote what.
    fn index(&mut self, op: &Op<'a>, steps: &[Step]) -> Result<(), Error> {
        let txn = u32::try_from(self.all.len()).expect("operations have 32-bit positions");
        for (at, step) in steps.iter().enumerate() {
            let Step::Write { key, value } = *step else {
                continue;
            };
            if value == NIL {
                return Err(Error::Shape {
                    line: op.invoked.line,
                    what: "nil is the absence of a value, and cannot be written".to_owned(),
                });
            }
            let writes_key =
                |step: &Step| matches!(step, Step::Write { key: other, .. } if *other == key);
            let is_last = !steps[at + 1..].iter().any(writes_key);
            let writer = Writer { txn, is_last };
            if let Some(other) = self.writers.insert((key, value), writer) {
                let other = self.all.get(other.txn as usize).map_or(op, |txn| txn.op);
                return Err(Error::Shape {
                    line: op.invoked.line,
                    what: format!(
                        "{} is written to key {} twice, first in line {}: each value may be written \
                         to a key only once, or nobody can tell who wrote what was read",
                        self.values.value(value),
                        self.keys.value(key),
                        other.invoked.line
                    ),
                });
            }
        }
        Ok(())
    }

    /// Whether the transaction was acknowledged.
    pub(super) fn is_ok(&self, txn: u32) -> bool {
        self.all[txn as usize].op.kind == Kind::Ok
    }

    /// Whether it certainly did not happen.
    pub(super) fn is_failed(&self, txn: u32) -> bool {
        self.all[txn as usize].op.kind == Kind::Fail
    }

    /// Who wrote `value` to `key`, if the transaction may have happened.
    pub(super) fn writer(&self, key: u32, value: u32) -> Option<Writer> {
        let writer = self.writers.get(&(key, value)).copied();
        writer.filter(|writer| !self.is_failed(writer.txn))
    }

    /// All with their positions.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &Txn<'a>)> {
        (0..).zip(&self.all)
    }
}

fn shape(op: &Op<'_>, value: &Value, workload: Workload) -> Error {
    let write = match workload {
        Workload::Append => "[:append k v]",
        _ => "[:w k v]",
    };
    let what = format!(
        "a transaction of {} is a vector of {write} and [:r k v], and {value} is none",
        workload.name()
    );
    Error::at(op, what)
}

//! Reads register operations as Jepsen's workloads write them.
//!
//! One register: `:read v`, `:write v`, `:cas [old new]`. Many: each value is a tuple of key and
//! value, as `jepsen.independent` makes it. With versions, as Jepsen's tests of etcd: the value is
//! `[version value]`, for a compare-and-set `[version [old new]]`; ours add the key's revision,
//! and to reads also the store's, from the answer's header.

use super::{KeyOp, Versions};
use crate::check::Error;
use crate::check::intern::{Interner, NIL};
use crate::check::linear::{Call, Change};
use crate::edn::Value;
use crate::history::{Kind, Op};

/// All operations that may have had an effect or were answered, with the number of their key.
pub(super) fn all<'a>(
    ops: &'a [Op<'a>],
    versions: Versions,
    values: &mut Interner<'a>,
) -> Result<Vec<(u32, KeyOp<'a>)>, Error> {
    let is_keyed = is_keyed(ops);
    let mut parsed = Vec::with_capacity(ops.len());
    for op in ops {
        if !matches!(op.f(), "read" | "write" | "cas") {
            return Err(Error::Shape {
                line: op.invoked.line,
                what: format!("a register has no operation :{}", op.f()),
            });
        }
        let is_idle = op.kind == Kind::Fail || (op.f() == "read" && op.kind != Kind::Ok);
        if is_idle {
            continue;
        }
        let (key, value) = match (is_keyed, op.value().pair()) {
            (false, _) => (NIL, op.value()),
            (true, Some((key, value))) => (values.number(key), value),
            (true, None) => {
                return Err(Error::shape(op, "as other operations are: [key value]"));
            }
        };
        let (call, header) = match versions {
            Versions::Absent => (plain(op, value, values)?, None),
            Versions::Told => versioned(op, value, values)?,
        };
        parsed.push((key, KeyOp { call, header, op }));
    }
    Ok(parsed)
}

/// Whether the operations name versions: each acknowledged value of a key is a vector that begins
/// with a number.
pub(in crate::check) fn is_versioned(ops: &[Op<'_>]) -> bool {
    let mut told = ops
        .iter()
        .filter(|op| op.kind == Kind::Ok && op.f() != "cas")
        .peekable();
    told.peek().is_some()
        && is_keyed(ops)
        && told.all(|op| {
            let value = op.value().pair().and_then(|(_, value)| value.elements());
            value.is_some_and(|all| {
                (2..=4).contains(&all.len()) && matches!(all[0], Value::Int(_) | Value::Nil)
            })
        })
}

/// Whether each value is a key with its value. Only a tuple says so itself; a vector of two may be
/// one too, but then every value is.
fn is_keyed(ops: &[Op<'_>]) -> bool {
    let is_tuple = |op: &Op<'_>| matches!(op.invoked.value, Value::Tuple(_));
    let is_keyed = |op: &Op<'_>| match op.value().pair() {
        // The values of a compare-and-set are two themselves, and may have numbers beside them.
        Some((_, value)) if op.f() == "cas" => {
            matches!(value, Value::Tuple(_) | Value::Vector(_) | Value::List(_))
        }
        pair => pair.is_some(),
    };
    ops.iter().any(is_tuple) || ops.iter().all(is_keyed)
}

fn plain<'a>(op: &Op<'a>, value: &'a Value, values: &mut Interner<'a>) -> Result<Call, Error> {
    Ok(Call {
        change: change(op, value, values)?,
        version: None,
        revision: None,
    })
}

fn change<'a>(op: &Op<'a>, value: &'a Value, values: &mut Interner<'a>) -> Result<Change, Error> {
    Ok(match op.f() {
        "read" => Change::Read(values.number(value)),
        "write" => Change::Write(values.number(value)),
        _ => {
            let (old, new) = value.pair().ok_or_else(|| Error::shape(op, "[old new]"))?;
            Change::Cas {
                old: values.number(old),
                new: values.number(new),
            }
        }
    })
}

/// With the revision in its answer's header: a write's own.
fn versioned<'a>(
    op: &Op<'a>,
    value: &'a Value,
    values: &mut Interner<'a>,
) -> Result<(Call, Option<i64>), Error> {
    let wanted = "[version value], [version value revision] or [version value revision header]";
    let nil = &Value::Nil;
    let (version, value, revision, header) = match value {
        // A key that is not there.
        Value::Nil => (nil, value, nil, nil),
        _ => match value.elements() {
            Some([version, value]) => (version, value, nil, nil),
            Some([version, value, revision]) => (version, value, revision, nil),
            Some([version, value, revision, header]) => (version, value, revision, header),
            _ => return Err(Error::shape(op, wanted)),
        },
    };
    let told = op.kind == Kind::Ok;
    let number = |value: &Value| match value {
        Value::Nil => Ok(None),
        Value::Int(number) if *number >= 0 => Ok(Some(*number).filter(|_| told)),
        _ => Err(Error::shape(op, wanted)),
    };
    let (version, revision, header) = (number(version)?, number(revision)?, number(header)?);
    let is_read = op.f() == "read";
    let is_absent = told && is_read && *value == Value::Nil && version.is_none();
    let call = Call {
        change: change(op, value, values)?,
        version: if is_absent { Some(0) } else { version },
        revision,
    };
    Ok((call, if is_read { header } else { revision }))
}

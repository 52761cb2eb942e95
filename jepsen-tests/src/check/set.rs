//! Sets: an element that was acknowledged, or that anybody has read, is in every read that begins
//! afterwards, as in Jepsen's `set-full` with linearizable reads.
//!
//! Lost is what no read finds that began after the last one to find it; stale is what a read
//! misses and a later one finds.

use std::collections::HashMap;

use super::intern::{Interner, NIL};
use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Kind, NEVER, Op};

/// Everything that is wrong.
pub(super) fn check(ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut values = Interner::new();
    let sets = parse(ops, &mut values)?;
    let reads = sets.iter().map(|set| set.reads.len()).sum::<usize>();
    if reads == 0 {
        return Err(Error::Nothing("no read was acknowledged"));
    }
    let mut found = Findings::default();
    for set in &sets {
        check_set(set, &values, &mut found)?;
    }
    Ok(found)
}

/// The operations on one set.
struct Set<'a> {
    key: u32,
    /// By element.
    adds: HashMap<u32, &'a Op<'a>>,
    /// Ordered by invocation.
    reads: Vec<Read<'a>>,
}

struct Read<'a> {
    op: &'a Op<'a>,
    elements: Vec<u32>,
}

fn parse<'a>(ops: &'a [Op<'a>], values: &mut Interner<'a>) -> Result<Vec<Set<'a>>, Error> {
    let is_keyed = is_keyed(ops);
    let mut sets: Vec<Set<'a>> = Vec::new();
    let mut numbers: HashMap<u32, usize> = HashMap::new();
    for op in ops {
        let is_read = match op.f() {
            "add" => false,
            "read" => true,
            f => return Err(Error::at(op, format!("a set has no operation :{f}"))),
        };
        if is_read && op.kind != Kind::Ok {
            continue;
        }
        let (key, value) = match (is_keyed, op.value().pair()) {
            (false, _) => (NIL, op.value()),
            (true, Some((key, value))) => (values.number(key), value),
            (true, None) => {
                let what = format!(
                    "the value must be [key value] as others are, and not {}",
                    op.value()
                );
                return Err(Error::at(op, what));
            }
        };
        let at = *numbers.entry(key).or_insert_with(|| {
            sets.push(Set {
                key,
                adds: HashMap::new(),
                reads: Vec::new(),
            });
            sets.len() - 1
        });
        if is_read {
            let elements = match value {
                Value::Nil => &[],
                value => value.elements().ok_or_else(|| {
                    Error::at(
                        op,
                        format!("a read of a set is a set or a vector, and not {value}"),
                    )
                })?,
            };
            let elements = elements.iter().map(|element| values.number(element));
            sets[at].reads.push(Read {
                op,
                elements: elements.collect(),
            });
        } else if let Some(other) = sets[at].adds.insert(values.number(value), op) {
            let what = format!(
                "{value} is added twice, first in line {}: each element may be added only once",
                other.invoked.line
            );
            return Err(Error::at(op, what));
        }
    }
    Ok(sets)
}

/// Whether each value is a key with its value: then every read that was answered is of a key and a
/// collection.
fn is_keyed(ops: &[Op<'_>]) -> bool {
    let is_tuple = |op: &Op<'_>| matches!(op.invoked.value, Value::Tuple(_));
    let mut reads = ops
        .iter()
        .filter(|op| op.f() == "read" && op.kind == Kind::Ok)
        .peekable();
    let is_pair_each = reads.peek().is_some()
        && reads.all(|op| {
            let collection = op.value().pair().map(|(_, value)| value);
            collection.is_some_and(|value| value.elements().is_some() || *value == Value::Nil)
        });
    ops.iter().any(is_tuple)
        || (is_pair_each
            && ops
                .iter()
                .all(|op| op.f() == "read" || op.value().pair().is_some()))
}

/// What is known of one element.
struct Element<'a> {
    number: u32,
    add: Option<&'a Op<'a>>,
    /// When it was certainly there, and who showed it.
    known: Option<(u32, &'a Op<'a>)>,
    /// The last read that found it, by invocation.
    last_found: Option<u32>,
}

fn check_set<'a>(set: &Set<'a>, values: &Interner<'_>, found: &mut Findings) -> Result<(), Error> {
    let mut elements: Vec<Element<'a>> = Vec::new();
    let mut positions: HashMap<u32, usize> = HashMap::new();
    let mut of = |number: u32, elements: &mut Vec<Element<'a>>| {
        *positions.entry(number).or_insert_with(|| {
            let add = set.adds.get(&number).copied();
            let acknowledged = add.filter(|add| add.kind == Kind::Ok);
            elements.push(Element {
                number,
                add,
                known: acknowledged.map(|add| (add.completed_at, add)),
                last_found: None,
            });
            elements.len() - 1
        })
    };
    let mut numbers: Vec<u32> = set.adds.keys().copied().collect();
    numbers.sort_unstable();
    for number in numbers {
        of(number, &mut elements);
    }
    let mut shown: Vec<Vec<usize>> = Vec::with_capacity(set.reads.len());
    for read in &set.reads {
        let mut positions: Vec<usize> = read
            .elements
            .iter()
            .map(|number| of(*number, &mut elements))
            .collect();
        positions.sort_unstable();
        check_twice(set, read, &positions, &elements, values, found);
        positions.dedup();
        for at in &positions {
            note(&mut elements[*at], read.op);
        }
        shown.push(positions);
    }
    for element in &elements {
        check_source(set, element, values, found);
    }
    check_missing(set, &elements, &shown, values, found);
    Ok(())
}

/// An element was found by a read.
fn note<'a>(element: &mut Element<'a>, read: &'a Op<'a>) {
    element.last_found = element.last_found.max(Some(read.invoked_at));
    if element.known.is_none_or(|(at, _)| read.completed_at < at) {
        element.known = Some((read.completed_at, read));
    }
}

fn in_set(set: &Set<'_>, values: &Interner<'_>) -> String {
    match set.key {
        NIL => String::new(),
        key => format!(" of key {}", values.value(key)),
    }
}

fn check_twice(
    set: &Set<'_>,
    read: &Read<'_>,
    positions: &[usize],
    elements: &[Element<'_>],
    values: &Interner<'_>,
    found: &mut Findings,
) {
    if let Some(twice) = positions.windows(2).find(|pair| pair[0] == pair[1]) {
        found.add("duplicated", || {
            let element = &elements[twice[0]];
            let number = values.value(element.number);
            let what = format!("{number} was read twice at once{}", in_set(set, values));
            let ops: Vec<&Op<'_>> = element.add.into_iter().chain([read.op]).collect();
            Finding::new("duplicated", what, &ops)
        });
    }
}

/// Elements that nobody added, or whose adding was refused.
fn check_source(set: &Set<'_>, element: &Element<'_>, values: &Interner<'_>, found: &mut Findings) {
    let reader = || {
        let has = |read: &&Read<'_>| read.elements.contains(&element.number);
        set.reads.iter().find(has).map(|read| read.op)
    };
    if element.last_found.is_none() {
        return;
    }
    let name = || format!("{}{}", values.value(element.number), in_set(set, values));
    match element.add {
        None => found.add("unexpected", || {
            let ops: Vec<&Op<'_>> = reader().into_iter().collect();
            Finding::new(
                "unexpected",
                format!("{} was read, but nobody added it", name()),
                &ops,
            )
        }),
        Some(add) if add.kind == Kind::Fail => found.add("aborted-read", || {
            let ops: Vec<&Op<'_>> = [add].into_iter().chain(reader()).collect();
            let what = format!("{} was read, but adding it had failed", name());
            Finding::new("aborted-read", what, &ops)
        }),
        Some(_) => {}
    }
}

/// Reads that miss what was known when they began.
fn check_missing(
    set: &Set<'_>,
    elements: &[Element<'_>],
    shown: &[Vec<usize>],
    values: &Interner<'_>,
    found: &mut Findings,
) {
    // By when each was known, so that a read need only look at those before it.
    let mut known: Vec<(u32, usize)> = elements
        .iter()
        .enumerate()
        .filter_map(|(at, element)| Some((element.known?.0, at)))
        .filter(|(at, _)| *at != NEVER)
        .collect();
    known.sort_unstable();
    let mut is_told = vec![false; elements.len()];
    let mut has = vec![false; elements.len()];
    for (read, positions) in set.reads.iter().zip(shown) {
        positions.iter().for_each(|at| has[*at] = true);
        let before = known.partition_point(|(at, _)| *at < read.op.invoked_at);
        for (_, at) in &known[..before] {
            if has[*at] || is_told[*at] {
                continue;
            }
            is_told[*at] = true;
            missing(set, &elements[*at], read, values, found);
        }
        positions.iter().for_each(|at| has[*at] = false);
    }
}

fn missing(
    set: &Set<'_>,
    element: &Element<'_>,
    read: &Read<'_>,
    values: &Interner<'_>,
    found: &mut Findings,
) {
    let is_found_later = element.last_found.is_some_and(|at| at > read.op.invoked_at);
    let anomaly = if is_found_later { "stale" } else { "lost" };
    found.add(anomaly, || {
        let after = if is_found_later {
            "and found by a later one"
        } else {
            "and by all later ones"
        };
        let what = format!(
            "{}{} was known, then missed by a read that began afterwards {after}",
            values.value(element.number),
            in_set(set, values)
        );
        let known = element.known.map(|(_, op)| op);
        let ops: Vec<&Op<'_>> = known.into_iter().chain([read.op]).collect();
        Finding::new(anomaly, what, &ops)
    });
}

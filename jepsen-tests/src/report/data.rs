//! What the page draws, as JSON.

use std::collections::HashMap;

use serde_json::json;

use super::faults;
use crate::check::{Judgement, Verdict};
use crate::history::{self, Event, Kind, Op};

/// Operations that are drawn; a browser is still quick with so many.
const OPS_MAX: usize = 50_000;
/// Characters of an operation's value that are shown.
const VALUE_MAX: usize = 100;

/// The data of the page. It can stand in a script element whatever the history says.
pub(super) fn json(events: &[Event], judgement: &Judgement) -> String {
    let ops = history::pair(events).unwrap_or_default();
    let is_timed = !events.is_empty() && events.iter().all(|event| event.time_ns.is_some());
    let x = |at: usize| match events.get(at).and_then(|event| event.time_ns) {
        Some(ns) if is_timed => ns as f64 / 1e9,
        _ => at as f64,
    };
    let rows = rows(&ops);
    let drawn: Vec<_> = ops
        .iter()
        .take(OPS_MAX)
        .zip(&rows)
        .map(|(op, row)| {
            let end = op.completed.and_then(|event| position(events, op, event));
            json!([
                row,
                x(op.invoked_at as usize),
                end.map(x),
                kind(op.kind),
                op.f(),
                shortened(&op.value().to_string()),
                op.number(),
            ])
        })
        .collect();
    let faults: Vec<_> = faults::faults(events)
        .into_iter()
        .map(|fault| json!({"name": fault.name, "from": x(fault.from), "to": fault.to.map(x)}))
        .collect();
    let data = json!({
        "unit": if is_timed { "s" } else { "events" },
        "end": x(events.len().saturating_sub(1)),
        "rows": rows.iter().max().map_or(0, |last| last + 1),
        "ops": drawn,
        "total": ops.len(),
        "faults": faults,
        "marked": marked(judgement),
    });
    // `</script>` and `<!--` would end the element or change its meaning.
    data.to_string().replace('<', "\\u003c")
}

/// Where the completion stands. It comes after the invocation, and lines grow with positions.
fn position(events: &[Event], op: &Op<'_>, completed: &Event) -> Option<usize> {
    let after = op.invoked_at as usize + 1;
    let at = after
        + events
            .get(after..)?
            .partition_point(|event| event.line < completed.line);
    let on_line = events.get(at..)?.iter();
    let same = on_line
        .take_while(|event| event.line == completed.line)
        .position(|event| std::ptr::eq(event, completed))?;
    Some(at + same)
}

fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::Ok => 0,
        Kind::Fail => 1,
        Kind::Info | Kind::Invoke => 2,
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A row for each operation: that of its process, which takes the row of one that has ended for
/// good, since a client goes on as another process after each unknown outcome.
fn rows(ops: &[Op<'_>]) -> Vec<usize> {
    let mut last: HashMap<i64, usize> = HashMap::new();
    for (at, op) in ops.iter().enumerate() {
        last.insert(op.process, at);
    }
    let mut of: HashMap<i64, usize> = HashMap::new();
    let mut free: Vec<usize> = Vec::new();
    let mut count = 0;
    let mut rows = Vec::with_capacity(ops.len());
    for (at, op) in ops.iter().enumerate() {
        let row = *of.entry(op.process).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                count += 1;
                count - 1
            })
        });
        rows.push(row);
        if last.get(&op.process) == Some(&at) && op.kind == Kind::Info {
            free.push(row);
        }
    }
    rows
}

/// Numbers of the operations that prove a finding.
fn marked(judgement: &Judgement) -> Vec<i64> {
    let Verdict::Violated(findings) = &judgement.verdict else {
        return Vec::new();
    };
    let ops = findings.told().iter().flat_map(|finding| &finding.ops);
    ops.map(|op| op.index).collect()
}

//! What versions and revisions alone prove: two operations are enough to show each fault.

use std::collections::HashMap;

use super::KeyOp;
use crate::check::linear::Change;
use crate::check::{Finding, Findings};
use crate::history::{NEVER, Op};

/// One key: a version has one value and one revision, is made by one write, rises with the
/// revision, and never falls in real time.
pub(super) fn check_key(name: &str, ops: &[KeyOp<'_>], found: &mut Findings) {
    check_versions(name, ops, found);
    check_order(name, ops, found);
    let told = |op: &KeyOp<'_>| op.call.version;
    later(ops, told, |before, after| {
        let (was, is) = (told(before).unwrap_or(0), told(after).unwrap_or(0));
        let is_write = !matches!(after.call.change, Change::Read(_));
        if is < was || (is == was && is_write) {
            found.add("stale-version", || {
                let what = format!("key {name}: version {is} was told after version {was}");
                Finding::new("stale-version", what, &[before.op, after.op])
            });
        }
    });
}

/// The state that `op` left or saw: version, value and revision.
fn state(op: &KeyOp<'_>) -> Option<(i64, u32, Option<i64>)> {
    let value = match op.call.change {
        Change::Read(value) | Change::Write(value) | Change::Cas { new: value, .. } => value,
    };
    Some((op.call.version?, value, op.call.revision))
}

fn check_versions(name: &str, ops: &[KeyOp<'_>], found: &mut Findings) {
    let mut first: HashMap<i64, &KeyOp<'_>> = HashMap::new();
    let mut writer: HashMap<i64, &KeyOp<'_>> = HashMap::new();
    for op in ops {
        let Some((version, value, revision)) = state(op) else {
            continue;
        };
        if !matches!(op.call.change, Change::Read(_))
            && let Some(other) = writer.insert(version, op)
        {
            found.add("duplicate-version", || {
                let what = format!("key {name}: two writes made version {version}");
                Finding::new("duplicate-version", what, &[other.op, op.op])
            });
            continue;
        }
        let other = *first.entry(version).or_insert(op);
        let Some((_, other_value, other_revision)) = state(other) else {
            continue;
        };
        let differ = matches!((revision, other_revision), (Some(a), Some(b)) if a != b);
        if value != other_value || differ {
            found.add("version-mismatch", || {
                let what = format!("key {name}: version {version} was told in two ways");
                Finding::new("version-mismatch", what, &[other.op, op.op])
            });
        }
    }
}

fn check_order(name: &str, ops: &[KeyOp<'_>], found: &mut Findings) {
    let mut told: Vec<(i64, i64, &Op<'_>)> = ops
        .iter()
        .filter_map(|op| Some((op.call.version?, op.call.revision?, op.op)))
        .collect();
    told.sort_unstable_by_key(|(version, revision, _)| (*version, *revision));
    for pair in told.windows(2) {
        let [(version, revision, op), (next, next_revision, next_op)] = pair else {
            continue;
        };
        if next > version && next_revision <= revision {
            found.add("revision-order", || {
                let what = format!(
                    "key {name}: version {version} has revision {revision}, but version {next} has {next_revision}"
                );
                Finding::new("revision-order", what, &[op, next_op])
            });
        }
    }
}

/// All keys together: a write that began after another was acknowledged has a greater revision, and
/// no two writes share one.
pub(super) fn check_revisions(ops: &[KeyOp<'_>], found: &mut Findings) {
    let writes: Vec<KeyOp<'_>> = ops
        .iter()
        .filter(|op| !matches!(op.call.change, Change::Read(_)))
        .copied()
        .collect();
    let mut seen: HashMap<i64, &KeyOp<'_>> = HashMap::new();
    for op in &writes {
        let Some(revision) = op.call.revision else {
            continue;
        };
        if let Some(other) = seen.insert(revision, op) {
            found.add("duplicate-revision", || {
                let what = format!("two writes were acknowledged at revision {revision}");
                Finding::new("duplicate-revision", what, &[other.op, op.op])
            });
        }
    }
    let told = |op: &KeyOp<'_>| op.call.revision;
    later(&writes, told, |before, after| {
        let (was, is) = (told(before).unwrap_or(0), told(after).unwrap_or(0));
        if is < was {
            found.add("revision-order", || {
                let what =
                    format!("a write was acknowledged at revision {is} after revision {was}");
                Finding::new("revision-order", what, &[before.op, after.op])
            });
        }
    });
}

/// All keys together: no answer's header tells a smaller revision than one that came before the
/// operation began. Of two writes [`check_revisions`] tells that.
pub(super) fn check_headers(ops: &[KeyOp<'_>], found: &mut Findings) {
    let told = |op: &KeyOp<'_>| op.header;
    let is_read = |op: &KeyOp<'_>| matches!(op.call.change, Change::Read(_));
    later(ops, told, |before, after| {
        let (was, is) = (told(before).unwrap_or(0), told(after).unwrap_or(0));
        if is < was && (is_read(before) || is_read(after)) {
            found.add("header-order", || {
                let what = format!("an answer tells the store's revision {is} after {was}");
                Finding::new("header-order", what, &[before.op, after.op])
            });
        }
    });
}

/// Calls `visit` for each operation that tells a number with the one of the greatest number among
/// those that were acknowledged before it began.
fn later<'o, 'a>(
    ops: &'o [KeyOp<'a>],
    told: impl Fn(&KeyOp<'a>) -> Option<i64>,
    mut visit: impl FnMut(&'o KeyOp<'a>, &'o KeyOp<'a>),
) {
    let told_by = |op: &&KeyOp<'a>| told(op).is_some();
    let mut begun: Vec<&KeyOp<'a>> = ops.iter().filter(told_by).collect();
    begun.sort_unstable_by_key(|op| op.op.invoked_at);
    let mut ended: Vec<&KeyOp<'a>> = begun.clone();
    ended.retain(|op| op.op.completed_at != NEVER);
    ended.sort_unstable_by_key(|op| op.op.completed_at);
    let mut ended = ended.into_iter().peekable();
    let mut greatest: Option<&KeyOp<'a>> = None;
    for op in begun {
        while let Some(before) = ended.next_if(|next| next.op.completed_at < op.op.invoked_at) {
            if greatest.is_none_or(|greatest| told(greatest) < told(before)) {
                greatest = Some(before);
            }
        }
        if let Some(before) = greatest {
            visit(before, op);
        }
    }
}

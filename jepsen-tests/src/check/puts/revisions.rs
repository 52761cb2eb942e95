//! Revisions rise: no two writes share one, and a write that began after another was acknowledged
//! has the greater.

use std::collections::HashMap;

use super::Put;
use crate::check::{Finding, Findings};
use crate::history::NEVER;

/// Notes every broken promise.
pub(super) fn check(puts: &[Put<'_>], found: &mut Findings) {
    let told: Vec<(i64, &Put<'_>)> = puts
        .iter()
        .filter_map(|put| Some((put.revision?, put)))
        .filter(|(_, put)| put.op.completed_at != NEVER)
        .collect();
    let mut at: HashMap<i64, &Put<'_>> = HashMap::new();
    for (revision, put) in &told {
        if let Some(other) = at.insert(*revision, put) {
            found.add("duplicate-revision", || {
                let (one, other_key) = (put.key, other.key);
                let what =
                    format!("{one} and {other_key} were both acknowledged at revision {revision}");
                Finding::new("duplicate-revision", what, &[other.op, put.op])
            });
        }
    }
    let mut begun = told.clone();
    begun.sort_unstable_by_key(|(_, put)| put.op.invoked_at);
    let mut ended = told;
    ended.sort_unstable_by_key(|(_, put)| put.op.completed_at);
    let mut ended = ended.into_iter().peekable();
    let mut greatest: Option<(i64, &Put<'_>)> = None;
    for (revision, put) in begun {
        while let Some(next) = ended.next_if(|(_, next)| next.op.completed_at < put.op.invoked_at) {
            if greatest.is_none_or(|(greatest, _)| greatest < next.0) {
                greatest = Some(next);
            }
        }
        if let Some((was, before)) = greatest
            && revision < was
        {
            found.add("revision-order", || {
                let what = format!(
                    "{} was acknowledged at revision {revision} after {} was at {was}",
                    put.key, before.key
                );
                Finding::new("revision-order", what, &[before.op, put.op])
            });
        }
    }
}

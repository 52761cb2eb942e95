//! Compaction: which history may go, and which rows that makes dead.
//!
//! A compaction is decided when its entry is applied and takes effect on reads at once. The rows go
//! later, a few at a time, and only ever those that no read at or after the compaction can see. A
//! deletion exactly at the compacted revision stays, for a watch that starts there.

use super::hash::Stretch;
use super::{Base, Error, Revision};
use crate::consensus::Fatal;
use crate::engine::{Direction, Family, Reader, Span};
use crate::keys;
use std::ops::ControlFlow;

/// Refuses a compaction that is not possible.
pub fn check(requested: i64, base: &Base<'_>) -> Result<(), Error> {
    if requested <= base.compact_revision {
        return Err(Error::Compacted);
    }
    if requested > base.revision {
        return Err(Error::FutureRev);
    }
    Ok(())
}

/// Rows that may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    /// Their keys in family `rev`.
    pub keys: Vec<Vec<u8>>,
    /// How many bytes they hold.
    pub bytes: i64,
    /// Every change that was looked at, whether it may go or not.
    pub changed: Stretch,
    /// Up to here nothing dead is left once they are gone.
    pub done_revision: i64,
}

/// Finds the rows made dead by a compaction at `compact_revision`, looking on from `done_revision`
/// and past at most about `rows_max` rows. Ends only between revisions.
pub fn find_dead(
    reader: &dyn Reader,
    done_revision: i64,
    compact_revision: i64,
    rows_max: usize,
) -> Result<Dead, Fatal> {
    let start = keys::rev::key(Revision {
        main: done_revision.max(0),
        sub: 0,
    });
    let end = keys::rev::key(Revision {
        main: compact_revision.saturating_add(1),
        sub: 0,
    });
    let mut dead = Dead {
        done_revision: compact_revision,
        ..Dead::default()
    };
    let mut rows = 0;
    let mut last = done_revision;
    let mut damage = None;
    let mut replaced = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        let row = keys::rev::parse_key(key)
            .and_then(|at| Ok((at, keys::rev::parse(&bytes::Bytes::copy_from_slice(value))?)));
        let (at, record) = match row {
            Ok(row) => row,
            Err(damaged) => {
                damage = Some(damaged);
                return ControlFlow::Break(());
            }
        };
        if rows >= rows_max && at.main != last {
            dead.done_revision = last;
            return ControlFlow::Break(());
        }
        last = at.main;
        // What the rows of `done_revision` itself replaced is gone already.
        if at.main > done_revision {
            // Counted from here, so that every look gets further.
            rows += 1;
            dead.changed.add(at, record.is_tombstone, &record.kv);
            replaced.extend(record.previous.map(keys::rev::key));
        }
        if record.is_tombstone && at.main < compact_revision {
            dead.bytes += row_bytes(key, value.len());
            dead.keys.push(key.to_vec());
        }
        ControlFlow::Continue(())
    };
    reader
        .scan(
            Family::Rev,
            Span::between(&start, &end),
            Direction::Forward,
            &mut visit,
        )
        .map_err(Fatal::at("compact::scan"))?;
    if let Some(damaged) = damage {
        return Err(Fatal::at("compact::parse")(damaged));
    }
    let values = reader
        .multi_get(Family::Rev, &replaced)
        .map_err(Fatal::at("compact::size"))?;
    for (key, value) in replaced.into_iter().zip(values) {
        // One that is missing went before the last crash.
        if let Some(value) = value {
            dead.bytes += row_bytes(&key, value.len());
            dead.keys.push(key);
        }
    }
    Ok(dead)
}

fn row_bytes(key: &[u8], value_len: usize) -> i64 {
    i64::try_from(key.len() + value_len).unwrap_or(i64::MAX)
}

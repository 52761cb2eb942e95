//! Every acknowledged write is there at the end, at the revision it was acknowledged with; nothing
//! is there that nobody wrote or that was certainly refused.

use super::{Last, Put};
use crate::check::{Finding, Findings};
use crate::history::Kind;

/// Notes every broken promise.
pub(super) fn check(puts: &[Put<'_>], last: &Last<'_>, found: &mut Findings) {
    let mut left = last.keys.clone();
    for put in puts {
        let (key, at) = (put.key, left.remove(put.key));
        let (anomaly, what) = match (put.op.kind, put.revision, at) {
            (Kind::Ok, _, None) => ("lost", format!("acknowledged write of {key} is lost")),
            (Kind::Ok, Some(told), Some(at)) if told != at => (
                "moved",
                format!("{key} was acknowledged at revision {told} but is at {at}"),
            ),
            (Kind::Fail, _, Some(at)) => (
                "refused-write",
                format!("{key} was refused but is there at revision {at}"),
            ),
            _ => continue,
        };
        found.add(anomaly, || Finding::new(anomaly, what, &[put.op]));
    }
    for key in left.into_keys() {
        found.add("unexpected", || {
            let what = format!("{key} is there but nobody wrote it");
            Finding::new("unexpected", what, &[])
        });
    }
}

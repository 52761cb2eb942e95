//! Each watcher saw every write once, in the order of revisions, at the revision that the final
//! read shows, and nothing else.

use std::collections::BTreeSet;

use super::{Last, Watched};
use crate::check::{Finding, Findings};

/// Notes every broken promise.
pub(super) fn check(watched: &Watched<'_>, last: &Last<'_>, found: &mut Findings) {
    for (watcher, seen) in watched {
        check_stream(watcher, seen, last, found);
    }
}

fn check_stream(watcher: &str, seen: &[(&str, i64)], last: &Last<'_>, found: &mut Findings) {
    let mut add = |anomaly, what: String| {
        found.add(anomaly, || Finding::new(anomaly, what, &[last.op]));
    };
    let mut keys = BTreeSet::new();
    let mut at = i64::MIN;
    for &(key, revision) in seen {
        if !keys.insert(key) {
            add("watch-duplicate", format!("{watcher} saw {key} twice"));
            continue;
        }
        if revision <= at {
            let what = format!("{watcher} saw {key} at revision {revision} after revision {at}");
            add("watch-order", what);
        }
        at = at.max(revision);
        match last.keys.get(key) {
            None => add(
                "watch-unexpected",
                format!("{watcher} saw {key}, which is not there at the end"),
            ),
            Some(end) if *end != revision => add(
                "watch-moved",
                format!("{watcher} saw {key} at revision {revision}, it is at {end}"),
            ),
            Some(_) => {}
        }
    }
    for missed in last.keys.keys().filter(|key| !keys.contains(*key)) {
        add("watch-lost", format!("{watcher} never saw {missed}"));
    }
}

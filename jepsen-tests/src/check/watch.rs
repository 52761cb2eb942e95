//! Each watcher saw every write once, in the order of revisions, at the revision that the final
//! read shows, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Op;

/// Every broken promise.
pub(super) fn check(ops: &[Op]) -> Vec<String> {
    let mut streams: BTreeMap<&str, Vec<(&str, i64)>> = BTreeMap::new();
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Seen {
                watcher,
                key,
                revision,
                ..
            } => {
                streams.entry(watcher).or_default().push((key, *revision));
            }
            Op::Final { keys } => last = keys.iter().map(|(key, at)| (key.as_str(), *at)).collect(),
            _ => {}
        }
    }
    streams
        .iter()
        .flat_map(|(watcher, seen)| check_stream(watcher, seen, &last))
        .collect()
}

fn check_stream(watcher: &str, seen: &[(&str, i64)], last: &BTreeMap<&str, i64>) -> Vec<String> {
    let mut violations = Vec::new();
    let mut keys = BTreeSet::new();
    let mut at = i64::MIN;
    for &(key, revision) in seen {
        if !keys.insert(key) {
            violations.push(format!("{watcher} saw {key} twice"));
            continue;
        }
        if revision <= at {
            violations.push(format!(
                "{watcher} saw {key} at revision {revision} after revision {at}"
            ));
        }
        at = at.max(revision);
        match last.get(key) {
            None => violations.push(format!(
                "{watcher} saw {key}, which is not there at the end"
            )),
            Some(end) if *end != revision => {
                violations.push(format!(
                    "{watcher} saw {key} at revision {revision}, it is at {end}"
                ));
            }
            Some(_) => {}
        }
    }
    let missed = last.keys().filter(|key| !keys.contains(*key));
    violations.extend(missed.map(|key| format!("{watcher} never saw {key}")));
    violations
}

#[cfg(test)]
pub(super) mod tests {
    use super::check;
    use crate::history::{Op, Outcome};

    pub(crate) fn write(key: &str, outcome: Outcome, revision: Option<i64>) -> Op {
        Op::Write {
            client: "w".into(),
            key: key.into(),
            start_ns: 0,
            end_ns: 1,
            outcome,
            revision,
            error: None,
        }
    }

    pub(crate) fn last(keys: &[(&str, i64)]) -> Op {
        Op::Final {
            keys: keys
                .iter()
                .map(|(key, at)| ((*key).to_owned(), *at))
                .collect(),
        }
    }

    fn seen(key: &str, revision: i64) -> Op {
        Op::Seen {
            watcher: "x".into(),
            key: key.into(),
            revision,
            at_ns: 0,
        }
    }

    #[test]
    fn a_faithful_watch_passes() {
        assert!(check(&[seen("a", 2), seen("b", 3), last(&[("a", 2), ("b", 3)])]).is_empty());
    }

    #[test]
    fn finds_each_planted_fault() {
        let end = || last(&[("a", 2), ("b", 3)]);
        assert_eq!(check(&[seen("a", 2), end()]), ["x never saw b"]);
        assert_eq!(
            check(&[seen("a", 2), seen("b", 3), seen("a", 2), end()]),
            ["x saw a twice"]
        );
        assert_eq!(
            check(&[seen("b", 3), seen("a", 2), end()]),
            ["x saw a at revision 2 after revision 3"]
        );
        assert_eq!(
            check(&[seen("a", 2), seen("b", 4), end()]),
            ["x saw b at revision 4, it is at 3"]
        );
        assert_eq!(
            check(&[seen("a", 2), seen("b", 3), seen("c", 4), end()]),
            ["x saw c, which is not there at the end"]
        );
    }
}

//! Every acknowledged write is there at the end, at the revision it was acknowledged with; nothing
//! is there that nobody wrote or that was certainly refused; no two writes share a revision.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Op, Outcome};

/// Every broken promise.
pub(super) fn check(ops: &[Op]) -> Vec<String> {
    let mut violations = Vec::new();
    let last = ops.iter().rev().find_map(|op| match op {
        Op::Final { keys } => Some(keys.iter().cloned().collect::<BTreeMap<_, _>>()),
        _ => None,
    });
    let mut left = last.unwrap_or_default();
    let mut by_revision: HashMap<i64, &str> = HashMap::new();
    for op in ops {
        let Op::Write {
            key,
            outcome,
            revision,
            ..
        } = op
        else {
            continue;
        };
        let found = left.remove(key);
        match (outcome, revision, found) {
            (Outcome::Ok, _, None) => {
                violations.push(format!("acknowledged write of {key} is lost"))
            }
            (Outcome::Ok, Some(told), Some(at)) if *told != at => {
                violations.push(format!(
                    "{key} was acknowledged at revision {told} but is at {at}"
                ));
            }
            (Outcome::Fail, _, Some(at)) => {
                violations.push(format!("{key} was refused but is there at revision {at}"));
            }
            _ => {}
        }
        if let (Outcome::Ok, Some(revision)) = (outcome, revision)
            && let Some(other) = by_revision.insert(*revision, key)
        {
            violations.push(format!(
                "{key} and {other} were both acknowledged at revision {revision}"
            ));
        }
    }
    violations.extend(
        left.into_keys()
            .map(|key| format!("{key} is there but nobody wrote it")),
    );
    violations
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::watch::tests::{last, write};
    use crate::history::Outcome;

    #[test]
    fn a_faithful_history_passes_and_an_unknown_write_may_go_either_way() {
        let ops = [
            write("a", Outcome::Ok, Some(2)),
            write("b", Outcome::Info, None),
            write("c", Outcome::Info, None),
            write("d", Outcome::Fail, None),
            last(&[("a", 2), ("b", 3)]),
        ];
        assert!(check(&ops).is_empty());
    }

    #[test]
    fn finds_each_planted_fault() {
        let lost = [write("a", Outcome::Ok, Some(2)), last(&[])];
        assert_eq!(check(&lost), ["acknowledged write of a is lost"]);
        let moved = [write("a", Outcome::Ok, Some(2)), last(&[("a", 3)])];
        assert_eq!(
            check(&moved),
            ["a was acknowledged at revision 2 but is at 3"]
        );
        let risen = [write("a", Outcome::Fail, None), last(&[("a", 3)])];
        assert_eq!(check(&risen), ["a was refused but is there at revision 3"]);
        let ghost = [
            write("a", Outcome::Ok, Some(2)),
            last(&[("a", 2), ("z", 9)]),
        ];
        assert_eq!(check(&ghost), ["z is there but nobody wrote it"]);
        let twice = [
            write("a", Outcome::Ok, Some(2)),
            write("b", Outcome::Ok, Some(2)),
            last(&[("a", 2), ("b", 2)]),
        ];
        assert_eq!(
            check(&twice),
            ["b and a were both acknowledged at revision 2"]
        );
    }
}

//! What becomes of an object, given what live reads said about it and its owners. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PropagationPolicy;

use super::graph::{FOREGROUND, Node, ORPHAN};

/// What a live read said about an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there.
    Solid,
    /// It is being deleted, and waits for its dependents.
    Waiting,
    /// It is not there, or another object has its name.
    Absent,
}

/// What to do about an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It stays as it is.
    Keep,
    /// It stays, without the references to these owners.
    Forget(Vec<String>),
    /// It goes.
    Delete {
        /// What is to become of its own dependents.
        propagation: PropagationPolicy,
        /// Its references must no longer hold their owners: it is in a circle of objects that wait for each other.
        must_unblock: bool,
    },
}

/// Decides on an object. `owners` are its references with what was found; `dependents` come from the graph.
pub(super) fn verdict(
    meta: &ObjectMeta,
    owners: &[(String, Owner)],
    dependents: &[(String, Node)],
) -> Verdict {
    if owners.is_empty() {
        return Verdict::Keep;
    }
    let useless = owners.iter().filter(|(_, owner)| *owner != Owner::Solid);
    let useless: Vec<String> = useless.map(|(uid, _)| uid.clone()).collect();
    if useless.len() < owners.len() {
        return if useless.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Forget(useless)
        };
    }
    let is_waited_for = owners.iter().any(|(_, owner)| *owner == Owner::Waiting);
    if is_waited_for && !dependents.is_empty() {
        let must_unblock = dependents.iter().any(|(_, node)| node.is_held);
        return Verdict::Delete {
            propagation: PropagationPolicy::Foreground,
            must_unblock,
        };
    }
    let has = |name: &str| {
        meta.finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == name)
    };
    let propagation = if has(ORPHAN) {
        PropagationPolicy::Orphan
    } else if has(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    };
    Verdict::Delete {
        propagation,
        must_unblock: false,
    }
}

/// The dependents that hold a foreground deletion of `owner`.
pub(super) fn blocking<'a>(owner: &str, dependents: &'a [(String, Node)]) -> Vec<&'a str> {
    let blocks = |node: &Node| {
        let mut owners = node.owners.iter();
        owners.any(|one| one.uid == owner && one.block_owner_deletion == Some(true))
    };
    dependents
        .iter()
        .filter(|(_, node)| blocks(node))
        .map(|(uid, _)| uid.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use kube::api::PropagationPolicy;
    use kube::core::ObjectMeta;

    use super::{Owner, Verdict, verdict};
    use crate::gc::graph::{FOREGROUND, Node, Place};

    fn owners(states: &[Owner]) -> Vec<(String, Owner)> {
        states
            .iter()
            .enumerate()
            .map(|(n, state)| (n.to_string(), *state))
            .collect()
    }

    fn dependent(is_held: bool) -> (String, Node) {
        let place = Place {
            api_version: String::new(),
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
        };
        let node = Node {
            place,
            owners: Vec::new(),
            dependents: std::collections::BTreeSet::new(),
            is_deleting: false,
            is_held,
            is_virtual: false,
        };
        ("d".to_owned(), node)
    }

    #[test]
    fn garbage_is_what_no_owner_is_left_of() {
        use Owner::{Absent, Solid, Waiting};
        let meta = ObjectMeta::default();
        let held = ObjectMeta {
            finalizers: Some(vec![FOREGROUND.into()]),
            ..ObjectMeta::default()
        };
        let delete = |propagation, must_unblock| Verdict::Delete {
            propagation,
            must_unblock,
        };
        assert_eq!(verdict(&meta, &[], &[]), Verdict::Keep);
        assert_eq!(verdict(&meta, &owners(&[Solid]), &[]), Verdict::Keep);
        assert_eq!(
            verdict(&meta, &owners(&[Solid, Absent, Waiting]), &[]),
            Verdict::Forget(vec!["1".into(), "2".into()])
        );
        let background = delete(PropagationPolicy::Background, false);
        assert_eq!(
            verdict(&meta, &owners(&[Absent]), &[dependent(false)]),
            background
        );
        assert_eq!(verdict(&meta, &owners(&[Waiting]), &[]), background);
        let foreground = delete(PropagationPolicy::Foreground, false);
        assert_eq!(verdict(&held, &owners(&[Absent]), &[]), foreground);
        assert_eq!(
            verdict(&meta, &owners(&[Waiting]), &[dependent(false)]),
            foreground
        );
        assert_eq!(
            verdict(&meta, &owners(&[Waiting, Absent]), &[dependent(true)]),
            delete(PropagationPolicy::Foreground, true)
        );
    }
}

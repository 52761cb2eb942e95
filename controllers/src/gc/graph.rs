//! Who owns whom, by uid. Pure: events in, uids to look at out. It never decides about a deletion.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// The finalizer of a foreground deletion.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that leaves the dependents.
pub(super) const ORPHAN: &str = "orphan";

/// Where an object is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty for cluster-scoped objects; for an owner never seen, that of its dependent.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) dependents: BTreeSet<String>,
    /// Its deletion has begun.
    pub(super) is_deleting: bool,
    /// Its deletion waits for its dependents.
    pub(super) is_held: bool,
    /// Known only from a reference; whether it exists is to be verified.
    pub(super) is_virtual: bool,
}

/// What to do about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    /// See whether it is garbage, or still held.
    Collect,
    /// Cut its dependents loose.
    Orphan,
    /// See whether it exists at all.
    Verify,
}

/// An object to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wake {
    pub(super) task: Task,
    pub(super) uid: String,
}

/// The graph.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The dependents that are known of an object, with their uids.
    pub(super) fn dependents(&self, uid: &str) -> Vec<(String, Node)> {
        let Some(node) = self.nodes.get(uid) else {
            return Vec::new();
        };
        let with_node = |uid: &String| Some((uid.clone(), self.nodes.get(uid)?.clone()));
        node.dependents.iter().filter_map(with_node).collect()
    }

    /// Everything that waits for an event.
    pub(super) fn pending(&self) -> Vec<Wake> {
        let tasks = self.nodes.iter().filter_map(|(uid, node)| {
            let task = match node {
                Node {
                    is_virtual: true, ..
                } => Task::Verify,
                Node { is_held: true, .. } => Task::Collect,
                _ => return None,
            };
            Some(Wake {
                task,
                uid: uid.clone(),
            })
        });
        tasks.collect()
    }

    /// An object exists like this.
    pub(super) fn observe(&mut self, place: Place, meta: &ObjectMeta) -> Vec<Wake> {
        let Some(uid) = meta.uid.clone() else {
            return Vec::new();
        };
        let owners = meta.owner_references.clone().unwrap_or_default();
        let is_deleting = meta.deletion_timestamp.is_some();
        let has = |name: &str| {
            meta.finalizers
                .iter()
                .flatten()
                .any(|finalizer| finalizer == name)
        };
        let is_held = is_deleting && has(FOREGROUND);
        let mut wakes = Vec::new();
        let before = self.nodes.remove(&uid);
        let old_owners = before
            .as_ref()
            .map(|node| node.owners.clone())
            .unwrap_or_default();
        let was_held = before.as_ref().is_some_and(|node| node.is_held);
        let dependents = before.map(|node| node.dependents).unwrap_or_default();
        if is_deleting && has(ORPHAN) {
            wakes.push(Wake {
                task: Task::Orphan,
                uid: uid.clone(),
            });
        }
        if is_held && !was_held {
            wakes.push(Wake {
                task: Task::Collect,
                uid: uid.clone(),
            });
            wakes.extend(dependents.iter().map(|uid| collect(uid)));
        }
        if owners != old_owners {
            self.leave(&uid, &old_owners, &owners, &mut wakes);
            self.join(&uid, &place, &owners, &mut wakes);
        }
        let node = Node {
            place,
            owners,
            dependents,
            is_deleting,
            is_held,
            is_virtual: false,
        };
        self.nodes.insert(uid, node);
        wakes
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Wake> {
        let Some(node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let mut wakes: Vec<Wake> = node.dependents.iter().map(|uid| collect(uid)).collect();
        self.leave(uid, &node.owners, &[], &mut wakes);
        wakes
    }

    /// Takes an object off the owners that it no longer has, and wakes those that were held by it.
    fn leave(
        &mut self,
        uid: &str,
        old: &[OwnerReference],
        new: &[OwnerReference],
        wakes: &mut Vec<Wake>,
    ) {
        for owner in old {
            let kept = new.iter().find(|one| one.uid == owner.uid);
            let Some(node) = self.nodes.get_mut(&owner.uid) else {
                continue;
            };
            let was_blocking = owner.block_owner_deletion == Some(true);
            let is_blocking = kept.is_some_and(|one| one.block_owner_deletion == Some(true));
            if node.is_held && was_blocking && !is_blocking {
                wakes.push(collect(&owner.uid));
            }
            if kept.is_none() {
                node.dependents.remove(uid);
                if node.is_virtual && node.dependents.is_empty() {
                    self.nodes.remove(&owner.uid);
                }
            }
        }
        let lost = old
            .iter()
            .any(|owner| !new.iter().any(|one| one.uid == owner.uid));
        if lost && !new.is_empty() {
            // Those that are left may all be gone.
            wakes.push(collect(uid));
        }
    }

    /// Adds an object to its owners; those that were never seen become virtual nodes, to be verified.
    fn join(&mut self, uid: &str, place: &Place, owners: &[OwnerReference], wakes: &mut Vec<Wake>) {
        for owner in owners {
            let node = self.nodes.entry(owner.uid.clone()).or_insert_with(|| {
                wakes.push(Wake {
                    task: Task::Verify,
                    uid: owner.uid.clone(),
                });
                Node {
                    place: Place {
                        api_version: owner.api_version.clone(),
                        kind: owner.kind.clone(),
                        namespace: place.namespace.clone(),
                        name: owner.name.clone(),
                    },
                    owners: Vec::new(),
                    dependents: BTreeSet::new(),
                    is_deleting: false,
                    is_held: false,
                    is_virtual: true,
                }
            });
            let is_new = node.dependents.insert(uid.to_owned());
            let is_elsewhere = node.place.name != owner.name
                || node.place.kind != owner.kind
                || (!node.place.namespace.is_empty() && node.place.namespace != place.namespace);
            // A reference that misses its owner's name, kind or namespace refers to nothing; one to an owner that is
            // waiting for its dependents has come late.
            if is_new && !node.is_virtual && (is_elsewhere || node.is_held) {
                wakes.push(collect(uid));
            }
        }
    }
}

fn collect(uid: &str) -> Wake {
    Wake {
        task: Task::Collect,
        uid: uid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

    use super::{FOREGROUND, Graph, ORPHAN, Place, Task, Wake};

    fn place(name: &str) -> Place {
        Place {
            api_version: "v1".into(),
            kind: "X".into(),
            namespace: "ns".into(),
            name: name.into(),
        }
    }

    fn meta(name: &str, owners: &[&str], finalizer: Option<&str>) -> ObjectMeta {
        let owner = |name: &&str| OwnerReference {
            api_version: "v1".into(),
            kind: "X".into(),
            name: (*name).into(),
            uid: (*name).into(),
            block_owner_deletion: Some(true),
            controller: None,
        };
        ObjectMeta {
            uid: Some(name.into()),
            owner_references: Some(owners.iter().map(owner).collect()),
            deletion_timestamp: finalizer.map(|_| client::times::now()),
            finalizers: finalizer.map(|name| vec![name.to_owned()]),
            ..ObjectMeta::default()
        }
    }

    fn text(wakes: Vec<Wake>) -> String {
        let mut all: Vec<String> = wakes
            .into_iter()
            .map(|wake| match wake.task {
                Task::Collect => format!("c:{}", wake.uid),
                Task::Orphan => format!("o:{}", wake.uid),
                Task::Verify => format!("v:{}", wake.uid),
            })
            .collect();
        all.sort();
        all.dedup();
        all.join(" ")
    }

    #[test]
    fn dependents_of_a_gone_owner_are_looked_at() {
        let mut graph = Graph::default();
        assert_eq!(text(graph.observe(place("a"), &meta("a", &[], None))), "");
        assert_eq!(
            text(graph.observe(place("b"), &meta("b", &["a"], None))),
            ""
        );
        assert_eq!(
            text(graph.observe(place("c"), &meta("c", &["b"], None))),
            ""
        );
        assert_eq!(text(graph.remove("a")), "c:b");
        assert_eq!(text(graph.remove("b")), "c:c");
        assert_eq!(text(graph.remove("c")), "");
        assert!(graph.pending().is_empty());
    }

    #[test]
    fn an_owner_never_seen_is_verified_and_may_appear_later() {
        let mut graph = Graph::default();
        assert_eq!(
            text(graph.observe(place("b"), &meta("b", &["a"], None))),
            "v:a"
        );
        assert_eq!(text(graph.pending()), "v:a");
        assert_eq!(text(graph.observe(place("a"), &meta("a", &[], None))), "");
        assert_eq!(graph.dependents("a").len(), 1);
        assert!(graph.pending().is_empty());
        let mut graph = Graph::default();
        graph.observe(place("b"), &meta("b", &["a"], None));
        assert_eq!(text(graph.remove("a")), "c:b");
    }

    #[test]
    fn a_foreground_deletion_wakes_dependents_and_then_the_owner() {
        let mut graph = Graph::default();
        graph.observe(place("a"), &meta("a", &[], None));
        graph.observe(place("b"), &meta("b", &["a"], None));
        let held = meta("a", &[], Some(FOREGROUND));
        assert_eq!(text(graph.observe(place("a"), &held)), "c:a c:b");
        assert_eq!(text(graph.observe(place("a"), &held)), "");
        // A dependent that comes late is looked at too.
        assert_eq!(
            text(graph.observe(place("c"), &meta("c", &["a"], None))),
            "c:c"
        );
        assert_eq!(text(graph.remove("b")), "c:a");
    }

    #[test]
    fn orphaning_and_changed_owners() {
        let mut graph = Graph::default();
        graph.observe(place("a"), &meta("a", &[], None));
        graph.observe(place("b"), &meta("b", &["a"], None));
        assert_eq!(
            text(graph.observe(place("a"), &meta("a", &[], Some(ORPHAN)))),
            "o:a"
        );
        assert_eq!(text(graph.observe(place("b"), &meta("b", &[], None))), "");
        assert!(graph.dependents("a").is_empty());
        assert_eq!(text(graph.remove("a")), "");
    }

    #[test]
    fn a_reference_that_misses_its_owner_is_looked_at() {
        let mut graph = Graph::default();
        graph.observe(
            Place {
                namespace: "other".into(),
                ..place("a")
            },
            &meta("a", &[], None),
        );
        assert_eq!(
            text(graph.observe(place("b"), &meta("b", &["a"], None))),
            "c:b"
        );
        let mut graph = Graph::default();
        graph.observe(
            Place {
                namespace: String::new(),
                ..place("a")
            },
            &meta("a", &[], None),
        );
        assert_eq!(
            text(graph.observe(place("b"), &meta("b", &["a"], None))),
            ""
        );
    }
}

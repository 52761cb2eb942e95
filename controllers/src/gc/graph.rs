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
        if let Some(guess) = before.as_ref().filter(|node| node.is_virtual) {
            wakes.extend(self.mistaken(&uid, &place, &guess.dependents));
        }
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

    /// An object is gone, or nobody watches it any more. While others name it, a virtual node keeps them together: they are
    /// found whether it is seen again or reported gone once more.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Wake> {
        let Some(mut node) = self.nodes.remove(uid) else {
            return Vec::new();
        };
        let mut wakes: Vec<Wake> = node.dependents.iter().map(|uid| collect(uid)).collect();
        let owners = std::mem::take(&mut node.owners);
        if !node.dependents.is_empty() {
            (node.is_deleting, node.is_held, node.is_virtual) = (false, false, true);
            self.nodes.insert(uid.to_owned(), node);
        }
        self.leave(uid, &owners, &[], &mut wakes);
        wakes
    }

    /// Those of the dependents whose reference to `uid` does not fit its object, now that this is seen at `place`.
    fn mistaken(&self, uid: &str, place: &Place, dependents: &BTreeSet<String>) -> Vec<Wake> {
        let is_mistaken = |dependent: &&String| {
            self.nodes.get(*dependent).is_some_and(|node| {
                let mut owners = node.owners.iter().filter(|owner| owner.uid == uid);
                owners.any(|owner| misses(owner, place, &node.place.namespace))
            })
        };
        let mistaken = dependents.iter().filter(is_mistaken);
        mistaken.map(|uid| collect(uid)).collect()
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
            let node = self.nodes.entry(owner.uid.clone()).or_insert_with(|| Node {
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
            });
            if !node.dependents.insert(uid.to_owned()) {
                continue;
            }
            if node.is_virtual {
                let (task, uid) = (Task::Verify, owner.uid.clone());
                wakes.push(Wake { task, uid });
            } else if node.is_held || misses(owner, &node.place, &place.namespace) {
                // An owner that is waiting for its dependents is referred to too late.
                wakes.push(collect(uid));
            }
        }
    }
}

/// Whether a reference, made in `namespace`, has the uid of the object at `place` but not its kind, name or namespace: it
/// refers to nothing. Any version of the kind will do.
fn misses(owner: &OwnerReference, place: &Place, namespace: &str) -> bool {
    place.name != owner.name
        || place.kind != owner.kind
        || group(&place.api_version) != group(&owner.api_version)
        || (!place.namespace.is_empty() && place.namespace != namespace)
}

fn group(api_version: &str) -> Option<&str> {
    api_version.split_once('/').map(|(group, _)| group)
}

fn collect(uid: &str) -> Wake {
    Wake {
        task: Task::Collect,
        uid: uid.to_owned(),
    }
}

#[cfg(test)]
mod tests;

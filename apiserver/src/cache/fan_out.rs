//! Who hears of an event: an index from what watchers are interested in to the watchers.
//!
//! An event touches only those who may want it, so that thousands of kubelets, each watching the
//! pods of its own node, do not cost thousands of selector tests.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Object;
use super::ring::Event;
use super::watcher::{End, Queue};

/// What a watcher wants at most; its selectors decide the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Every object of the kind.
    All,
    /// Those of one namespace.
    Namespace(String),
    /// One object by its key, `namespace/name` or the name.
    Key(String),
    /// Objects with one value in the indexed field (`spec.nodeName` of pods).
    Node(String),
}

impl Interest {
    /// Whether an event is of this interest: what [`FanOut::publish`] finds by its index.
    pub fn covers(&self, event: &Event) -> bool {
        let states = [event.old.as_ref(), event.new.as_ref()];
        let mut states = states.into_iter().flatten();
        match self {
            Self::All => true,
            Self::Key(key) => states.any(|state| *state.key == **key),
            Self::Namespace(namespace) => {
                states.any(|state| namespace_of(state) == Some(namespace.as_str()))
            }
            Self::Node(node) => {
                states.any(|state| node_of(state).as_deref() == Some(node.as_str()))
            }
        }
    }
}

/// The index of one kind's watchers.
#[derive(Debug, Default)]
pub struct FanOut {
    next_id: u64,
    watchers: HashMap<u64, (Interest, Arc<Queue>)>,
    by_interest: HashMap<Interest, HashSet<u64>>,
}

impl FanOut {
    /// Adds a watcher.
    pub fn add(&mut self, interest: Interest) -> (u64, Arc<Queue>) {
        let id = self.next_id;
        self.next_id += 1;
        let queue = Arc::new(Queue::default());
        self.by_interest
            .entry(interest.clone())
            .or_default()
            .insert(id);
        self.watchers.insert(id, (interest, queue.clone()));
        (id, queue)
    }

    /// Removes a watcher.
    pub fn remove(&mut self, id: u64) {
        if let Some((interest, _)) = self.watchers.remove(&id)
            && let Some(ids) = self.by_interest.get_mut(&interest)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_interest.remove(&interest);
            }
        }
    }

    /// How many watchers there are.
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Hands an event to everyone who may want it, once each.
    pub fn publish(&self, event: &Arc<Event>) {
        if self.watchers.is_empty() {
            return;
        }
        let mut interests = vec![Interest::All];
        if let Some(any) = event.new.as_ref().or(event.old.as_ref()) {
            interests.push(Interest::Key(any.key.to_string()));
            interests.extend(namespace_of(any).map(|it| Interest::Namespace(it.to_owned())));
        }
        // Both states count: an object that leaves a node is news to that node too.
        let nodes = [event.old.as_ref(), event.new.as_ref()].map(|state| state.and_then(node_of));
        let [before, after] = nodes;
        if before != after {
            interests.extend(before.map(Interest::Node));
        }
        interests.extend(after.map(Interest::Node));
        for interest in interests {
            for id in self.by_interest.get(&interest).into_iter().flatten() {
                if let Some((_, queue)) = self.watchers.get(id) {
                    queue.push(event);
                }
            }
        }
    }

    /// Ends every watcher.
    pub fn close_all(&self, end: End) {
        for (_, queue) in self.watchers.values() {
            queue.close(end);
        }
    }
}

fn namespace_of(object: &Object) -> Option<&str> {
    Some(object.key.split_once('/')?.0)
}

fn node_of(object: &Arc<Object>) -> Option<String> {
    object
        .header
        .field("spec.nodeName")
        .filter(|node| !node.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::{FanOut, Interest};
    use crate::cache::Object;
    use crate::cache::ring::Event;

    fn pod(key: &str, node: &str, revision: u64) -> Arc<Object> {
        let (namespace, name) = key.split_once('/').unwrap();
        let json = format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"namespace":"{namespace}","name":"{name}"}},"spec":{{"nodeName":"{node}"}}}}"#
        );
        Object::from_stored(key, &Bytes::from(json), revision)
    }

    #[test]
    fn an_event_reaches_only_those_who_may_want_it() {
        let mut fan_out = FanOut::default();
        let wanted = [
            Interest::All,
            Interest::Namespace("a".into()),
            Interest::Namespace("b".into()),
            Interest::Key("a/x".into()),
            Interest::Key("a/y".into()),
            Interest::Node("n1".into()),
            Interest::Node("n2".into()),
            Interest::Node("n3".into()),
        ];
        let queues: Vec<_> = wanted
            .iter()
            .map(|interest| fan_out.add(interest.clone()))
            .collect();
        let moved = Event::new(2, Some(pod("a/x", "n1", 1)), Some(pod("a/x", "n2", 2)));
        fan_out.publish(&moved);
        let heard: Vec<_> = queues
            .iter()
            .map(|(_, queue)| queue.take().unwrap().len())
            .collect();
        assert_eq!(heard, [1, 1, 0, 1, 0, 1, 1, 0]);
        // Who comes later and asks for the past is told the same.
        let covered = wanted.map(|interest| usize::from(interest.covers(&moved)));
        assert_eq!(covered.to_vec(), heard);
        for (id, _) in &queues {
            fan_out.remove(*id);
        }
        assert!(fan_out.is_empty() && fan_out.by_interest.is_empty());
    }
}

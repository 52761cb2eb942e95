//! The objects of one kind at one moment: sorted, immutable, cheap to hold and to change by copy.
//!
//! An ordered vector of small chunks. A change copies one chunk and the vector of pointers; whoever
//! holds the older snapshot keeps it whole.

use std::sync::Arc;

use super::Object;

/// Objects in one chunk at most: what one change copies.
const CHUNK_MAX: usize = 64;

type Chunk = Vec<Arc<Object>>;

/// An immutable state of a kind.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    chunks: Vec<Arc<Chunk>>,
    len: usize,
    /// The revision of the last change in it.
    pub revision: u64,
}

impl Snapshot {
    /// Builds a snapshot of objects in any order.
    pub fn from_objects(mut objects: Vec<Arc<Object>>, revision: u64) -> Self {
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        let len = objects.len();
        let chunks = objects
            .chunks(CHUNK_MAX)
            .map(|chunk| Arc::new(chunk.to_vec()))
            .collect();
        Self {
            chunks,
            len,
            revision,
        }
    }

    /// How many objects it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The object with this key.
    pub fn get(&self, key: &str) -> Option<&Arc<Object>> {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let place = chunk
            .binary_search_by(|object| object.key.as_ref().cmp(key))
            .ok()?;
        chunk.get(place)
    }

    /// The objects from the key `start` on, in key order.
    pub fn from<'a>(&'a self, start: &str) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let first = self.chunk_of(start);
        let skip = self.chunks.get(first).map_or(0, |chunk| {
            chunk.partition_point(|object| object.key.as_ref() < start)
        });
        self.chunks
            .get(first..)
            .unwrap_or_default()
            .iter()
            .flat_map(|chunk| chunk.iter())
            .skip(skip)
    }

    /// The objects whose keys begin with `prefix`, from the key `start` on.
    pub fn range<'a>(
        &'a self,
        prefix: &'a str,
        start: &str,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let start = if start > prefix { start } else { prefix };
        self.from(start)
            .take_while(move |object| object.key.starts_with(prefix))
    }

    /// Puts an object in its place. Returns the one that was there.
    pub fn put(&mut self, object: Arc<Object>) -> Option<Arc<Object>> {
        self.revision = self.revision.max(object.revision);
        let at = self.chunk_of(&object.key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Arc::new(vec![object]));
            self.len += 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|other| other.key.cmp(&object.key)) {
            Ok(place) => Some(std::mem::replace(&mut chunk[place], object)),
            Err(place) => {
                chunk.insert(place, object);
                self.len += 1;
                if chunk.len() > CHUNK_MAX {
                    let upper = chunk.split_off(CHUNK_MAX / 2);
                    self.chunks.insert(at + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &str, revision: u64) -> Option<Arc<Object>> {
        self.revision = self.revision.max(revision);
        let at = self.chunk_of(key);
        let chunk = self.chunks.get_mut(at)?;
        let place = chunk
            .binary_search_by(|object| object.key.as_ref().cmp(key))
            .ok()?;
        let chunk = Arc::make_mut(chunk);
        let gone = chunk.remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        self.len -= 1;
        Some(gone)
    }

    /// The chunk where `key` is or would be.
    fn chunk_of(&self, key: &str) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.first().is_some_and(|first| first.key.as_ref() <= key))
            .saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::Snapshot;
    use crate::cache::Object;

    fn object(key: &str, revision: u64) -> Arc<Object> {
        Object::from_stored(key, &Bytes::from_static(b"{\"metadata\":{}}"), revision)
    }

    fn keys(snapshot: &Snapshot) -> Vec<String> {
        snapshot
            .from("")
            .map(|object| object.key.to_string())
            .collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(steps in prop::collection::vec((0_u8..3, 0_u16..300), 0..600)) {
            let mut snapshot = Snapshot::default();
            let mut model = BTreeMap::new();
            for (revision, (step, number)) in steps.into_iter().enumerate() {
                let key = format!("ns{}/n{number}", number % 3);
                let revision = revision as u64 + 1;
                if step == 0 {
                    prop_assert_eq!(snapshot.remove(&key, revision).is_some(), model.remove(&key).is_some());
                } else {
                    let old = snapshot.put(object(&key, revision));
                    prop_assert_eq!(old.map(|old| old.revision), model.insert(key.clone(), revision));
                }
                prop_assert_eq!(snapshot.get(&key).map(|object| object.revision), model.get(&key).copied());
                prop_assert_eq!(snapshot.len(), model.len());
            }
            prop_assert_eq!(keys(&snapshot), model.keys().cloned().collect::<Vec<_>>());
            let from: Vec<_> = snapshot.range("ns1/", "ns1/n2").map(|object| object.key.to_string()).collect();
            let expected: Vec<_> = model.keys().filter(|key| key.starts_with("ns1/") && key.as_str() >= "ns1/n2").cloned().collect();
            prop_assert_eq!(from, expected);
        }
    }

    #[test]
    fn a_held_snapshot_does_not_change() {
        let mut snapshot = Snapshot::from_objects(vec![object("b", 1), object("a", 2)], 2);
        let held = snapshot.clone();
        snapshot.remove("a", 3);
        snapshot.put(object("c", 4));
        assert_eq!(keys(&held), ["a", "b"]);
        assert_eq!(keys(&snapshot), ["b", "c"]);
        assert_eq!((held.revision, snapshot.revision), (2, 4));
    }
}

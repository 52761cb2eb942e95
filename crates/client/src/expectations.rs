//! What a controller has asked for and has not yet seen: while its cache is behind, it must not create or delete again.
//!
//! Expectations older than five minutes count as met, so that a lost event cannot stop a controller for ever.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::store::Key;

/// As upstream's.
const TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Creations (by number) and deletions (by object key and uid) expected, per owner.
#[derive(Debug, Default)]
pub struct Expectations {
    owners: Mutex<HashMap<Key, Expected>>,
}

#[derive(Debug)]
struct Expected {
    creations: i64,
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    /// Nothing expected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether everything asked for has been seen, or has taken too long.
    pub fn met(&self, owner: &Key) -> bool {
        self.met_at(owner, Instant::now())
    }

    fn met_at(&self, owner: &Key, now: Instant) -> bool {
        match self.owners.lock().get(owner) {
            None => true,
            Some(expected) => {
                (expected.creations <= 0 && expected.deletions.is_empty())
                    || now.duration_since(expected.since) > TIMEOUT
            }
        }
    }

    /// Replaces what is expected of `owner`: `creations` new objects and the end of those with the uids in `deletions`.
    pub fn expect(
        &self,
        owner: &Key,
        creations: usize,
        deletions: impl IntoIterator<Item = String>,
    ) {
        let expected = Expected {
            creations: i64::try_from(creations).unwrap_or(i64::MAX),
            deletions: deletions.into_iter().collect(),
            since: Instant::now(),
        };
        self.owners.lock().insert(owner.clone(), expected);
    }

    /// A creation was seen, or failed and will not be seen.
    pub fn saw_creation(&self, owner: &Key) {
        if let Some(expected) = self.owners.lock().get_mut(owner) {
            expected.creations -= 1;
        }
    }

    /// The deletion of `uid` was seen, or failed and will not be seen.
    pub fn saw_deletion(&self, owner: &Key, uid: &str) {
        if let Some(expected) = self.owners.lock().get_mut(owner) {
            expected.deletions.remove(uid);
        }
    }

    /// The owner is gone.
    pub fn forget(&self, owner: &Key) {
        self.owners.lock().remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expectations;
    use crate::store::Key;

    #[test]
    fn met_when_all_is_seen_or_time_is_over() {
        let expectations = Expectations::new();
        let owner = Key::new("ns", "a");
        assert!(expectations.met(&owner));
        expectations.expect(&owner, 2, ["u1".to_owned()]);
        expectations.saw_creation(&owner);
        expectations.saw_creation(&owner);
        assert!(!expectations.met(&owner));
        // The same deletion seen twice counts once.
        expectations.saw_deletion(&owner, "other");
        assert!(!expectations.met(&owner));
        expectations.saw_deletion(&owner, "u1");
        assert!(expectations.met(&owner));
        expectations.expect(&owner, 1, []);
        assert!(!expectations.met(&owner));
        let later = std::time::Instant::now() + Duration::from_secs(301);
        assert!(expectations.met_at(&owner, later));
    }
}

//! The replicated leases and the keys that hang on them. Never reads a clock: time belongs to the
//! leader, which proposes what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

/// The greatest time to live that etcd accepts, in seconds.
pub const TTL_MAX_S: i64 = 9_000_000_000;

/// One lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// What was granted, in seconds.
    pub granted_ttl_s: i64,
    /// What was left at the last checkpoint; 0 if there was none since the last renewal.
    pub remaining_ttl_s: i64,
    /// The keys that go with it, sorted.
    pub keys: BTreeSet<Bytes>,
}

/// All leases by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    leases: BTreeMap<i64, Lease>,
}

impl Table {
    /// The lease with that id.
    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// All leases by id.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Lease)> {
        self.leases.iter().map(|(id, lease)| (*id, lease))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Adds a lease without keys, or sets the times of one that is there.
    pub fn set(&mut self, id: i64, granted_ttl_s: i64, remaining_ttl_s: i64) {
        let lease = self.leases.entry(id).or_default();
        lease.granted_ttl_s = granted_ttl_s;
        lease.remaining_ttl_s = remaining_ttl_s;
    }

    /// Removes a lease.
    pub fn remove(&mut self, id: i64) {
        self.leases.remove(&id);
    }

    /// Moves `key` from one lease to another; 0 is none. A lease that is gone counts as none, since
    /// a revoke removes its keys and itself in one step.
    pub fn move_key(&mut self, key: &Bytes, from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hangs_on_one_lease_at_a_time() {
        let key = Bytes::from_static(b"k");
        let mut table = Table::default();
        table.set(1, 10, 0);
        table.set(2, 20, 0);
        table.move_key(&key, 0, 1);
        table.move_key(&key, 1, 2);
        assert!(table.get(1).unwrap().keys.is_empty());
        assert_eq!(
            table.get(2).unwrap().keys.iter().collect::<Vec<_>>(),
            [&key]
        );
        table.move_key(&key, 2, 0);
        assert!(table.get(2).unwrap().keys.is_empty());
        table.remove(2);
        table.move_key(&key, 2, 1);
        assert_eq!(table.get(1).unwrap().keys.len(), 1);
    }

    #[test]
    fn setting_times_keeps_the_keys() {
        let mut table = Table::default();
        table.set(1, 10, 0);
        table.move_key(&Bytes::from_static(b"k"), 0, 1);
        table.set(1, 10, 3);
        let lease = table.get(1).unwrap();
        assert_eq!(
            (lease.granted_ttl_s, lease.remaining_ttl_s, lease.keys.len()),
            (10, 3, 1)
        );
    }
}

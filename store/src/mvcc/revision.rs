//! The two-part counter that orders all changes.

/// A place in the history: one transaction is one `main`, its changes count `sub` from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The revision that clients see.
    pub main: i64,
    /// The change within it.
    pub sub: u32,
}

impl Revision {
    /// The key under which etcd stores a change; a deletion's ends in a mark.
    pub fn etcd_key(self, is_tombstone: bool) -> Vec<u8> {
        let mut key = Vec::with_capacity(18);
        key.extend(self.main.to_be_bytes());
        key.push(b'_');
        key.extend(u64::from(self.sub).to_be_bytes());
        if is_tombstone {
            key.push(b't');
        }
        key
    }
}

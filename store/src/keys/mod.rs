//! The layout of every stored row, one file per kind.
//!
//! Family `rev`, one row per change, ordered by revision ([`rev`]):
//! ```text
//! key    main: u64 BE (8) | sub: u32 BE (4)
//! value  flags: u8 = version 1 << 4 | tombstone 1
//!        prev_main: varint, 0 = none; then only if not 0: prev_sub: varint
//!        the change as an exact mvccpb.KeyValue
//! ```
//! Family `key`, one row per live key ([`live`]):
//! ```text
//! key    the user's key
//! value  version: u8 = 1 | main | sub | create_revision | version | lease, each a varint
//! ```
//! Family `sys`, by ordinal. Numbers are never used again for another kind:
//! ```text
//! 1                    applied             version: u8 = 1 | term: u64 BE | index: u64 BE
//! 2                    membership          version: u8 = 1 | opaque bytes of consensus
//! 3                    head                version: u8 = 1 | revision, compact_revision, written_bytes: i64 BE each
//! 4                    gc                  version: u8 = 1 | done_revision, freed_bytes: i64 BE each
//! 5 | id: u64 BE       lease               version: u8 = 1 | granted_ttl_s, remaining_ttl_s: i64 BE each
//! 6 | type: u32 BE | member: u64 BE
//!                      alarm               version: u8 = 1
//! 7 | member: u64 BE   member attributes   version: u8 = 1 | membershippb.Attributes
//! 8                    cluster version     version: u8 = 1 | text
//! 9                    auth                version: u8 = 1 | enabled: u8 (0, 1) | revision: u64 BE
//! 10 | name            user                version: u8 = 1 | authpb.User, its password hashed
//! 11 | name            role                version: u8 = 1 | authpb.Role
//! ```
//! A reader refuses a version that it does not know. Nothing that belongs to one member alone may
//! be stored here: rows travel to other members in snapshots.

pub mod live;
pub mod rev;
pub mod sys;

#[cfg(test)]
mod tests;

/// A stored row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged {kind} row: {fault}")]
pub struct Damaged {
    /// Which kind of row.
    pub kind: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl Damaged {
    pub(crate) fn new(kind: &'static str, fault: &'static str) -> Self {
        Self { kind, fault }
    }
}

/// Takes one varint off the front.
pub(crate) fn take_varint(bytes: &mut &[u8], kind: &'static str) -> Result<u64, Damaged> {
    prost::encoding::decode_varint(bytes).map_err(|_| Damaged::new(kind, "bad varint"))
}

/// Takes a varint that must fit a non-negative i64.
pub(crate) fn take_i64(bytes: &mut &[u8], kind: &'static str) -> Result<i64, Damaged> {
    i64::try_from(take_varint(bytes, kind)?).map_err(|_| Damaged::new(kind, "number too large"))
}

/// Takes a varint that must fit a u32.
pub(crate) fn take_u32(bytes: &mut &[u8], kind: &'static str) -> Result<u32, Damaged> {
    u32::try_from(take_varint(bytes, kind)?).map_err(|_| Damaged::new(kind, "number too large"))
}

/// Appends a number that is known not to be negative, or a bit pattern such as a lease id.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, out);
}

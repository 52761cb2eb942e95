//! Rows of family `rev`: one change of one key.

use bytes::Bytes;
use prost::Message;
use proto_etcd::mvccpb::KeyValue;

use super::{Damaged, put_varint, take_i64, take_u32};
use crate::mvcc::Revision;

const KIND: &str = "rev";
const VERSION: u8 = 1;
const TOMBSTONE: u8 = 1;
const KEY_LEN: usize = 12;

/// One change, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The key was deleted.
    pub is_tombstone: bool,
    /// Where the pair that this change replaced is stored.
    pub previous: Option<Revision>,
    /// An exact `mvccpb.KeyValue`; of a tombstone, the key alone.
    pub kv: Bytes,
}

/// The row's key. Revisions are never negative once they are stored.
pub fn key(revision: Revision) -> Vec<u8> {
    let mut out = Vec::with_capacity(KEY_LEN);
    out.extend(revision.main.cast_unsigned().to_be_bytes());
    out.extend(revision.sub.to_be_bytes());
    out
}

/// Reads a row's key.
pub fn parse_key(bytes: &[u8]) -> Result<Revision, Damaged> {
    let (main, sub) = bytes
        .split_first_chunk::<8>()
        .ok_or(Damaged::new(KIND, "key of wrong length"))?;
    let sub = <[u8; 4]>::try_from(sub).map_err(|_| Damaged::new(KIND, "key of wrong length"))?;
    let main = i64::try_from(u64::from_be_bytes(*main))
        .map_err(|_| Damaged::new(KIND, "revision too large"))?;
    Ok(Revision {
        main,
        sub: u32::from_be_bytes(sub),
    })
}

/// The row's value.
pub fn value(is_tombstone: bool, previous: Option<Revision>, kv: &KeyValue) -> Vec<u8> {
    let mut out = head(is_tombstone, previous, kv.encoded_len());
    // A Vec grows: encoding into it cannot fail.
    kv.encode(&mut out).expect("a Vec has room");
    out
}

/// The row's value around an exact `mvccpb.KeyValue`.
pub fn value_of(is_tombstone: bool, previous: Option<Revision>, kv: &[u8]) -> Vec<u8> {
    let mut out = head(is_tombstone, previous, kv.len());
    out.extend_from_slice(kv);
    out
}

fn head(is_tombstone: bool, previous: Option<Revision>, kv_len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + kv_len);
    out.push(VERSION << 4 | if is_tombstone { TOMBSTONE } else { 0 });
    match previous {
        None => out.push(0),
        Some(previous) => {
            put_varint(&mut out, previous.main.cast_unsigned());
            put_varint(&mut out, u64::from(previous.sub));
        }
    }
    out
}

/// Whether the row is a deletion, and its exact `mvccpb.KeyValue`.
pub fn split(value: &[u8]) -> Result<(bool, &[u8]), Damaged> {
    let (is_tombstone, _, kv) = parts(value)?;
    Ok((is_tombstone, kv))
}

/// Reads a row's value.
pub fn parse(value: &Bytes) -> Result<Record, Damaged> {
    let (is_tombstone, previous, kv) = parts(value)?;
    Ok(Record {
        is_tombstone,
        previous,
        kv: value.slice(value.len() - kv.len()..),
    })
}

fn parts(value: &[u8]) -> Result<(bool, Option<Revision>, &[u8]), Damaged> {
    let mut rest = value;
    let (flags, tail) = rest
        .split_first()
        .ok_or(Damaged::new(KIND, "empty value"))?;
    if flags >> 4 != VERSION || flags & 0x0f & !TOMBSTONE != 0 {
        return Err(Damaged::new(KIND, "unknown version"));
    }
    rest = tail;
    let main = take_i64(&mut rest, KIND)?;
    let previous = if main == 0 {
        None
    } else {
        Some(Revision {
            main,
            sub: take_u32(&mut rest, KIND)?,
        })
    };
    Ok((flags & TOMBSTONE != 0, previous, rest))
}

impl Record {
    /// The stored pair. A tombstone gets the revision of its deletion, as etcd sends it.
    pub fn to_kv(&self, revision: Revision) -> Result<KeyValue, Damaged> {
        let mut kv = KeyValue::decode(self.kv.clone())
            .map_err(|_| Damaged::new(KIND, "bad key-value bytes"))?;
        if self.is_tombstone {
            kv.mod_revision = revision.main;
        }
        Ok(kv)
    }
}

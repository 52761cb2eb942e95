//! Rows of family `key`: what is known of each live key without reading its value.

use super::{Damaged, put_varint, take_i64, take_u32, take_varint};
use crate::mvcc::{Live, Revision};

const KIND: &str = "key";
const VERSION: u8 = 1;

/// The row's value; its key is the user's key.
pub fn value(live: &Live) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    out.push(VERSION);
    put_varint(&mut out, live.at.main.cast_unsigned());
    put_varint(&mut out, u64::from(live.at.sub));
    put_varint(&mut out, live.create_revision.cast_unsigned());
    put_varint(&mut out, live.version.cast_unsigned());
    put_varint(&mut out, live.lease.cast_unsigned());
    out
}

/// Reads a row's value.
pub fn parse(value: &[u8]) -> Result<Live, Damaged> {
    let (version, mut rest) = value
        .split_first()
        .ok_or(Damaged::new(KIND, "empty value"))?;
    if *version != VERSION {
        return Err(Damaged::new(KIND, "unknown version"));
    }
    let live = Live {
        at: Revision {
            main: take_i64(&mut rest, KIND)?,
            sub: take_u32(&mut rest, KIND)?,
        },
        create_revision: take_i64(&mut rest, KIND)?,
        version: take_i64(&mut rest, KIND)?,
        // A lease id is any 64 bits.
        lease: take_varint(&mut rest, KIND)?.cast_signed(),
    };
    if rest.is_empty() {
        Ok(live)
    } else {
        Err(Damaged::new(KIND, "trailing bytes"))
    }
}

//! The one place where openraft's own metadata (votes, memberships) becomes bytes, on disk and on
//! the wire. Commands never come here: they are bytes from the start.
//!
//! A version byte, then bincode with fixed-size integers. Changing any of the types it is used for
//! needs a new version and a reader for the old one; the golden bytes in the tests notice.

use bincode::Options;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 1;
/// Far more than the largest membership that a cluster can have; stops a damaged length from
/// asking for memory.
const BYTES_MAX: u64 = 1 << 20;

/// Bytes that are no metadata of ours, or metadata that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The version byte is missing or unknown.
    #[error("metadata of unknown version")]
    Version,
    /// The bytes do not fit the type.
    #[error("metadata cannot be read or written")]
    Form(#[source] bincode::Error),
    /// An entry is of a kind that this version does not know.
    #[error("log entry of unknown kind {0}")]
    Kind(u8),
    /// An entry has no place.
    #[error("log entry without an index")]
    Index,
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_limit(BYTES_MAX)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let mut bytes = vec![VERSION];
    options()
        .serialize_into(&mut bytes, value)
        .map_err(Error::Form)?;
    Ok(bytes.into())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, body)) => options().deserialize(body).map_err(Error::Form),
        _ => Err(Error::Version),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use expect_test::{Expect, expect};

    use super::super::types::{LeaderId, Membership, RaftLogId, StoredMembership, Vote};
    use super::*;
    use crate::consensus::Member;

    fn membership() -> Membership {
        let member = |id: u64| Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://h{id}:2380")],
            client_urls: vec![],
            is_learner: id == 3,
        };
        let nodes: BTreeMap<u64, Member> = (1..=3).map(|id| (id, member(id))).collect();
        Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap()
    }

    fn check<T>(value: &T, golden: Expect)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let bytes = encode(value).unwrap();
        golden.assert_eq(
            &bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        );
        assert_eq!(&decode::<T>(&bytes).unwrap(), value);
        for len in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..len]).is_err(), "cut at {len}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert!(decode::<T>(&longer).is_err());
    }

    #[test]
    fn a_vote_keeps_its_bytes() {
        check(
            &Vote::new_committed(7, 0x8e9e_05c5_2164_694d),
            expect!["010700000000000000014d696421c5059e8e01"],
        );
    }

    #[test]
    fn a_membership_keeps_its_bytes() {
        let log_id = RaftLogId {
            leader_id: LeaderId::new(5),
            index: 9,
        };
        check(
            &StoredMembership::new(Some(log_id), membership()),
            expect![
                "010105000000000000000900000000000000010000000000000002000000000000000100000000000000020000000000000003000000000000000100000000000000010000000000000002000000000000006d3101000000000000000e00000000000000687474703a2f2f68313a323338300000000000000000000200000000000000020000000000000002000000000000006d3201000000000000000e00000000000000687474703a2f2f68323a323338300000000000000000000300000000000000030000000000000002000000000000006d3301000000000000000e00000000000000687474703a2f2f68333a32333830000000000000000001"
            ],
        );
        check(
            &membership(),
            expect![
                "01010000000000000002000000000000000100000000000000020000000000000003000000000000000100000000000000010000000000000002000000000000006d3101000000000000000e00000000000000687474703a2f2f68313a323338300000000000000000000200000000000000020000000000000002000000000000006d3201000000000000000e00000000000000687474703a2f2f68323a323338300000000000000000000300000000000000030000000000000002000000000000006d3301000000000000000e00000000000000687474703a2f2f68333a32333830000000000000000001"
            ],
        );
    }

    #[test]
    fn a_damaged_length_asks_for_no_memory() {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        assert!(matches!(decode::<u8>(&[2, 0]), Err(Error::Version)));
    }
}

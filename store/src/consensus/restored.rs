//! The beginning of a member whose state came from a file: its log begins after the entries that
//! would have made the cluster.
//!
//! As etcd does, the state counts as made by one entry for each founder in term 1. The log is purged
//! up to there, so that a member that joins later is sent the state, which no entry would tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::mpsc;

use super::membership::{self, member_list};
use super::types::{Membership, StoredMembership, Vote, theirs};
use super::{AppliedState, LogId, Member, codec};
use crate::log::{Log, OpenError, Options};

/// The term in which the state counts as made.
const TERM: u64 = 1;

/// Why a member cannot begin with a state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nobody founds the cluster.
    #[error("a cluster needs a member")]
    NoMembers,
    /// The log cannot be made.
    #[error("make the raft log")]
    Open(#[from] OpenError),
    /// The log cannot be written.
    #[error("write the raft log")]
    Io(#[from] io::Error),
}

/// Makes the log of a founding member in the empty folder `dir`; what the member's state must say of
/// itself. Every founder must be given the same members and the same state.
pub fn found_restored(dir: &Path, members: &[Member]) -> Result<AppliedState, RestoreError> {
    let nodes: BTreeMap<u64, Member> = members
        .iter()
        .map(|member| (member.id, membership::record(member)))
        .collect();
    let voters: BTreeSet<u64> = nodes.keys().copied().collect();
    let first = *voters.first().ok_or(RestoreError::NoMembers)?;
    let applied = LogId {
        term: TERM,
        index: voters.len() as u64,
    };
    let membership = Membership::new(vec![voters], nodes).map_err(io::Error::other)?;
    let membership = StoredMembership::new(theirs(applied), membership);
    let membership = codec::encode(&membership).map_err(io::Error::from)?;
    // Nobody may win a vote in the term that the state counts as made in.
    let vote = codec::encode(&Vote::new(TERM, first)).map_err(io::Error::from)?;
    let log = Log::open(Options::new(dir.to_owned()))?;
    let (done, saved) = mpsc::channel();
    log.purge(applied)?;
    // In order after the purge: once this is on disk, both are.
    log.save_vote(vote, Box::new(move |result| drop(done.send(result))))?;
    let saved = saved.recv().map_err(io::Error::other)?;
    log.close();
    saved?;
    Ok(AppliedState {
        log_id: Some(applied),
        membership: Some(membership),
    })
}

/// The members that an applied membership holds; see [`AppliedState::membership`].
pub fn members_of(encoded: &[u8]) -> io::Result<BTreeMap<u64, Member>> {
    let stored: StoredMembership = codec::decode(encoded)?;
    Ok(member_list(stored.membership()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_begins_after_the_state() {
        let dir = tempfile::tempdir().unwrap();
        let member = |id: u64| Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://h{id}:2380")],
            ..Member::default()
        };
        let members = [member(7), member(3), member(5)];
        let state = found_restored(dir.path(), &members).unwrap();
        let applied = LogId { term: 1, index: 3 };
        assert_eq!(state.log_id, Some(applied));
        let listed = members_of(&state.membership.unwrap()).unwrap();
        assert_eq!(listed.into_values().collect::<Vec<_>>(), {
            let mut members = members.to_vec();
            members.sort_by_key(|member| member.id);
            members
        });
        let log = Log::open(Options::new(dir.path().to_owned())).unwrap();
        let view = log.view();
        assert_eq!((view.purged, view.last), (Some(applied), Some(applied)));
        let vote: Vote = codec::decode(&view.vote.unwrap()).unwrap();
        assert_eq!(vote, Vote::new(1, 3));
        log.close();
        assert!(matches!(
            found_restored(dir.path(), &[]),
            Err(RestoreError::NoMembers)
        ));
        assert!(members_of(b"x").is_err());
    }
}

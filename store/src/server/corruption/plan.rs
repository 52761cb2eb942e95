//! What follows from hashes: who is suspected. No IO, no clock.

use std::collections::BTreeMap;

use crate::mvcc::hash::KvHash;

/// A member that nobody can name: the alarm is about the whole cluster.
pub(super) const ANYBODY: u64 = 0;

/// What another member said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerHash {
    /// Its hash, and its newest revision.
    Hash(KvHash, i64),
    /// It has compacted that revision.
    Compacted,
    /// It has not got so far.
    Future,
    /// It does not keep that hash, or could not make it.
    Missing,
    /// It did not answer.
    Silent,
}

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No two hashes differ; so many others were compared.
    Same(usize),
    /// These members differ from a majority; or [`ANYBODY`], if there is no majority.
    Corrupt(Vec<u64>),
}

/// Compares hashes of the same revision and compaction: those few that differ from a majority of all
/// `members` are suspected.
pub(super) fn compare(members: usize, hashes: &[(u64, u32)]) -> Verdict {
    let mut by_hash: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (id, hash) in hashes {
        by_hash.entry(*hash).or_default().push(*id);
    }
    if by_hash.len() < 2 {
        return Verdict::Same(hashes.len().saturating_sub(1));
    }
    let quorum = members / 2 + 1;
    let majority = by_hash.values().any(|ids| ids.len() >= quorum);
    if !majority {
        return Verdict::Corrupt(vec![ANYBODY]);
    }
    let mut suspects: Vec<u64> = by_hash
        .into_values()
        .filter(|ids| ids.len() < quorum)
        .flatten()
        .collect();
    suspects.sort_unstable();
    Verdict::Corrupt(suspects)
}

/// Compares what members keep of one compaction; those that keep nothing of it are passed over.
pub(super) fn compare_compaction(this: u64, own: &KvHash, peers: &[(u64, PeerHash)]) -> Verdict {
    let mut hashes = vec![(this, own.hash)];
    hashes.extend(peers.iter().filter_map(|(id, peer)| match peer {
        PeerHash::Hash(hash, _) if hash.compact_revision == own.compact_revision => {
            Some((*id, hash.hash))
        }
        _ => None,
    }));
    compare(peers.len() + 1, &hashes)
}

/// The leader's own hash, taken before the others were asked and again after, with its revision then.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnHashes {
    pub(super) before: KvHash,
    pub(super) after: KvHash,
    pub(super) revision_after: i64,
}

/// Compares, on the leader, what the others said about the revision of `own.before`.
pub(super) fn compare_periodic(this: u64, own: &OwnHashes, peers: &[(u64, PeerHash)]) -> Verdict {
    let OwnHashes {
        before,
        after,
        revision_after,
    } = own;
    let is_same_moment = (before.hash_revision, before.compact_revision)
        == (after.hash_revision, after.compact_revision);
    if is_same_moment && before.hash != after.hash {
        return Verdict::Corrupt(vec![this]);
    }
    // Nobody may be ahead of a leader that has confirmed itself since.
    let ahead = peers.iter().filter(|(_, peer)| {
        matches!(peer, PeerHash::Hash(hash, revision)
            if revision > revision_after || hash.compact_revision > after.compact_revision)
    });
    let ahead: Vec<u64> = ahead.map(|(id, _)| *id).collect();
    if !ahead.is_empty() {
        return Verdict::Corrupt(ahead);
    }
    let verdict = compare_compaction(this, before, peers);
    if verdict != Verdict::Corrupt(vec![ANYBODY]) {
        return verdict;
    }
    // Without a majority the leader's word stands, as in etcd.
    let differ = peers.iter().filter(|(_, peer)| {
        matches!(peer, PeerHash::Hash(hash, _)
            if hash.compact_revision == before.compact_revision && hash.hash != before.hash)
    });
    Verdict::Corrupt(differ.map(|(id, _)| *id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(hash: u32, compact_revision: i64) -> KvHash {
        KvHash {
            hash,
            compact_revision,
            hash_revision: 10,
        }
    }

    fn said(value: u32) -> PeerHash {
        PeerHash::Hash(hash(value, 5), 10)
    }

    #[test]
    fn the_few_that_differ_are_named() {
        let judge = |peers: &[(u64, PeerHash)]| compare_compaction(1, &hash(7, 5), peers);
        assert_eq!(judge(&[(2, said(7)), (3, said(7))]), Verdict::Same(2));
        assert_eq!(
            judge(&[(2, said(7)), (3, said(8))]),
            Verdict::Corrupt(vec![3])
        );
        // The one who asks may be the one who is wrong.
        assert_eq!(
            judge(&[(2, said(8)), (3, said(8))]),
            Verdict::Corrupt(vec![1])
        );
        assert_eq!(
            judge(&[(2, said(8)), (3, said(9))]),
            Verdict::Corrupt(vec![ANYBODY])
        );
        // Two of three agree with nobody: the third may be either's friend.
        assert_eq!(
            judge(&[(2, said(8)), (3, PeerHash::Silent)]),
            Verdict::Corrupt(vec![ANYBODY])
        );
        let other_compaction = PeerHash::Hash(hash(8, 6), 10);
        assert_eq!(
            judge(&[(2, other_compaction), (3, PeerHash::Missing)]),
            Verdict::Same(0)
        );
        assert_eq!(judge(&[]), Verdict::Same(0));
    }

    #[test]
    fn a_leader_believes_nobody_who_is_ahead_of_it() {
        let own = OwnHashes {
            before: hash(7, 5),
            after: hash(7, 5),
            revision_after: 12,
        };
        let judge = |peer| compare_periodic(1, &own, &[(2, peer), (3, said(7))]);
        assert_eq!(judge(said(7)), Verdict::Same(2));
        let ahead = PeerHash::Hash(hash(7, 5), 13);
        assert_eq!(judge(ahead), Verdict::Corrupt(vec![2]));
        let compacted_more = PeerHash::Hash(hash(7, 6), 12);
        assert_eq!(judge(compacted_more), Verdict::Corrupt(vec![2]));
        for passed_over in [PeerHash::Compacted, PeerHash::Future, PeerHash::Silent] {
            assert_eq!(judge(passed_over), Verdict::Same(1));
        }
        // Of two that differ the leader is believed.
        assert_eq!(
            compare_periodic(1, &own, &[(2, said(8))]),
            Verdict::Corrupt(vec![2])
        );
        let shaky = OwnHashes {
            after: hash(6, 5),
            ..own
        };
        assert_eq!(
            compare_periodic(1, &shaky, &[(2, said(7))]),
            Verdict::Corrupt(vec![1])
        );
    }
}

//! Who belongs to the cluster: ids as etcd computes them, the checks before a change, and the steps
//! that openraft needs for it. No IO.
//!
//! A new voter is first a learner in openraft's eyes, so that adding it to a single member does
//! not cost the quorum before it has even started. What it is meant to be stands in its own record
//! ([`Member::is_learner`]), and the leader makes it a voter once it has caught up.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use sha1::{Digest, Sha1};

use super::types::Membership;
use super::{Member, MembershipChange, MembershipError};

/// A learner may become a voter when it has this share of the leader's log.
const READY_PERCENT: u64 = 90;
/// A new voter is let in when it lacks no more entries than this.
const VOTER_LAG_MAX: u64 = 1_000;

/// The id of a member, from its peer URLs and the cluster's token. `now_seconds` is given for a
/// member that joins later, so that a URL used again makes another id.
pub fn member_id(peer_urls: &[String], token: &str, now_seconds: Option<u64>) -> u64 {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    sorted.iter().for_each(|url| hash.update(url.as_bytes()));
    hash.update(token.as_bytes());
    if let Some(now) = now_seconds {
        hash.update(now.to_string().as_bytes());
    }
    first_eight(&hash.finalize())
}

/// The id of a cluster, from the ids of its first members.
pub fn cluster_id(member_ids: &[u64]) -> u64 {
    let sorted: BTreeSet<u64> = member_ids.iter().copied().collect();
    let mut hash = Sha1::new();
    sorted.iter().for_each(|id| hash.update(id.to_be_bytes()));
    first_eight(&hash.finalize())
}

fn first_eight(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// The members as clients see them.
pub(super) fn member_list(membership: &Membership) -> BTreeMap<u64, Member> {
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let member = |(id, node): (&u64, &Member)| {
        let is_learner = node.is_learner && !voters.contains(id);
        (
            *id,
            Member {
                id: *id,
                is_learner,
                ..node.clone()
            },
        )
    };
    membership.nodes().map(member).collect()
}

/// A member's record as the membership keeps it. Client URLs come later, by another way.
pub(super) fn record(member: &Member) -> Member {
    Member {
        client_urls: Vec::new(),
        ..member.clone()
    }
}

/// Whether the member `this`, asked for `change`, has to know of healthy members first, as etcd's check asks
/// of whichever member is asked: one that sees no quorum refuses at once.
pub(super) fn needs_healthy_members(change: &MembershipChange, this: u64) -> bool {
    match change {
        MembershipChange::Add(_) => true,
        // Another one that seems down is no part of the quorum: its removal waits for a leader.
        MembershipChange::Remove(id) => *id == this,
        MembershipChange::Promote(_) | MembershipChange::Update { .. } => false,
    }
}

/// What the leader knows of a peer's progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The last entry it is known to have.
    pub(super) matched: u64,
    /// It has answered within the time that a healthy member would.
    pub(super) is_connected: bool,
}

/// What the checks look at: the leader's view of the cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) this: u64,
    pub(super) last_index: u64,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) voters: BTreeSet<u64>,
    pub(super) progress: BTreeMap<u64, Progress>,
    pub(super) strict: bool,
    pub(super) learners_max: usize,
}

impl View {
    fn progress(&self, id: u64) -> Progress {
        match id == self.this {
            true => Progress {
                matched: self.last_index,
                is_connected: true,
            },
            false => self.progress.get(&id).copied().unwrap_or_default(),
        }
    }

    fn voting_members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.is_learner)
    }

    fn connected(&self) -> impl Iterator<Item = &Member> {
        self.voting_members()
            .filter(|member| self.progress(member.id).is_connected)
    }

    fn urls_taken(&self, urls: &[String], except: Option<u64>) -> bool {
        let others = self
            .members
            .values()
            .filter(|member| Some(member.id) != except);
        others
            .flat_map(|member| &member.peer_urls)
            .any(|taken| urls.contains(taken))
    }

    /// The steps for `change`, or why it is refused.
    pub(super) fn plan(
        &self,
        change: &MembershipChange,
    ) -> Result<ChangeMembers<u64, Member>, MembershipError> {
        match change {
            MembershipChange::Add(member) => self.plan_add(member),
            MembershipChange::Remove(id) => self.plan_remove(*id),
            MembershipChange::Promote(id) => self.plan_promote(*id),
            MembershipChange::Update { id, peer_urls } => {
                let member = self.members.get(id).ok_or(MembershipError::NotFound(*id))?;
                if self.urls_taken(peer_urls, Some(*id)) {
                    return Err(MembershipError::PeerUrlsExist);
                }
                // Every call names its target, so a wrong address reaches nobody and splits nothing.
                let member = Member {
                    peer_urls: peer_urls.clone(),
                    ..record(member)
                };
                Ok(ChangeMembers::SetNodes(BTreeMap::from([(*id, member)])))
            }
        }
    }

    fn plan_add(&self, member: &Member) -> Result<ChangeMembers<u64, Member>, MembershipError> {
        if self.members.contains_key(&member.id) {
            return Err(MembershipError::IdExists(member.id));
        }
        if self.urls_taken(&member.peer_urls, None) {
            return Err(MembershipError::PeerUrlsExist);
        }
        let learners = self
            .members
            .values()
            .filter(|member| member.is_learner)
            .count();
        if member.is_learner && learners >= self.learners_max {
            return Err(MembershipError::TooManyLearners);
        }
        if self.strict && !member.is_learner {
            self.check_quorum_of_started(1, None)?;
        }
        let (voting, connected) = (self.voting_members().count(), self.connected().count());
        // The new member counts as down. A single member may grow to two all the same.
        if self.strict && voting > 1 && connected <= voting.div_ceil(2) {
            return Err(MembershipError::Unhealthy);
        }
        Ok(ChangeMembers::AddNodes(BTreeMap::from([(
            member.id,
            record(member),
        )])))
    }

    /// Would the members that have started be a quorum after the change?
    fn check_quorum_of_started(
        &self,
        added: usize,
        removed: Option<u64>,
    ) -> Result<(), MembershipError> {
        let voting = self
            .voting_members()
            .filter(|member| Some(member.id) != removed);
        let (mut all, mut started) = (added, 0);
        for member in voting {
            all += 1;
            started += usize::from(self.progress(member.id).matched > 0);
        }
        // etcd lets a single member grow to two, although the second has not started.
        if all == 2 && added == 1 && started == 1 {
            return Ok(());
        }
        match started > all / 2 {
            true => Ok(()),
            false => Err(MembershipError::NotEnoughStarted),
        }
    }

    fn plan_remove(&self, id: u64) -> Result<ChangeMembers<u64, Member>, MembershipError> {
        let member = self.members.get(&id).ok_or(MembershipError::NotFound(id))?;
        if self.strict && !member.is_learner {
            self.check_quorum_of_started(0, Some(id))?;
            let (voting, active) = (self.voting_members().count(), self.connected().count());
            // Removing a member that is down can only help.
            if self.progress(id).is_connected
                && active.saturating_sub(1) < 1 + voting.saturating_sub(1) / 2
            {
                return Err(MembershipError::Unhealthy);
            }
        }
        match self.voters.contains(&id) {
            true => Ok(ChangeMembers::RemoveVoters(BTreeSet::from([id]))),
            false => Ok(ChangeMembers::RemoveNodes(BTreeSet::from([id]))),
        }
    }

    fn plan_promote(&self, id: u64) -> Result<ChangeMembers<u64, Member>, MembershipError> {
        let member = self.members.get(&id).ok_or(MembershipError::NotFound(id))?;
        let progress = self.progress(id);
        // etcd too asks first how far a member is, and then whether it is a learner.
        let lags = progress.matched * 100 < self.last_index * READY_PERCENT;
        if lags || (member.is_learner && !progress.is_connected) {
            return Err(MembershipError::LearnerNotReady(id));
        }
        if !member.is_learner {
            return Err(MembershipError::NotLearner(id));
        }
        if self.strict {
            self.check_quorum_of_started(1, None)?;
        }
        let voter = Member {
            is_learner: false,
            ..record(member)
        };
        Ok(ChangeMembers::Batch(vec![
            ChangeMembers::SetNodes(BTreeMap::from([(id, voter)])),
            ChangeMembers::AddVoterIds(BTreeSet::from([id])),
        ]))
    }

    /// Members meant to vote that do not yet and could.
    pub(super) fn ready_to_vote(&self) -> BTreeSet<u64> {
        let waiting = self
            .voting_members()
            .map(|member| member.id)
            .filter(|id| !self.voters.contains(id));
        let ready = |id: &u64| {
            let progress = self.progress(*id);
            progress.is_connected
                && progress.matched > 0
                && self.last_index - progress.matched.min(self.last_index) <= VOTER_LAG_MAX
        };
        waiting.filter(ready).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Progress, View, cluster_id, member_id};
    use crate::consensus::{Member, MembershipChange, MembershipError};

    #[test]
    fn ids_are_those_of_etcd() {
        let urls = |text: &str| vec![text.to_owned()];
        // What a fresh etcd with default flags calls itself.
        let id = member_id(&urls("http://localhost:2380"), "etcd-cluster", None);
        assert_eq!(
            (id, cluster_id(&[id])),
            (0x8e9e_05c5_2164_694d, 0xcdf8_1819_4e3a_8c32)
        );
        let two = member_id(
            &["http://b:1".to_owned(), "http://a:1".to_owned()],
            "t",
            None,
        );
        assert_eq!(
            two,
            member_id(
                &["http://a:1".to_owned(), "http://b:1".to_owned()],
                "t",
                None
            )
        );
        assert_ne!(
            two,
            member_id(
                &["http://a:1".to_owned(), "http://b:1".to_owned()],
                "t",
                Some(1)
            )
        );
        assert_eq!(cluster_id(&[3, 1, 2]), cluster_id(&[1, 2, 3]));
    }

    /// `voters` members of which the first `up` answer; this member is 1.
    fn view(voters: u64, up: u64) -> View {
        let member = |id| Member {
            id,
            peer_urls: vec![format!("http://{id}")],
            ..Member::default()
        };
        let progress = |id| Progress {
            matched: u64::from(id <= up) * 100,
            is_connected: id <= up,
        };
        View {
            this: 1,
            last_index: 100,
            members: (1..=voters).map(|id| (id, member(id))).collect(),
            voters: (1..=voters).collect(),
            progress: (1..=voters).map(|id| (id, progress(id))).collect(),
            strict: true,
            learners_max: 1,
        }
    }

    fn add(id: u64) -> MembershipChange {
        MembershipChange::Add(Member {
            id,
            peer_urls: vec![format!("http://{id}")],
            ..Member::default()
        })
    }

    #[test]
    fn strict_checks_keep_the_quorum() {
        assert!(view(1, 1).plan(&add(2)).is_ok());
        assert!(view(3, 3).plan(&add(4)).is_ok());
        assert_eq!(
            view(2, 1).plan(&add(3)).unwrap_err(),
            MembershipError::NotEnoughStarted
        );
        let mut silent = view(3, 3);
        silent.progress.get_mut(&3).unwrap().is_connected = false;
        assert_eq!(
            silent.plan(&add(4)).unwrap_err(),
            MembershipError::Unhealthy
        );
        assert_eq!(
            view(1, 1).plan(&MembershipChange::Remove(1)).unwrap_err(),
            MembershipError::NotEnoughStarted
        );
        assert!(view(3, 2).plan(&MembershipChange::Remove(3)).is_ok());
        assert_eq!(
            silent.plan(&MembershipChange::Remove(2)).unwrap_err(),
            MembershipError::Unhealthy
        );
        silent.strict = false;
        assert!(silent.plan(&MembershipChange::Remove(2)).is_ok());
    }

    #[test]
    fn only_who_has_caught_up_becomes_a_voter() {
        let mut view = view(2, 2);
        let waiting = Member {
            id: 3,
            ..Member::default()
        };
        let learner = Member {
            id: 4,
            is_learner: true,
            ..Member::default()
        };
        view.members
            .extend(BTreeMap::from([(3, waiting), (4, learner)]));
        view.last_index = 5_000;
        view.progress.insert(
            4,
            Progress {
                matched: 5_000,
                is_connected: true,
            },
        );
        view.progress.remove(&3);
        assert_eq!(
            view.plan(&MembershipChange::Promote(3)).unwrap_err(),
            MembershipError::LearnerNotReady(3)
        );
        for (matched, is_connected, ready) in [
            (0, true, false),
            (3_000, true, false),
            (4_500, true, true),
            (4_500, false, false),
        ] {
            view.progress.insert(
                3,
                Progress {
                    matched,
                    is_connected,
                },
            );
            assert_eq!(
                view.ready_to_vote(),
                BTreeSet::from_iter(ready.then_some(3)),
                "{matched} {is_connected}"
            );
        }
        assert_eq!(
            view.plan(&MembershipChange::Promote(3)).unwrap_err(),
            MembershipError::NotLearner(3)
        );
        assert!(view.plan(&MembershipChange::Promote(4)).is_ok());
        view.progress.insert(
            4,
            Progress {
                matched: 4_400,
                is_connected: true,
            },
        );
        assert_eq!(
            view.plan(&MembershipChange::Promote(4)).unwrap_err(),
            MembershipError::LearnerNotReady(4)
        );
    }
}

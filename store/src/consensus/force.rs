//! Going on alone: makes this member the only one of its cluster, with the data that it has, after the
//! others are lost. What `--force-new-cluster` is in etcd.
//!
//! Everything in this member's log stays: the mark of what is committed lags behind the truth, so that
//! a tail may hold what clients were told is safe. The one entry written here comes after it, in a
//! term that no earlier leader had by this member's knowledge. The caller has given the cluster another
//! id before: from then on nothing of the old members reaches this one, whatever terms they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::membership::{member_list, record};
use super::node::Node;
use super::peer_proto::GreetRequest;
use super::peers::{Lane, Peers};
use super::types::{
    Membership, RaftEntry, StoredMembership, Vote, from_log_entry, theirs, to_log_entry,
};
use super::{AppliedState, ConsensusConfig, LogId, Member, StartError, codec};
use crate::log::{self, Log};

/// How long another member may take to say whom it follows.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// Payload bytes read at once while looking for memberships.
const READ_BYTES_MAX: usize = 4 << 20;
/// Leading alone takes no more than an election and a sync; the replay of a long tail comes on top.
const LEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// What there is to leave behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The members of the newest membership in this member's folder, committed or not. Empty if there
    /// is none: the member has never been part of a cluster.
    pub members: BTreeMap<u64, Member>,
    /// A member that answered and follows somebody: the cluster is not lost.
    pub led: Option<u64>,
}

/// Looks at this member's folder, and asks the others that it names whether they have a leader. The
/// member itself must not be running.
pub async fn survey(config: &ConsensusConfig, state: &AppliedState) -> Result<Survey, StartError> {
    let (dir, state) = (config.dir.clone(), state.clone());
    let read = tokio::task::spawn_blocking(move || {
        let log = Log::open(log::Options::new(dir))?;
        let found = newest_membership(&log, &state);
        log.close();
        found
    });
    let membership = read
        .await
        .map_err(|error| StartError::Raft(error.to_string()))??;
    let members = membership.as_ref().map(member_list).unwrap_or_default();
    let peers = Peers::new(config, CancellationToken::new());
    let others = members
        .values()
        .filter(|member| member.id != config.member_id);
    let greetings = others.map(|member| greet(&peers, member));
    let led = futures::future::join_all(greetings)
        .await
        .into_iter()
        .flatten()
        .next();
    Ok(Survey { members, led })
}

/// The member's id, if it answers and follows somebody.
async fn greet(peers: &Peers, member: &Member) -> Option<u64> {
    for url in &member.peer_urls {
        let urls = std::slice::from_ref(url);
        let Ok(mut client) = peers.client(member.id, urls, Lane::Forward) else {
            continue;
        };
        let answer = timeout(GREETING_TIMEOUT, client.greet(GreetRequest {})).await;
        if let Ok(Ok(answer)) = answer
            && answer.get_ref().leader != 0
        {
            return Some(member.id);
        }
    }
    None
}

fn newest_membership(log: &Log, state: &AppliedState) -> Result<Option<Membership>, StartError> {
    let unreadable = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    let mut newest = match &state.membership {
        None => None,
        Some(encoded) => {
            let stored: StoredMembership =
                codec::decode(encoded).map_err(|error| unreadable(&error))?;
            Some(stored.membership().clone())
        }
    };
    let view = log.view();
    let purged = view.purged.map_or(0, |purged| purged.index);
    let mut from = state.log_id.map_or(0, |log_id| log_id.index).max(purged) + 1;
    let end = view.last.map_or(0, |last| last.index) + 1;
    while from < end {
        let entries = log
            .read(from, end, READ_BYTES_MAX)
            .map_err(|error| unreadable(&error))?;
        let Some(last) = entries.last() else { break };
        from = last.log_id.index + 1;
        for entry in entries {
            let entry = from_log_entry(entry).map_err(|error| unreadable(&error))?;
            if let EntryPayload::Membership(membership) = entry.payload {
                newest = Some(membership);
            }
        }
    }
    Ok(newest)
}

/// Writes the membership of this member alone behind everything in the log, durable when this returns;
/// openraft must not have the log yet. Blocks.
pub(super) fn rewrite(
    log: &Log,
    config: &ConsensusConfig,
    state: &AppliedState,
) -> Result<LogId, StartError> {
    let failed = |error: std::io::Error| StartError::Raft(error.to_string());
    let view = log.view();
    if state.log_id > view.last {
        return Err(StartError::Raft(format!(
            "the state holds entry {:?} and the log ends at {:?}",
            state.log_id, view.last
        )));
    }
    let this = newest_membership(log, state)?
        .as_ref()
        .and_then(|membership| member_list(membership).remove(&config.member_id))
        .ok_or_else(|| {
            StartError::Raft(format!(
                "member {:x} is in no membership of its log",
                config.member_id
            ))
        })?;
    let this = Member {
        is_learner: false,
        ..record(&this)
    };
    let vote: Option<Vote> = view
        .vote
        .map(|vote| codec::decode(&vote))
        .transpose()
        .map_err(|error| failed(error.into()))?;
    let last = view.last.unwrap_or_default();
    let term = vote.map_or(0, |vote| vote.leader_id.term).max(last.term) + 1;
    let forced = LogId {
        term,
        index: last.index + 1,
    };
    let membership = Membership::new(
        vec![BTreeSet::from([this.id])],
        BTreeMap::from([(this.id, this)]),
    );
    let membership = membership.map_err(|error| StartError::Raft(error.to_string()))?;
    let log_id = theirs(forced).ok_or_else(|| failed(std::io::Error::other("no such index")))?;
    let entry = RaftEntry {
        log_id,
        payload: EntryPayload::Membership(membership),
    };
    let entry = to_log_entry(entry).map_err(|error| failed(error.into()))?;
    let vote = codec::encode(&Vote::new(term, config.member_id));
    let vote = vote.map_err(|error| failed(error.into()))?;
    // Told by `wait_durable` below, which covers both.
    log.save_vote(vote, Box::new(drop)).map_err(failed)?;
    log.append(vec![entry], Box::new(drop)).map_err(failed)?;
    log.wait_durable(forced.index).map_err(failed)?;
    tracing::warn!(
        term,
        index = forced.index,
        "forced a new cluster of this member alone"
    );
    Ok(forced)
}

/// Waits until this member leads and has applied what [`rewrite`] wrote: from then on its own state
/// says who was left behind.
pub(super) async fn lead(node: &Arc<Node>, forced: LogId) -> Result<(), StartError> {
    let failed = |text: &str| StartError::Raft(format!("cannot go on alone: {text}"));
    let applied = async {
        if node.raft.trigger().elect(false).await.is_err() {
            return Err(failed("openraft has ended"));
        }
        node.applied
            .wait(forced.index)
            .await
            .map_err(|_| failed("the member ends"))
    };
    match timeout(LEAD_TIMEOUT, applied).await {
        Ok(applied) => applied,
        Err(_) => Err(failed("no leader in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::Raw;

    fn member(id: u64) -> Member {
        Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://h{id}:2380")],
            is_learner: id == 3,
            ..Member::default()
        }
    }

    fn append(log: &Log, term: u64, index: u64, payload: EntryPayload<Raw, u64, Member>) {
        let log_id = theirs(LogId { term, index }).unwrap();
        let entry = to_log_entry(RaftEntry { log_id, payload }).unwrap();
        log.append(vec![entry], Box::new(drop)).unwrap();
        log.wait_durable(index).unwrap();
    }

    fn all(voters: &[u64], nodes: &[u64]) -> EntryPayload<Raw, u64, Member> {
        let voters = vec![voters.iter().copied().collect()];
        let nodes: BTreeMap<u64, Member> = nodes.iter().map(|id| (*id, member(*id))).collect();
        EntryPayload::Membership(Membership::new(voters, nodes).unwrap())
    }

    fn config(dir: &std::path::Path, member_id: u64) -> ConsensusConfig {
        ConsensusConfig {
            member_id,
            dir: dir.to_owned(),
            ..ConsensusConfig::default()
        }
    }

    /// A log with a membership, a vote of term 7 and a tail that nobody may know to be committed.
    fn log(dir: &std::path::Path) -> Log {
        let log = Log::open(log::Options::new(dir.to_owned())).unwrap();
        append(&log, 1, 1, all(&[1, 2], &[1, 2, 3]));
        append(&log, 5, 2, EntryPayload::Normal(Raw("kept".into())));
        let vote = codec::encode(&Vote::new(7, 2)).unwrap();
        log.save_vote(vote, Box::new(drop)).unwrap();
        append(&log, 5, 3, EntryPayload::Normal(Raw("kept too".into())));
        log
    }

    #[test]
    fn the_new_membership_comes_after_everything_and_in_a_new_term() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        // A learner becomes the only voter.
        let config = config(dir.path(), 3);
        let forced = rewrite(&log, &config, &AppliedState::default()).unwrap();
        assert_eq!(forced, LogId { term: 8, index: 4 });
        log.close();
        let log = Log::open(log::Options::new(dir.path().to_owned())).unwrap();
        let vote: Vote = codec::decode(&log.view().vote.unwrap()).unwrap();
        assert_eq!(vote, Vote::new(8, 3));
        let entries = log.read(1, 10, usize::MAX).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[2].payload, "kept too");
        let newest = newest_membership(&log, &AppliedState::default())
            .unwrap()
            .unwrap();
        assert_eq!(newest.voter_ids().collect::<Vec<_>>(), [3]);
        let members = member_list(&newest);
        assert_eq!(members.len(), 1);
        assert!(!members[&3].is_learner && members[&3].peer_urls == ["http://h3:2380"]);
        log.close();
    }

    #[test]
    fn who_is_no_member_or_has_lost_its_log_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        let before = log.view();
        let stranger = config(dir.path(), 9);
        assert!(rewrite(&log, &stranger, &AppliedState::default()).is_err());
        let ahead = AppliedState {
            log_id: Some(LogId { term: 5, index: 4 }),
            membership: None,
        };
        assert!(rewrite(&log, &config(dir.path(), 1), &ahead).is_err());
        assert_eq!(log.view(), before, "nothing was written");
        log.close();
    }

    #[tokio::test]
    async fn a_survey_finds_the_newest_membership() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), 1);
        let empty = survey(&config, &AppliedState::default()).await.unwrap();
        assert_eq!(empty, Survey::default());
        let log = log(dir.path());
        append(&log, 5, 4, all(&[1], &[1]));
        log.close();
        let found = survey(&config, &AppliedState::default()).await.unwrap();
        assert_eq!(found.members.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(found.led, None);
    }
}

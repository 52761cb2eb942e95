//! The three checks. A check that cannot be made is said in the log and made again later: it proves
//! nothing either way.

use std::time::{Duration, Instant};

use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::{AlarmRequest, AlarmResponse, AlarmType, InternalRaftRequest};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::hashes::{Hashes, Question, ask_all};
use super::plan::{ANYBODY, OwnHashes, PeerHash, Verdict, compare_compaction, compare_periodic};
use crate::apply::ReadError;
use crate::mvcc::hash::KvHash;
use crate::rpc::Context;

/// Another member has the same history otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Inconsistent;

/// Compares this member with the others before it serves clients. A member that nobody answers, or
/// that is behind, passes.
pub(in crate::server) async fn initial(
    context: &Context,
    hashes: &Hashes,
) -> Result<(), Inconsistent> {
    let this = format!("{:x}", context.ids.member);
    tracing::info!(local_member_id = this, "starting initial corruption check");
    let own = match hashes.at(0).await {
        Ok((own, _)) => own,
        Err(error) => {
            tracing::error!(local_member_id = this, error = %base::report(&error), "failed to fetch hash");
            return Err(Inconsistent);
        }
    };
    let (question, deadline) = (Question::At(own.hash_revision), context.deadline());
    members_known(context, deadline).await;
    let peers = ask_all(&*context.consensus, question, deadline).await;
    let mut mismatches = 0;
    for (id, peer) in peers {
        mismatches += usize::from(differs(&own, id, peer));
    }
    if mismatches > 0 {
        return Err(Inconsistent);
    }
    tracing::info!(
        local_member_id = this,
        "initial corruption checking passed; no corruption"
    );
    Ok(())
}

/// Waits until it is known who the members are. Right after a start that takes a moment, in which
/// there would be nobody to ask; to a newcomer, the leader has to tell it.
async fn members_known(context: &Context, deadline: Instant) {
    let mut statuses = context.consensus.subscribe();
    let known = statuses.wait_for(|status| status.members.contains_key(&status.member_id));
    if !matches!(timeout_at(deadline.into(), known).await, Ok(Ok(_))) {
        tracing::warn!("the members are not known: nobody is asked for a hash");
    }
}

fn differs(own: &KvHash, id: u64, peer: PeerHash) -> bool {
    let remote_peer_id = format!("{id:x}");
    let KvHash {
        hash,
        compact_revision,
        hash_revision,
    } = *own;
    match peer {
        PeerHash::Hash(theirs, _) if theirs.hash == hash => false,
        PeerHash::Hash(theirs, _) if theirs.compact_revision != compact_revision => {
            tracing::warn!(
                local_member_compact_revision = compact_revision,
                remote_peer_id,
                remote_peer_compact_revision = theirs.compact_revision,
                "found different compact revision values from remote peer"
            );
            false
        }
        PeerHash::Hash(theirs, _) => {
            tracing::warn!(
                local_member_revision = hash_revision,
                local_member_compact_revision = compact_revision,
                local_member_hash = hash,
                remote_peer_id,
                remote_peer_hash = theirs.hash,
                "found different hash values from remote peer"
            );
            true
        }
        PeerHash::Future => {
            tracing::warn!(
                remote_peer_id,
                local_member_revision = hash_revision,
                "cannot fetch hash from slow remote peer"
            );
            false
        }
        PeerHash::Compacted => {
            tracing::warn!(
                remote_peer_id,
                local_member_revision = hash_revision,
                "cannot fetch hash from remote peer; local member is behind"
            );
            false
        }
        PeerHash::Missing | PeerHash::Silent => {
            tracing::warn!(remote_peer_id, "failed hash kv request");
            false
        }
    }
}

/// Compares all members whenever this one leads, every `every`, until `stop`.
pub(in crate::server) async fn periodic(
    context: &Context,
    hashes: &Hashes,
    every: Duration,
    stop: &CancellationToken,
) {
    tracing::info!(interval = ?every, "enabled corruption checking");
    loop {
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if !context.consensus.status().is_leader() {
            continue;
        }
        if let Err(error) = check_now(context, hashes).await {
            tracing::warn!(error, "failed to check hash KV");
        }
    }
}

async fn check_now(context: &Context, hashes: &Hashes) -> Result<(), String> {
    let words = |error: ReadError| base::report(&error).to_string();
    let (before, _) = hashes.at(0).await.map_err(words)?;
    let question = Question::At(before.hash_revision);
    let peers = ask_all(&*context.consensus, question, context.deadline()).await;
    context.linearize().await.map_err(|error| error.message())?;
    let (after, revision_after) = hashes.at(0).await.map_err(words)?;
    let own = OwnHashes {
        before,
        after,
        revision_after,
    };
    let this = context.ids.member;
    match compare_periodic(this, &own, &peers) {
        Verdict::Corrupt(members) => {
            tracing::warn!(
                leader_revision = before.hash_revision,
                leader_compact_revision = before.compact_revision,
                leader_hash = before.hash,
                members = ?hex(&members),
                ?peers,
                "same compact revision then hashes must match"
            );
            raise(context, &members).await;
        }
        Verdict::Same(checked) => {
            tracing::info!(
                number_of_peers_checked = checked,
                "finished peer corruption check"
            );
        }
    }
    Ok(())
}

/// Compares what members keep of compactions whenever this one leads, every `every`, until `stop`.
pub(in crate::server) async fn compactions(
    context: &Context,
    hashes: &Hashes,
    every: Duration,
    stop: &CancellationToken,
) {
    let mut checked_upto = 0;
    loop {
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        if context.consensus.status().is_leader() {
            check_compactions(context, hashes, &mut checked_upto).await;
        }
    }
}

/// From the newest compaction back to the first that all members could be asked about.
async fn check_compactions(context: &Context, hashes: &Hashes, checked_upto: &mut i64) {
    let this = context.ids.member;
    tracing::info!(
        local_member_id = format!("{this:x}"),
        "starting compact hash check"
    );
    let mut checked = 0;
    for own in hashes.kept() {
        let revision = own.hash_revision;
        if revision <= *checked_upto {
            break;
        }
        checked += 1;
        let question = Question::Kept(revision);
        let peers = ask_all(&*context.consensus, question, context.deadline()).await;
        match compare_compaction(this, &own, &peers) {
            Verdict::Corrupt(members) => {
                tracing::error!(
                    leader_revision = revision,
                    leader_compact_revision = own.compact_revision,
                    leader_hash = own.hash,
                    members = ?hex(&members),
                    ?peers,
                    "Detected compaction hash mismatch"
                );
                raise(context, &members).await;
                break;
            }
            Verdict::Same(others) if others == peers.len() => {
                tracing::info!(
                    number_of_peers_checked = others,
                    revision,
                    "successfully checked hash on whole cluster"
                );
                *checked_upto = revision;
                break;
            }
            Verdict::Same(others) => {
                tracing::warn!(
                    number_of_peers_checked = others,
                    number_of_peers = peers.len(),
                    revision,
                    "skipped revision in compaction hash check; was not able to check all peers"
                );
            }
        }
    }
    tracing::info!(
        number_of_hashes_checked = checked,
        "finished compaction hash check"
    );
}

fn hex(members: &[u64]) -> Vec<String> {
    members.iter().map(|id| format!("{id:x}")).collect()
}

/// Tells all members who is suspected: from then on they refuse clients' data, reads as well.
async fn raise(context: &Context, members: &[u64]) {
    for member in members {
        let is_raised = context
            .view
            .alarms()
            .iter()
            .any(|alarm| alarm.alarm() == AlarmType::Corrupt && alarm.member_id == *member);
        if is_raised {
            continue;
        }
        let alarm = AlarmRequest {
            action: AlarmAction::Activate as i32,
            member_id: *member,
            alarm: AlarmType::Corrupt as i32,
        };
        let request = InternalRaftRequest {
            alarm: Some(alarm),
            ..Default::default()
        };
        let whose = match *member {
            ANYBODY => "unknown".to_owned(),
            id => format!("{id:x}"),
        };
        match context.propose::<AlarmResponse>(request).await {
            Ok(_) => tracing::error!(member = whose, "raised alarm CORRUPT"),
            Err(error) => {
                tracing::warn!(member = whose, error = %error, "cannot raise alarm CORRUPT yet")
            }
        }
    }
}

//! Between openraft's messages and the peer protocol's. What a peer leaves out or gets wrong becomes
//! an error here, never a default that openraft would act upon.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::propose::Applied;
use super::types::{RaftLogId, TypeConfig, Vote, from_log_entry, ours, theirs, to_log_entry};
use super::{
    LogId, Member, MembershipChange, MembershipError, ProposeError, codec, peer_proto as proto,
};
use crate::log;

/// A message that does not say what it must.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("peer message without {0}")]
    Missing(&'static str),
    #[error("peer message with a bad entry")]
    Entry(#[from] codec::Error),
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        Self::invalid_argument(base::report(&error).to_string())
    }
}

pub(super) fn put_vote(vote: &Vote) -> proto::VoteId {
    proto::VoteId {
        term: vote.leader_id.term,
        member_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub(super) fn get_vote(vote: Option<proto::VoteId>) -> Result<Vote, WireError> {
    let vote = vote.ok_or(WireError::Missing("a vote"))?;
    Ok(match vote.committed {
        true => Vote::new_committed(vote.term, vote.member_id),
        false => Vote::new(vote.term, vote.member_id),
    })
}

pub(super) fn put_log_id(log_id: Option<RaftLogId>) -> Option<proto::LogId> {
    log_id
        .map(ours)
        .map(|LogId { term, index }| proto::LogId { term, index })
}

pub(super) fn get_log_id(log_id: Option<proto::LogId>) -> Result<Option<RaftLogId>, WireError> {
    let Some(proto::LogId { term, index }) = log_id else {
        return Ok(None);
    };
    theirs(LogId { term, index })
        .map(Some)
        .ok_or(WireError::Missing("an index"))
}

pub(super) fn put_append(
    request: AppendEntriesRequest<TypeConfig>,
) -> Result<proto::AppendRequest, WireError> {
    let entries = request.entries.into_iter().map(|entry| {
        let log::Entry {
            log_id,
            kind,
            payload,
        } = to_log_entry(entry)?;
        let log_id = Some(proto::LogId {
            term: log_id.term,
            index: log_id.index,
        });
        Ok(proto::Entry {
            log_id,
            kind: u32::from(kind),
            payload,
        })
    });
    Ok(proto::AppendRequest {
        vote: Some(put_vote(&request.vote)),
        previous: put_log_id(request.prev_log_id),
        committed: put_log_id(request.leader_commit),
        entries: entries.collect::<Result<_, codec::Error>>()?,
    })
}

pub(super) fn get_append(
    request: proto::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let entries = request.entries.into_iter().map(|entry| {
        let log_id = entry.log_id.ok_or(WireError::Missing("an entry's place"))?;
        let log_id = LogId {
            term: log_id.term,
            index: log_id.index,
        };
        let kind = u8::try_from(entry.kind).map_err(|_| WireError::Missing("an entry's kind"))?;
        Ok(from_log_entry(log::Entry {
            log_id,
            kind,
            payload: entry.payload,
        })?)
    });
    Ok(AppendEntriesRequest {
        vote: get_vote(request.vote)?,
        prev_log_id: get_log_id(request.previous)?,
        leader_commit: get_log_id(request.committed)?,
        entries: entries.collect::<Result<_, WireError>>()?,
    })
}

pub(super) fn put_append_result(result: StreamAppendResult<TypeConfig>) -> proto::AppendResponse {
    use proto::append_response::Result as Kind;
    let (kind, log_id, vote) = match result {
        Ok(log_id) => (Kind::Matched, put_log_id(log_id), None),
        Err(StreamAppendError::Conflict(log_id)) => {
            (Kind::Conflict, put_log_id(Some(log_id)), None)
        }
        Err(StreamAppendError::HigherVote(vote)) => (Kind::HigherVote, None, Some(put_vote(&vote))),
    };
    proto::AppendResponse {
        result: kind.into(),
        log_id,
        vote,
    }
}

pub(super) fn get_append_result(
    response: proto::AppendResponse,
) -> Result<StreamAppendResult<TypeConfig>, WireError> {
    use proto::append_response::Result as Kind;
    match response.result() {
        Kind::Matched => Ok(Ok(get_log_id(response.log_id)?)),
        Kind::Conflict => {
            let log_id =
                get_log_id(response.log_id)?.ok_or(WireError::Missing("the conflicting entry"))?;
            Ok(Err(StreamAppendError::Conflict(log_id)))
        }
        Kind::HigherVote => Ok(Err(StreamAppendError::HigherVote(get_vote(response.vote)?))),
        Kind::Unspecified => Err(WireError::Missing("a result")),
    }
}

pub(super) fn put_vote_request(request: &VoteRequest<TypeConfig>) -> proto::VoteRequest {
    proto::VoteRequest {
        vote: Some(put_vote(&request.vote)),
        last: put_log_id(request.last_log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn get_vote_request(
    request: proto::VoteRequest,
) -> Result<VoteRequest<TypeConfig>, WireError> {
    let mut vote_request = VoteRequest::new(get_vote(request.vote)?, get_log_id(request.last)?);
    vote_request.leadership_transfer = request.leadership_transfer;
    Ok(vote_request)
}

pub(super) fn put_vote_response(response: VoteResponse<TypeConfig>) -> proto::VoteResponse {
    proto::VoteResponse {
        vote: Some(put_vote(&response.vote)),
        granted: response.vote_granted,
        last: put_log_id(response.last_log_id),
    }
}

pub(super) fn get_vote_response(
    response: proto::VoteResponse,
) -> Result<VoteResponse<TypeConfig>, WireError> {
    Ok(VoteResponse::new(
        get_vote(response.vote)?,
        get_log_id(response.last)?,
        response.granted,
    ))
}

pub(super) fn put_transfer(
    request: &TransferLeaderRequest<TypeConfig>,
) -> proto::TransferLeaderRequest {
    proto::TransferLeaderRequest {
        from: Some(put_vote(request.from_leader())),
        to: *request.to_node_id(),
        last: put_log_id(request.last_log_id().copied()),
    }
}

pub(super) fn get_transfer(
    request: proto::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, WireError> {
    Ok(TransferLeaderRequest::new(
        get_vote(request.from)?,
        request.to,
        get_log_id(request.last)?,
    ))
}

pub(super) fn put_transfer_response(
    response: TransferLeaderResponse<TypeConfig>,
) -> proto::TransferLeaderResponse {
    use proto::transfer_leader_response::Result as Kind;
    let (kind, vote, last) = match response {
        Ok(()) => (Kind::Accepted, None, None),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            (Kind::VoteChanged, Some(put_vote(&actual)), None)
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            (Kind::LogNotFlushed, None, put_log_id(actual))
        }
    };
    proto::TransferLeaderResponse {
        result: kind.into(),
        vote,
        last,
    }
}

/// `request` is what the response answers.
pub(super) fn get_transfer_response(
    request: &TransferLeaderRequest<TypeConfig>,
    response: proto::TransferLeaderResponse,
) -> Result<TransferLeaderResponse<TypeConfig>, WireError> {
    use proto::transfer_leader_response::Result as Kind;
    match response.result() {
        Kind::Accepted => Ok(Ok(())),
        Kind::VoteChanged => Ok(Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: get_vote(response.vote)?,
        })),
        Kind::LogNotFlushed => Ok(Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: get_log_id(response.last)?,
        })),
        Kind::Unspecified => Err(WireError::Missing("a result")),
    }
}

pub(super) fn put_member(member: Member) -> proto::Member {
    let Member {
        id,
        name,
        peer_urls,
        client_urls,
        is_learner,
    } = member;
    proto::Member {
        id,
        name,
        peer_urls,
        client_urls,
        is_learner,
    }
}

pub(super) fn get_member(member: proto::Member) -> Member {
    let proto::Member {
        id,
        name,
        peer_urls,
        client_urls,
        is_learner,
    } = member;
    Member {
        id,
        name,
        peer_urls,
        client_urls,
        is_learner,
    }
}

pub(super) fn put_change(
    change: &MembershipChange,
    timeout_ms: u64,
) -> proto::ChangeMembershipRequest {
    use proto::change_membership_request::Change as Kind;
    let of = |id| Member {
        id,
        ..Member::default()
    };
    let (kind, member) = match change {
        MembershipChange::Add(member) => (Kind::Add, member.clone()),
        MembershipChange::Remove(id) => (Kind::Remove, of(*id)),
        MembershipChange::Promote(id) => (Kind::Promote, of(*id)),
        MembershipChange::Update { id, peer_urls } => (
            Kind::Update,
            Member {
                peer_urls: peer_urls.clone(),
                ..of(*id)
            },
        ),
    };
    proto::ChangeMembershipRequest {
        change: kind.into(),
        member: Some(put_member(member)),
        timeout_ms,
    }
}

pub(super) fn get_change(
    request: proto::ChangeMembershipRequest,
) -> Result<MembershipChange, WireError> {
    use proto::change_membership_request::Change as Kind;
    let kind = request.change();
    let member = request
        .member
        .map(get_member)
        .ok_or(WireError::Missing("a member"))?;
    match kind {
        Kind::Add => Ok(MembershipChange::Add(member)),
        Kind::Remove => Ok(MembershipChange::Remove(member.id)),
        Kind::Promote => Ok(MembershipChange::Promote(member.id)),
        Kind::Update => Ok(MembershipChange::Update {
            id: member.id,
            peer_urls: member.peer_urls,
        }),
        Kind::Unspecified => Err(WireError::Missing("a change")),
    }
}

pub(super) fn put_changed(
    result: Result<Vec<Member>, MembershipError>,
) -> proto::ChangeMembershipResponse {
    use proto::change_membership_response::Result as Kind;
    let mut response = proto::ChangeMembershipResponse::default();
    let kind = match result {
        Ok(members) => {
            response.members = members.into_iter().map(put_member).collect();
            Kind::Changed
        }
        Err(error) => {
            response.text = error.to_string();
            match error {
                MembershipError::NotFound(id) => response.with_id(id, Kind::NotFound),
                MembershipError::IdExists(id) => response.with_id(id, Kind::IdExists),
                MembershipError::NotLearner(id) => response.with_id(id, Kind::NotLearner),
                MembershipError::LearnerNotReady(id) => response.with_id(id, Kind::LearnerNotReady),
                MembershipError::PeerUrlsExist => Kind::PeerUrlsExist,
                MembershipError::TooManyLearners => Kind::TooManyLearners,
                MembershipError::NotEnoughStarted => Kind::NotEnoughStarted,
                MembershipError::Unhealthy => Kind::Unhealthy,
                MembershipError::Propose(ProposeError::NoLeader) => Kind::NotLeader,
                MembershipError::Propose(ProposeError::Overloaded) => Kind::Overloaded,
                MembershipError::Propose(ProposeError::Stopped) => Kind::Stopped,
                MembershipError::Propose(ProposeError::Timeout) => Kind::TimedOut,
                MembershipError::Propose(ProposeError::Unknown(_)) => Kind::Unknown,
            }
        }
    };
    response.result = kind.into();
    response
}

impl proto::ChangeMembershipResponse {
    fn with_id<T>(&mut self, id: u64, kind: T) -> T {
        self.id = id;
        kind
    }
}

pub(super) fn get_changed(
    response: proto::ChangeMembershipResponse,
) -> Result<Vec<Member>, MembershipError> {
    use proto::change_membership_response::Result as Kind;
    let kind = response.result();
    let proto::ChangeMembershipResponse {
        members, id, text, ..
    } = response;
    Err(match kind {
        Kind::Changed => return Ok(members.into_iter().map(get_member).collect()),
        Kind::NotFound => MembershipError::NotFound(id),
        Kind::IdExists => MembershipError::IdExists(id),
        Kind::NotLearner => MembershipError::NotLearner(id),
        Kind::LearnerNotReady => MembershipError::LearnerNotReady(id),
        Kind::PeerUrlsExist => MembershipError::PeerUrlsExist,
        Kind::TooManyLearners => MembershipError::TooManyLearners,
        Kind::NotEnoughStarted => MembershipError::NotEnoughStarted,
        Kind::Unhealthy => MembershipError::Unhealthy,
        // A leader that ends has changed nothing, and another will lead.
        Kind::NotLeader | Kind::Stopped => ProposeError::NoLeader.into(),
        Kind::Overloaded => ProposeError::Overloaded.into(),
        Kind::TimedOut => ProposeError::Timeout.into(),
        Kind::Unknown | Kind::Unspecified => ProposeError::Unknown(text).into(),
    })
}

pub(super) fn put_proposed(result: Result<Applied, ProposeError>) -> proto::ProposeResponse {
    use proto::propose_response::Result as Kind;
    let (kind, index, reply, text) = match result {
        Ok(Applied { index, reply }) => (Kind::Applied, index, reply, String::new()),
        Err(error) => {
            let kind = match error {
                ProposeError::NoLeader => Kind::NotLeader,
                ProposeError::Overloaded => Kind::Overloaded,
                ProposeError::Stopped => Kind::Stopped,
                ProposeError::Timeout => Kind::TimedOut,
                ProposeError::Unknown(_) => Kind::Unknown,
            };
            (kind, 0, Bytes::new(), error.to_string())
        }
    };
    proto::ProposeResponse {
        result: kind.into(),
        index,
        reply,
        text,
    }
}

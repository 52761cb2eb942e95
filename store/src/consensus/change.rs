//! Changes of the cluster: members and leadership. Planned by `membership.rs`, done here on the leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::backoff::Backoff;
use openraft::ChangeMembers;
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{timeout, timeout_at};

use super::membership::{self, Progress, View, member_list};
use super::node::{Leader, Node};
use super::peer_proto as proto;
use super::propose::{was_not_sent, write_error};
use super::types::{TypeConfig, ours};
use super::{Member, MembershipChange, MembershipError, ProposeError, ReadError, wire};

/// A member that has not answered for so long counts as down, as in etcd.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// Leadership goes only to a voter that lacks no more entries than this: until it has them, nobody writes.
const TRANSFER_LAG_MAX: u64 = 1_000;
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(200);

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

impl Node {
    /// What a leader knows of the cluster.
    pub(super) fn view(&self) -> View {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let matched = |id| {
            let matched = metrics
                .replication
                .as_ref()
                .and_then(|replication| replication.get(&id).copied().flatten());
            matched.map_or(0, |log_id| ours(log_id).index)
        };
        let is_connected = |id| {
            let acked = metrics
                .heartbeat
                .as_ref()
                .and_then(|heartbeat| heartbeat.get(&id).copied().flatten());
            acked.is_some_and(|acked| acked.elapsed() <= HEALTH_INTERVAL)
                && self.peers.is_reached(id)
        };
        let progress = |(id, _): (&u64, &Member)| {
            (
                *id,
                Progress {
                    matched: matched(*id),
                    is_connected: is_connected(*id),
                },
            )
        };
        View {
            this: self.config.member_id,
            last_index: metrics.last_log_index.map_or(0, |index| index + 1),
            members: member_list(membership),
            voters: membership.voter_ids().collect(),
            progress: membership.nodes().map(progress).collect(),
            strict: self.config.strict_reconfig_check,
            learners_max: self.config.learners_max,
        }
    }

    pub(super) async fn change_membership(
        &self,
        change: MembershipChange,
        deadline: Instant,
    ) -> Result<Vec<Member>, MembershipError> {
        let needs_healthy = self.config.strict_reconfig_check
            && membership::needs_healthy_members(&change, self.config.member_id);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let tried = match self.leader() {
                Leader::This => self.change_here(&change, deadline).await,
                Leader::Other(leader) => self.change_there(leader, &change, deadline).await,
                Leader::Unknown => Err(ProposeError::NoLeader.into()),
            };
            match tried {
                Err(MembershipError::Propose(ProposeError::NoLeader)) => {
                    if needs_healthy && self.lacks_quorum() {
                        return Err(MembershipError::Unhealthy);
                    }
                }
                done => return done,
            }
            tokio::select! { biased;
                () = self.stop.cancelled() => return Err(ProposeError::Stopped.into()),
                () = tokio::time::sleep_until(deadline.into()) => return Err(ProposeError::NoLeader.into()),
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// True if nobody has led for longer than an election takes: too few members are up.
    fn lacks_quorum(&self) -> bool {
        let election = Duration::from_millis(self.config.election_ms);
        let since = self.status.borrow().leaderless_since;
        since.is_some_and(|since| since.elapsed() > election)
    }

    /// Changes the membership if this member leads.
    pub(super) async fn change_here(
        &self,
        change: &MembershipChange,
        deadline: Instant,
    ) -> Result<Vec<Member>, MembershipError> {
        let work = async {
            let _one_at_a_time = self.changing.lock().await;
            let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
            loop {
                if self.leader() != Leader::This {
                    return Err(ProposeError::NoLeader.into());
                }
                let steps = self.view().plan(change)?;
                match self.raft.change_membership(steps, false).await {
                    Ok(changed) => {
                        let members = changed
                            .membership
                            .as_ref()
                            .map(member_list)
                            .unwrap_or_default();
                        return Ok(members.into_values().collect());
                    }
                    // Another change is not finished, or this leader is new. Nothing was written.
                    Err(error) if is_busy(&error) => tokio::time::sleep(backoff.next_wait()).await,
                    Err(error) => return Err(write_error(error).into()),
                }
            }
        };
        match timeout_at(deadline.into(), work).await {
            Ok(result) => result,
            Err(_) => Err(ProposeError::Timeout.into()),
        }
    }

    async fn change_there(
        &self,
        leader: u64,
        change: &MembershipChange,
        deadline: Instant,
    ) -> Result<Vec<Member>, MembershipError> {
        let mut client = self.peer(leader).ok_or(ProposeError::NoLeader)?;
        let request = wire::put_change(change, Self::timeout_ms(deadline));
        let response = match timeout_at(deadline.into(), client.change_membership(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) if was_not_sent(&status) => return Err(ProposeError::NoLeader.into()),
            Ok(Err(status)) => {
                return Err(
                    ProposeError::Unknown(format!("the leader did not answer: {status}")).into(),
                );
            }
            Err(_) => return Err(ProposeError::Timeout.into()),
        };
        wire::get_changed(response)
    }

    pub(super) async fn transfer_leader(
        &self,
        to: u64,
        deadline: Instant,
    ) -> Result<(), ReadError> {
        use proto::move_leader_response::Result as Kind;
        match self.leader() {
            Leader::This => self.transfer_here(to, deadline).await,
            Leader::Other(leader) if leader == to => Ok(()),
            Leader::Other(leader) => {
                let mut client = self.peer(leader).ok_or(ReadError::NoLeader)?;
                let request = proto::MoveLeaderRequest {
                    to,
                    timeout_ms: Self::timeout_ms(deadline),
                };
                let response = timeout_at(deadline.into(), client.move_leader(request)).await;
                let response = response
                    .map_err(|_| ReadError::Timeout)?
                    .map_err(|_| ReadError::NoLeader)?;
                match response.into_inner().result() {
                    Kind::Moved => Ok(()),
                    Kind::TimedOut => Err(ReadError::Timeout),
                    Kind::NotLeader | Kind::Stopped | Kind::Unspecified => Err(ReadError::NoLeader),
                }
            }
            Leader::Unknown => Err(ReadError::NoLeader),
        }
    }

    /// Hands leadership on. openraft's own transfer has no end when the target does not take over: then
    /// the next best voter is asked to stand, whose lease the transfer has already ended.
    pub(super) async fn transfer_here(&self, to: u64, deadline: Instant) -> Result<(), ReadError> {
        let this = self.config.member_id;
        if to == this {
            return Ok(());
        }
        if !self.can_lead(to) {
            return Err(ReadError::Timeout);
        }
        self.raft
            .trigger()
            .transfer_leader(to)
            .await
            .map_err(|_| ReadError::Stopped)?;
        let patience = Duration::from_millis(self.config.election_ms);
        let first = (Instant::now() + patience).min(deadline);
        if self.wait_for_leader(|leader| leader == to, first).await {
            return Ok(());
        }
        let others: Vec<u64> = self
            .view()
            .voters
            .into_iter()
            .filter(|id| *id != this)
            .collect();
        for id in std::iter::once(to).chain(others.into_iter().filter(|id| *id != to)) {
            if !self.can_lead(id) {
                continue;
            }
            let Some(mut client) = self.peer(id) else {
                continue;
            };
            if let Ok(Ok(_)) = timeout(patience, client.elect(proto::ElectRequest {})).await {
                let until = Instant::now() + patience;
                if self.wait_for_leader(|leader| leader != this, until).await {
                    break;
                }
            }
        }
        match self.wait_for_leader(|leader| leader == to, deadline).await {
            true => Ok(()),
            false => Err(ReadError::Timeout),
        }
    }

    fn can_lead(&self, id: u64) -> bool {
        let view = self.view();
        let matched = view.progress.get(&id).copied().unwrap_or_default().matched;
        view.voters.contains(&id)
            && matched > 0
            && view.last_index.saturating_sub(matched) <= TRANSFER_LAG_MAX
    }

    async fn wait_for_leader(&self, is_wanted: impl Fn(u64) -> bool, deadline: Instant) -> bool {
        let mut metrics = self.raft.metrics();
        let wait = async {
            loop {
                if metrics
                    .borrow_and_update()
                    .current_leader
                    .is_some_and(&is_wanted)
                {
                    return true;
                }
                if metrics.changed().await.is_err() {
                    return false;
                }
            }
        };
        timeout_at(deadline.into(), wait).await.unwrap_or(false)
    }
}

/// True if nothing was written because something else has to finish first.
fn is_busy(error: &WriteError) -> bool {
    matches!(
        error,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_)
        ))
    )
}

/// Finishes, on the leader, what was begun: a joint membership whose maker is gone, and new voters that
/// have caught up.
pub(super) async fn run_finisher(node: Arc<Node>) {
    let mut tick =
        tokio::time::interval(Duration::from_millis((node.config.election_ms / 2).max(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut joint_ticks = 0;
    loop {
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if node.leader() != Leader::This {
            joint_ticks = 0;
            continue;
        }
        // A change that is under way here is not ours to finish.
        let Ok(_one_at_a_time) = node.changing.try_lock() else {
            continue;
        };
        joint_ticks = if is_joint(&node) { joint_ticks + 1 } else { 0 };
        let ready = node.view().ready_to_vote();
        // An empty addition makes a joint membership uniform.
        if joint_ticks >= 3 || (joint_ticks == 0 && !ready.is_empty()) {
            finish(&node, ready).await;
        }
    }
}

fn is_joint(node: &Node) -> bool {
    let metrics = node.raft.metrics();
    metrics
        .borrow_watched()
        .membership_config
        .get_joint_config()
        .len()
        > 1
}

async fn finish(node: &Node, voters: BTreeSet<u64>) {
    let change = node
        .raft
        .change_membership(ChangeMembers::AddVoterIds(voters.clone()), false);
    let limit = Duration::from_millis(node.config.election_ms * 5);
    match timeout(limit, change).await {
        Ok(Ok(_)) => tracing::info!(?voters, "finished a change of the membership"),
        Ok(Err(error)) if is_busy(&error) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "cannot finish a change of the membership")
        }
        Err(_) => tracing::warn!("a change of the membership takes long"),
    }
}

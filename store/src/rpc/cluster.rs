//! The Cluster service: who the members are, and changes of that.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use proto_etcd::etcdserverpb::cluster_server::Cluster as Service;
use proto_etcd::etcdserverpb::{
    Member as ProtoMember, MemberAddRequest, MemberAddResponse, MemberListRequest,
    MemberListResponse, MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest,
    MemberRemoveResponse, MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use tonic::{Request, Response, Status};

use super::context::Context;
use super::identity::Caller;
use super::status::Error;
use crate::config::Url;
use crate::consensus::membership::member_id;
use crate::consensus::{Member, MembershipChange};

/// See the module.
pub(super) struct Cluster(pub(super) Arc<Context>);

/// The members, with the names and client URLs that they have published, by id.
pub(crate) fn members(context: &Context) -> Vec<Member> {
    let attributes = context.view.member_attributes();
    let status = context.consensus.status();
    let mut members: Vec<Member> = status.members.into_values().collect();
    for member in &mut members {
        if let Some(published) = attributes.get(&member.id) {
            member.name.clone_from(&published.name);
            member.client_urls.clone_from(&published.client_urls);
        }
    }
    members
}

impl Cluster {
    /// etcd's headers here have no revision.
    fn header(&self) -> Option<ResponseHeader> {
        Some(self.0.header_at(0))
    }

    fn list(&self) -> Vec<ProtoMember> {
        members(&self.0).into_iter().map(to_proto).collect()
    }

    async fn change(&self, change: MembershipChange) -> Result<(), Error> {
        self.0
            .consensus
            .change_membership(change, self.0.deadline())
            .await?;
        Ok(())
    }

    /// Refuses a change after which the members that have started would be no quorum.
    fn check_started(&self, change: &MembershipChange) -> Result<(), Error> {
        if !self.0.limits.strict_reconfig_check {
            return Ok(());
        }
        let (added, removed) = match change {
            MembershipChange::Add(member) if !member.is_learner => (1, None),
            MembershipChange::Remove(id) => (0, Some(*id)),
            _ => return Ok(()),
        };
        let all = members(&self.0);
        if removed.is_some_and(|id| {
            all.iter()
                .any(|member| member.id == id && member.is_learner)
        }) {
            return Ok(());
        }
        let voters = all
            .iter()
            .filter(|member| !member.is_learner && Some(member.id) != removed);
        let (mut count, mut started) = (added, 0);
        for voter in voters {
            count += 1;
            started += usize::from(!voter.name.is_empty());
        }
        // Growing from one member to two has no other way.
        let is_first_growth = added == 1 && count == 2 && started == 1;
        if is_first_growth || started > count / 2 {
            Ok(())
        } else {
            Err(Error::NotEnoughStarted)
        }
    }
}

fn to_proto(member: Member) -> ProtoMember {
    ProtoMember {
        id: member.id,
        name: member.name,
        peer_ur_ls: member.peer_urls,
        client_ur_ls: member.client_urls,
        is_learner: member.is_learner,
    }
}

/// Peer URLs as etcd takes them: at least one, sorted.
fn peer_urls(given: &[String]) -> Result<Vec<String>, Error> {
    let urls = given
        .iter()
        .map(|url| Url::parse(url))
        .collect::<Result<Vec<_>, _>>();
    let mut urls: Vec<String> = urls
        .map_err(|_| Error::BadMemberUrls)?
        .iter()
        .map(|url| url.as_str().to_owned())
        .collect();
    urls.sort();
    if urls.is_empty() {
        Err(Error::BadMemberUrls)
    } else {
        Ok(urls)
    }
}

#[tonic::async_trait]
impl Service for Cluster {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let peer_urls = peer_urls(&request.peer_ur_ls)?;
        self.0.require_admin(&caller).await?;
        // The time makes the id a new one, also for a member that comes back after its removal.
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let id = member_id(&peer_urls, "", Some(now));
        let member = Member {
            id,
            peer_urls,
            is_learner: request.is_learner,
            ..Member::default()
        };
        let change = MembershipChange::Add(member.clone());
        self.check_started(&change)?;
        self.change(change).await?;
        let member = Some(to_proto(member));
        Ok(Response::new(MemberAddResponse {
            header: self.header(),
            member,
            members: self.list(),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let change = MembershipChange::Remove(request.into_inner().id);
        self.check_started(&change)?;
        self.change(change).await?;
        Ok(Response::new(MemberRemoveResponse {
            header: self.header(),
            members: self.list(),
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        let request = request.into_inner();
        let peer_urls = peer_urls(&request.peer_ur_ls)?;
        self.change(MembershipChange::Update {
            id: request.id,
            peer_urls,
        })
        .await?;
        Ok(Response::new(MemberUpdateResponse {
            header: self.header(),
            members: self.list(),
        }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let caller = Caller::of(&request);
        if request.into_inner().linearizable {
            self.0.linearize().await?;
        }
        self.0.require_user(&caller).await?;
        Ok(Response::new(MemberListResponse {
            header: self.header(),
            members: self.list(),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.0.require_admin(&Caller::of(&request)).await?;
        self.change(MembershipChange::Promote(request.into_inner().id))
            .await?;
        self.0.metrics.promoted.inc();
        Ok(Response::new(MemberPromoteResponse {
            header: self.header(),
            members: self.list(),
        }))
    }
}

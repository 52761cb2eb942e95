//! Takes members out of their cluster, and brings new ones into their places: by the API, under
//! whatever else goes on. A place is a name, addresses and a folder; each new member in it begins
//! without data, as a learner that is promoted or as a voter at once.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use proto_etcd::etcdserverpb::cluster_client::ClusterClient;
use proto_etcd::etcdserverpb::{
    Member as Listed, MemberAddRequest, MemberListRequest, MemberPromoteRequest,
    MemberRemoveRequest,
};
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic::transport::Channel;

use crate::target::{Cluster, Member};
use crate::wire::Dial;

const ASK_TIME_MAX: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// A nemesis that cannot bring a member back leaves that to the end of the run.
const BACK_SECONDS: u64 = 20;
/// When all other faults are over.
const END_SECONDS: u64 = 90;

/// How a new member comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    Learner,
    Voter,
}

/// Takes `gone` out, one after the other; `via` is who is asked, as far as it answers. Those who are
/// out then.
pub(super) async fn shrink(cluster: &Cluster, gone: &[usize], via: usize) -> Result<Vec<usize>> {
    let mut out = Vec::new();
    let mut why = None;
    for at in gone {
        match remove(cluster, *at, via).await {
            Ok(()) => out.push(*at),
            Err(error) => why = Some(error),
        }
    }
    match why {
        Some(error) if out.is_empty() => Err(error),
        _ => Ok(out),
    }
}

/// Brings new members into these places.
pub(super) async fn grow(cluster: &Cluster, places: &[usize], by: As) -> Result<()> {
    for at in places {
        bring_back(cluster, *at, by, BACK_SECONDS).await?;
    }
    Ok(())
}

/// Makes every place that of a voting member, once all else is mended.
pub(crate) async fn restore(cluster: &Cluster) -> Result<()> {
    for at in 0..cluster.members().len() {
        bring_back(cluster, at, As::Voter, END_SECONDS).await?;
    }
    Ok(())
}

async fn remove(cluster: &Cluster, at: usize, via: usize) -> Result<()> {
    let member = &cluster.members()[at];
    ensure!(!member.is_out(), "{} is out already", member.name);
    let all = list(cluster).await?;
    let id = place(&all, member).with_context(|| format!("{} is no member", member.name))?;
    let mut client = client(&cluster.members()[via].url).await?;
    let was_leaving = member.set_leaving(true);
    let asked = client.member_remove(MemberRemoveRequest { id: id.id });
    match timeout(ASK_TIME_MAX, asked).await {
        Ok(Err(status)) if is_refusal(&status) => {
            member.set_leaving(was_leaving);
            bail!("{} was not removed: {status}", member.name);
        }
        Ok(Ok(_)) => member.leave(),
        // Only a quorum knows, and is asked when it is brought back; the removal may even come later. Until it
        // has come its data stays: without it a removal that did not happen could cost the majority.
        _ => {}
    }
    Ok(())
}

/// Refusals of a change that was not even proposed: members that are missing, or would be.
fn is_refusal(status: &tonic::Status) -> bool {
    let code = status.code();
    let is_health = status.message().contains("unhealthy cluster")
        || status
            .message()
            .contains("re-configuration failed due to not enough started members");
    is_health || matches!(code, Code::NotFound | Code::FailedPrecondition)
}

/// One step after the other, from wherever it stands, until the place has a voting member.
async fn bring_back(cluster: &Cluster, at: usize, by: As, seconds: u64) -> Result<()> {
    let member = &cluster.members()[at];
    let until = Instant::now() + Duration::from_secs(seconds);
    loop {
        match step(cluster, at, by).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => {
                return Err(error.context(format!("{} is no voting member yet", member.name)));
            }
            Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
}

async fn step(cluster: &Cluster, at: usize, by: As) -> Result<()> {
    let member = &cluster.members()[at];
    let all = list(cluster).await?;
    // Asked only where something is left to do: the last one that serves may be this one.
    let other = async || any_client(cluster, at).await;
    let Some(here) = place(&all, member) else {
        // Its removal has come to its end, whoever saw that.
        member.leave();
        let request = MemberAddRequest {
            peer_ur_ls: vec![member.peer_url.clone()],
            is_learner: by == As::Learner,
        };
        let answer = timeout(ASK_TIME_MAX, other().await?.member_add(request)).await??;
        member.join(flags(cluster, &answer.into_inner().members))?;
        bail!("{} has just been added", member.name);
    };
    if member.is_out() {
        // A member that never started has no name: it is one that was added for this place.
        if here.name.is_empty() {
            member.join(flags(cluster, &all))?;
            bail!("{} has just been started", member.name);
        }
        let request = MemberRemoveRequest { id: here.id };
        timeout(ASK_TIME_MAX, other().await?.member_remove(request)).await??;
        bail!("the old member is just being removed");
    }
    if here.is_learner {
        let request = MemberPromoteRequest { id: here.id };
        timeout(ASK_TIME_MAX, other().await?.member_promote(request)).await??;
    }
    if here.name.is_empty() {
        // It refuses to start where the member that it asks does not know the last change yet.
        member.start_with(flags(cluster, &all))?;
        bail!("{} has not told its name yet", member.name);
    }
    member.has_joined();
    member.start()
}

/// What a new member is started with that the cluster has been told of.
fn flags(cluster: &Cluster, all: &[Listed]) -> Vec<String> {
    let known = cluster.members().iter().filter(|one| {
        let is_it = |listed: &Listed| listed.peer_ur_ls.contains(&one.peer_url);
        all.iter().any(is_it)
    });
    let peers: Vec<String> = known
        .map(|one| format!("{}={}", one.name, one.peer_url))
        .collect();
    vec![
        "--initial-cluster-state=existing".to_owned(),
        format!("--initial-cluster={}", peers.join(",")),
    ]
}

fn place<'a>(all: &'a [Listed], member: &Member) -> Option<&'a Listed> {
    all.iter()
        .find(|listed| listed.peer_ur_ls.contains(&member.peer_url))
}

async fn client(url: &str) -> Result<ClusterClient<Channel>> {
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    Ok(ClusterClient::new(channel))
}

/// A client of any member but this one: it may be no member.
async fn any_client(cluster: &Cluster, but: usize) -> Result<ClusterClient<Channel>> {
    // The leader answers best.
    let leader = cluster.leader().await.filter(|leader| *leader != but);
    let others = (0..cluster.members().len()).filter(|at| *at != but);
    for at in leader.into_iter().chain(others) {
        if cluster.members()[at].is_out() {
            continue;
        }
        if let Ok(client) = client(&cluster.members()[at].url).await {
            return Ok(client);
        }
    }
    bail!("nobody answers")
}

/// The members, as a quorum knows them.
async fn list(cluster: &Cluster) -> Result<Vec<Listed>> {
    let mut why = anyhow::anyhow!("nobody answers");
    for member in cluster.members() {
        if member.is_out() {
            continue;
        }
        match list_by(&member.url).await {
            Ok(all) => return Ok(all),
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// The members, as the one at `url` tells them, by a quorum.
pub(crate) async fn list_by(url: &str) -> Result<Vec<Listed>> {
    let mut client = client(url).await?;
    let request = MemberListRequest { linearizable: true };
    let answer = timeout(ASK_TIME_MAX, client.member_list(request)).await??;
    Ok(answer.into_inner().members)
}

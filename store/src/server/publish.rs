//! Tells the cluster this member's name and client URLs, and, from the leader, the cluster's version.
//! Both are idempotent, so they are tried until they are there.

use std::time::Duration;

use proto_etcd::etcdserverpb::InternalRaftRequest;
use proto_etcd::membershippb::{Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest};
use tokio_util::sync::CancellationToken;

use crate::config::{CLUSTER_VERSION, Release};
use crate::rpc::Context;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// The empty answer of both commands.
type Empty = proto_etcd::etcdserverpb::EmptyResponse;

/// Returns once this member's own state holds its name and URLs; false if `stop` came first.
pub(super) async fn member(
    context: &Context,
    name: &str,
    client_urls: Vec<String>,
    stop: &CancellationToken,
) -> bool {
    let wanted = Attributes {
        name: name.into(),
        client_urls,
    };
    let publish = async {
        loop {
            // Reading first saves an entry of the log at each restart.
            if context.linearize().await.is_ok() {
                if context.view.member_attributes().get(&context.ids.member) == Some(&wanted) {
                    return;
                }
                let request = InternalRaftRequest {
                    cluster_member_attr_set: Some(ClusterMemberAttrSetRequest {
                        member_id: context.ids.member,
                        member_attributes: Some(wanted.clone()),
                    }),
                    ..Default::default()
                };
                match context.propose::<Empty>(request).await {
                    Ok(_) => return,
                    Err(error) => {
                        tracing::warn!(error = %error, "failed to publish local member to cluster")
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! { biased;
        () = stop.cancelled() => false,
        () = publish => true,
    }
}

/// Keeps the cluster's version what it should be, whenever this member leads, until `stop`.
pub(super) async fn cluster_version(
    context: &Context,
    interval: Duration,
    stop: &CancellationToken,
) {
    let mut statuses = context.consensus.subscribe();
    loop {
        let is_leader = statuses.borrow_and_update().is_leader();
        if is_leader && wanted(context).is_some() && context.linearize().await.is_ok() {
            decide(context).await;
        }
        let is_decided = context.view.cluster_version().is_some();
        let pause = if is_decided {
            interval.max(PAUSE)
        } else {
            PAUSE * 10
        };
        // Shutdown first. Until there is a version, a failed try is repeated at the next news or
        // after a pause.
        tokio::select! { biased;
            () = stop.cancelled() => return,
            changed = statuses.changed(), if !is_decided => if changed.is_err() { return },
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn decide(context: &Context) {
    let Some(version) = wanted(context) else {
        return;
    };
    let from = context.view.cluster_version().unwrap_or_default();
    tracing::info!(from, to = version, "updating cluster version using v3 API");
    let request = InternalRaftRequest {
        cluster_version_set: Some(ClusterVersionSetRequest { ver: version }),
        ..Default::default()
    };
    if let Err(error) = context.propose::<Empty>(request).await {
        tracing::warn!(error = %error, "failed to set the cluster version");
    }
}

fn wanted(context: &Context) -> Option<String> {
    let (current, downgrade) = (context.view.cluster_version(), context.view.downgrade());
    next_version(current.as_deref(), downgrade.as_deref())
}

/// The version that the cluster should have instead of `current`, if another: the one of a downgrade
/// that is under way, or else that of its members.
fn next_version(current: Option<&str>, downgrade: Option<&str>) -> Option<String> {
    if let Some(target) = downgrade {
        return (current != Some(target)).then(|| target.to_owned());
    }
    // Never lowered by a member that only leads by chance among newer ones.
    let is_lower = current.and_then(Release::parse) < Release::parse(CLUSTER_VERSION);
    is_lower.then(|| CLUSTER_VERSION.to_owned())
}

#[cfg(test)]
mod tests {
    use super::next_version;

    #[test]
    fn a_downgrade_lowers_the_version_and_its_end_raises_it() {
        assert_eq!(next_version(None, None).as_deref(), Some("3.7.0"));
        assert_eq!(next_version(Some("3.7.0"), None), None);
        let lower = next_version(Some("3.7.0"), Some("3.6.0"));
        assert_eq!(lower.as_deref(), Some("3.6.0"));
        assert_eq!(next_version(Some("3.6.0"), Some("3.6.0")), None);
        let raised = next_version(Some("3.6.0"), None);
        assert_eq!(raised.as_deref(), Some("3.7.0"));
        assert_eq!(next_version(Some("3.8.0"), None), None);
    }
}

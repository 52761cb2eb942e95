//! Tells the cluster this member's name and client URLs, and, from the leader, the cluster's version.
//! Both are idempotent, so they are tried until they are there.

use std::time::Duration;

use proto_etcd::etcdserverpb::InternalRaftRequest;
use proto_etcd::membershippb::{Attributes, ClusterMemberAttrSetRequest, ClusterVersionSetRequest};
use tokio_util::sync::CancellationToken;

use crate::config::CLUSTER_VERSION;
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

/// Sets the cluster's version where there is none, whenever this member leads, until `stop`.
pub(super) async fn cluster_version(context: &Context, stop: &CancellationToken) {
    let mut statuses = context.consensus.subscribe();
    loop {
        let is_leader = statuses.borrow_and_update().is_leader();
        if is_leader
            && context.linearize().await.is_ok()
            && context.view.cluster_version().is_none()
        {
            let request = InternalRaftRequest {
                cluster_version_set: Some(ClusterVersionSetRequest {
                    ver: CLUSTER_VERSION.into(),
                }),
                ..Default::default()
            };
            if let Err(error) = context.propose::<Empty>(request).await {
                tracing::warn!(error = %error, "failed to set the cluster version");
            }
        }
        if context.view.cluster_version().is_some() {
            return;
        }
        // Shutdown first. A failed try is repeated at the next news or after a pause.
        tokio::select! { biased;
            () = stop.cancelled() => return,
            changed = statuses.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE * 10) => {}
        }
    }
}

//! Renews the node's lease, by which the control plane sees that the node lives.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::PostParams;
use tokio_util::sync::CancellationToken;

/// How long a lease lasts, and how often it is renewed. Upstream's.
const DURATION_SECONDS: i32 = 40;
const PERIOD: Duration = Duration::from_secs(10);
/// After a failure, so that several tries fit into a lease.
const RETRY: Duration = Duration::from_secs(2);
const CALL_TIME_MAX: Duration = Duration::from_secs(8);

/// Renews until `stop`.
pub(super) async fn run(client: kube::Client, node: String, stop: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let mut last: Option<Lease> = None;
    loop {
        let renewal =
            tokio::time::timeout(CALL_TIME_MAX, renew(&client, &leases, &node, last.take()));
        let renewed = tokio::select! { biased;
            () = stop.cancelled() => return,
            renewed = renewal => renewed,
        };
        let wait = match renewed {
            Ok(Ok(lease)) => {
                last = Some(lease);
                // Spread, so that many nodes do not come at once.
                PERIOD.mul_f64(rand::random_range(0.96..=1.04))
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %base::report(&error), "node lease not renewed");
                RETRY
            }
            Err(_) => {
                tracing::warn!("node lease not renewed in time");
                RETRY
            }
        };
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Writes over what was written last; only without that is anything read.
async fn renew(
    client: &kube::Client,
    leases: &Api<Lease>,
    node: &str,
    last: Option<Lease>,
) -> Result<Lease, kube::Error> {
    let current = match last {
        Some(last) => Some(last),
        None => leases.get_opt(node).await?,
    };
    let spec = LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(client::times::now_micro()),
        ..LeaseSpec::default()
    };
    match current {
        Some(mut lease) => {
            lease.spec = Some(spec);
            if lease.metadata.owner_references.is_none() {
                lease.metadata.owner_references = owner(client, node).await?;
            }
            leases.replace(node, &PostParams::default(), &lease).await
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(node.to_owned()),
                owner_references: owner(client, node).await?,
                ..ObjectMeta::default()
            };
            leases
                .create(
                    &PostParams::default(),
                    &Lease {
                        metadata,
                        spec: Some(spec),
                    },
                )
                .await
        }
    }
}

/// The Node, so that the lease goes with it.
async fn owner(
    client: &kube::Client,
    node: &str,
) -> Result<Option<Vec<OwnerReference>>, kube::Error> {
    let found = Api::<Node>::all(client.clone()).get_opt(node).await?;
    let reference = |uid: String| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid,
        ..OwnerReference::default()
    };
    Ok(found
        .and_then(|n| n.metadata.uid)
        .map(|uid| vec![reference(uid)]))
}

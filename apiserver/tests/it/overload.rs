//! More requests than a server takes, and clients that give up: neither costs a leadership, and
//! neither leaves anything behind.

use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, eventually};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// A read that waits for a version until the server gives up, after three seconds.
const WAITING: &str = "/api/v1/configmaps?resourceVersion=99999999";

#[tokio::test]
async fn workloads_that_fill_a_server_cost_no_leadership() {
    let mut cluster = Cluster::start().await;
    let mut config = cluster.config();
    config.requests_in_flight_max = 1;
    config.mutating_in_flight_max = 1;
    let admin = cluster.serve(config, CancellationToken::new()).await;
    let binding = json!({
        "metadata": {"name": "people"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "people"}],
    });
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    admin.post(bindings, &binding).await;
    let bob = cluster.client(1, Some("bob"));
    eventually("bob may read", || async {
        bob.get(MAPS).await.0 == StatusCode::OK
    })
    .await;
    let filling = async {
        loop {
            let (code, _) = bob.get(WAITING).await;
            if code != StatusCode::TOO_MANY_REQUESTS {
                return code;
            }
        }
    };
    let meanwhile = async {
        eventually("the server is full", || async {
            bob.get(MAPS).await.0 == StatusCode::TOO_MANY_REQUESTS
        })
        .await;
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler";
        let request = admin
            .request(Method::GET, lease)
            .header("impersonate-user", "system:kube-scheduler")
            .body(Full::default())
            .unwrap();
        let (_, lease) = admin.exchange(request).await;
        (
            lease,
            admin.get("/readyz").await.0,
            bob.get("/livez").await.0,
        )
    };
    let (filled, (lease, ready, live)) = tokio::join!(filling, meanwhile);
    assert_eq!(filled, StatusCode::GATEWAY_TIMEOUT);
    // There is none yet, and the scheduler learns that.
    assert_eq!(lease.0, StatusCode::NOT_FOUND, "{}", lease.1);
    assert_eq!((ready, live), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn a_client_that_gives_up_is_counted_no_more() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for _ in 0..3 {
        let soon = Duration::from_millis(300);
        timeout(soon, admin.get(WAITING)).await.unwrap_err();
    }
    eventually("only the question itself is in flight", || async {
        let (_, metrics) = admin.get("/metrics").await;
        let metrics = metrics.as_str().unwrap();
        metrics.contains("\napiserver_current_inflight_requests 1\n")
    })
    .await;
}

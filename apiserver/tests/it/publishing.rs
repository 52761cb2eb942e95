//! What the cluster says of its api-servers: one that leaves is no longer published while it still
//! serves, and the Service by which pods reach them comes back when it is deleted.

use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, SOON, eventually};

const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";
const PUBLISHED: [&str; 2] = [
    "/api/v1/namespaces/default/endpoints",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
];
/// An address for documentation: nobody is reached at it, and it is no loopback address, which
/// would not be published.
const ADDRESS: &str = "192.0.2.7";

#[tokio::test]
async fn a_replica_that_leaves_is_unpublished_while_it_still_serves() {
    let mut cluster = Cluster::start().await;
    let mut config = cluster.config();
    config.advertise_address = Some(ADDRESS.parse().unwrap());
    // Longer than the test waits for anything.
    config.shutdown_delay = SOON * 4;
    let stop = CancellationToken::new();
    let leaving = cluster.serve(config, stop.clone()).await;
    let staying = cluster.admin(0);
    let is_published = async |path: &str| {
        let (_, list) = staying.get(path).await;
        list.to_string().contains(ADDRESS)
    };
    for path in PUBLISHED {
        eventually("the replica is published", || is_published(path)).await;
    }
    stop.cancel();
    for path in PUBLISHED {
        eventually("the replica is published no more", || async {
            !is_published(path).await
        })
        .await;
    }
    assert_eq!(leaving.get("/livez").await.0, StatusCode::OK);
    let ready = leaving.get("/readyz/shutdown").await.0;
    assert_eq!(ready, StatusCode::INTERNAL_SERVER_ERROR);
    let maps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(leaving.get(maps).await.0, StatusCode::OK, "it still serves");
}

#[tokio::test]
async fn the_service_of_the_api_comes_back() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (_, before) = admin.get(SERVICE).await;
    let (code, answer) = admin.delete(SERVICE, &json!({})).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    eventually("there is a new one", || async {
        let (code, now) = admin.get(SERVICE).await;
        let is_new = now["metadata"]["uid"] != before["metadata"]["uid"];
        code == StatusCode::OK && is_new
    })
    .await;
    let (_, after) = admin.get(SERVICE).await;
    assert_eq!(after["spec"]["clusterIP"], before["spec"]["clusterIP"]);
}

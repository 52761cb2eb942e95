//! The rules of writing and reading objects: conflicts, preconditions, pages, subresources.

mod certificates;
mod evictions;
mod namespaces;
mod pods;
mod replicas;
mod stored;

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::version;
use crate::harness::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": value}})
}

#[tokio::test]
async fn writers_cannot_overwrite_each_other() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = format!("{MAPS}/a");
    let (code, first) = admin.post(MAPS, &map("a", "1")).await;
    assert_eq!(code, StatusCode::CREATED);
    let mut second = first.clone();
    second["data"]["x"] = "2".into();
    let (code, second) = admin.put(&path, &second).await;
    assert_eq!(code, StatusCode::OK);
    let (code, status) = admin.put(&path, &first).await;
    assert_eq!(code, StatusCode::CONFLICT);
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let (_, same) = admin.put(&path, &second).await;
    assert_eq!(
        version(&same),
        version(&second),
        "a write that changes nothing writes nothing"
    );
    let mut foreign = map("a", "3");
    foreign["metadata"]["uid"] = "other".into();
    assert_eq!(admin.put(&path, &foreign).await.0, StatusCode::CONFLICT);
    assert_eq!(
        admin.put(&path, &map("b", "3")).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        admin
            .put(&format!("{MAPS}/none"), &map("none", "3"))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    let wrong = json!({"preconditions": {"uid": "other"}});
    assert_eq!(admin.delete(&path, &wrong).await.0, StatusCode::CONFLICT);
    let (code, status) = admin.delete(&path, &json!({})).await;
    assert_eq!(
        (code, &status["status"]),
        (StatusCode::OK, &json!("Success"))
    );
    assert_eq!(status["details"]["uid"], first["metadata"]["uid"]);
    assert_eq!(
        admin.delete(&path, &json!({})).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn many_writers_lose_nothing() {
    let cluster = Cluster::with_servers(2).await;
    let path = format!("{MAPS}/counter");
    cluster.admin(0).post(MAPS, &map("counter", "0")).await;
    let add = |writer: usize| {
        let (client, path) = (cluster.admin(writer % 2), path.clone());
        async move {
            for turn in 0..10 {
                let patch = json!({"data": {(format!("w{writer}-{turn}")): "1"}});
                let (code, status) = client.merge(&path, &patch).await;
                assert_eq!(code, StatusCode::OK, "{status}");
            }
        }
    };
    futures::future::join_all((0..8).map(add)).await;
    let (_, found) = cluster.admin(0).get(&path).await;
    assert_eq!(found["data"].as_object().unwrap().len(), 81);
}

#[tokio::test]
async fn lists_come_in_consistent_pages() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for n in 0..7 {
        admin.post(MAPS, &map(&format!("m{n}"), "1")).await;
    }
    let (_, first) = admin.get(&format!("{MAPS}?limit=3")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    assert_eq!(first["metadata"]["remainingItemCount"], 4);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    // What happens between the pages must not show.
    admin.delete(&format!("{MAPS}/m5"), &json!({})).await;
    admin.post(MAPS, &map("m3a", "1")).await;
    let (_, rest) = admin.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    let names: Vec<_> = rest["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["metadata"]["name"])
        .collect();
    assert_eq!(names, ["m3", "m4", "m5", "m6"]);
    assert_eq!(version(&rest), version(&first));
    let exact = format!(
        "{MAPS}?resourceVersion={}&resourceVersionMatch=Exact",
        version(&first)
    );
    assert_eq!(
        admin.get(&exact).await.1["items"].as_array().unwrap().len(),
        7
    );
    let (code, status) = admin.get(&format!("{MAPS}?resourceVersion=99999999")).await;
    assert_eq!(code, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(
        status["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    assert_eq!(
        admin.get(&format!("{MAPS}?continue=nonsense")).await.0,
        StatusCode::BAD_REQUEST
    );
    let (_, found) = admin
        .get(&format!("{MAPS}?fieldSelector=metadata.name%3Dm4"))
        .await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_pod_is_bound_reported_and_given_time_to_end() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let pods = "/api/v1/namespaces/default/pods";
    admin
        .post(
            "/api/v1/namespaces/default/serviceaccounts",
            &json!({"metadata": {"name": "default"}}),
        )
        .await;
    let pod = json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "x"}]},
        "status": {"phase": "Running"}});
    let (code, pod) = admin.post(pods, &pod).await;
    assert_eq!(code, StatusCode::CREATED, "{pod}");
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["qosClass"]),
        (&json!("Pending"), &json!("BestEffort"))
    );
    let name = pod["metadata"]["name"].as_str().unwrap();
    let path = format!("{pods}/{name}");
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(
        admin.post(&format!("{path}/binding"), &binding).await.0,
        StatusCode::CREATED
    );
    assert_eq!(
        admin.post(&format!("{path}/binding"), &binding).await.0,
        StatusCode::CONFLICT
    );
    let (_, found) = admin
        .get(&format!("{pods}?fieldSelector=spec.nodeName%3Dn1"))
        .await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let patch = json!({"spec": {"nodeName": "other"}, "status": {"phase": "Running"}});
    let (_, found) = admin.merge(&format!("{path}/status"), &patch).await;
    assert_eq!(
        (&found["spec"]["nodeName"], &found["status"]["phase"]),
        (&json!("n1"), &json!("Running"))
    );
    let (_, marked) = admin.delete(&path, &json!({})).await;
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(admin.get(&path).await.0, StatusCode::OK);
    admin.delete(&path, &json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(admin.get(&path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn finalizers_hold_objects_back() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = format!("{MAPS}/held");
    let mut held = map("held", "1");
    held["metadata"]["finalizers"] = json!(["example.com/x"]);
    admin.post(MAPS, &held).await;
    let (code, marked) = admin.delete(&path, &json!({})).await;
    assert_eq!(code, StatusCode::OK);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(admin.get(&path).await.0, StatusCode::OK);
    admin
        .merge(&path, &json!({"metadata": {"finalizers": null}}))
        .await;
    assert_eq!(admin.get(&path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn namespaces_end_when_they_are_finalized() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    admin
        .post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}}))
        .await;
    let (_, marked) = admin.delete("/api/v1/namespaces/n", &json!({})).await;
    assert_eq!(marked["status"]["phase"], "Terminating");
    let (code, status) = admin
        .post("/api/v1/namespaces/n/configmaps", &map("a", "1"))
        .await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("because it is being terminated"),
        "{status}"
    );
    let (code, status) = admin
        .post("/api/v1/namespaces/none/configmaps", &map("a", "1"))
        .await;
    assert_eq!(
        (code, status["message"].as_str().unwrap()),
        (StatusCode::NOT_FOUND, "namespaces \"none\" not found")
    );
    let mut finalized = marked;
    finalized["spec"]["finalizers"] = json!([]);
    assert_eq!(
        admin
            .put("/api/v1/namespaces/n/finalize", &finalized)
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        admin.get("/api/v1/namespaces/n").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (code, _) = admin
        .post(&format!("{MAPS}?dryRun=All"), &map("dry", "1"))
        .await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(
        admin.get(&format!("{MAPS}/dry")).await.0,
        StatusCode::NOT_FOUND
    );
    admin.post(MAPS, &map("wet", "1")).await;
    let path = format!("{MAPS}/wet");
    let (_, patched) = admin
        .merge(&format!("{path}?dryRun=All"), &json!({"data": {"x": "2"}}))
        .await;
    assert_eq!(patched["data"]["x"], "2");
    admin
        .delete(&format!("{path}?dryRun=All"), &json!({}))
        .await;
    assert_eq!(admin.get(&path).await.1["data"]["x"], "1");
}

//! Evictions, with and against the budget of a workload.

use http::StatusCode;
use serde_json::{Value, json};

use super::pods::{PODS, bind, create};
use crate::client::Client;
use crate::harness::Cluster;

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

async fn run(admin: &Client, name: &str, ready: &str) {
    create(admin, name, json!({})).await;
    bind(admin, name).await;
    let status =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    let (code, pod) = admin.merge(&format!("{PODS}/{name}/status"), &status).await;
    assert_eq!(code, StatusCode::OK, "{pod}");
}

async fn evict(admin: &Client, name: &str) -> (StatusCode, Value) {
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    admin
        .post(&format!("{PODS}/{name}/eviction"), &eviction)
        .await
}

async fn set_budget(admin: &Client, spec: Value, status: Value) {
    let path = format!("{BUDGETS}/b");
    let _ = admin.delete(&path, &json!({})).await;
    let mut budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    for (field, value) in spec.as_object().unwrap() {
        budget["spec"][field] = value.clone();
    }
    let (code, budget) = admin.post(BUDGETS, &budget).await;
    assert_eq!(code, StatusCode::CREATED, "{budget}");
    let mut told = json!({"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 2});
    for (field, value) in status.as_object().unwrap() {
        told[field] = value.clone();
    }
    let (code, budget) = admin
        .merge(&format!("{path}/status"), &json!({"status": told}))
        .await;
    assert_eq!(code, StatusCode::OK, "{budget}");
}

fn condition(pod: &Value) -> &Value {
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|one| one["type"] == "DisruptionTarget");
    found.unwrap_or(&Value::Null)
}

#[tokio::test]
async fn pods_that_serve_nobody_cost_no_budget() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for (name, ready) in [("ready", "True"), ("unready", "False"), ("other", "False")] {
        run(&admin, name, ready).await;
    }
    set_budget(&admin, json!({}), json!({})).await;
    let (code, status) = evict(&admin, "ready").await;
    assert_eq!(code, StatusCode::TOO_MANY_REQUESTS, "{status}");
    assert_eq!(
        status["details"]["causes"][0]["message"],
        "The disruption budget b needs 1 healthy pods and has 1 currently"
    );
    let (_, pod) = admin.get(&format!("{PODS}/ready")).await;
    assert_eq!(condition(&pod), &Value::Null, "it was not touched");
    let (code, status) = evict(&admin, "unready").await;
    assert_eq!(code, StatusCode::CREATED, "{status}");
    let (_, pod) = admin.get(&format!("{PODS}/unready")).await;
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    let told = condition(&pod);
    assert_eq!(
        (&told["status"], &told["reason"], &told["message"]),
        (
            &json!("True"),
            &json!("EvictionByEvictionAPI"),
            &json!("Eviction API: evicting")
        )
    );
    let (_, budget) = admin.get(&format!("{BUDGETS}/b")).await;
    assert!(budget["status"].get("disruptedPods").is_none(), "{budget}");
    // Too few are healthy: now those that are not count as well, unless the budget says otherwise.
    set_budget(&admin, json!({}), json!({"currentHealthy": 0})).await;
    assert_eq!(
        evict(&admin, "other").await.0,
        StatusCode::TOO_MANY_REQUESTS
    );
    let always = json!({"unhealthyPodEvictionPolicy": "AlwaysAllow"});
    set_budget(&admin, always, json!({"currentHealthy": 0})).await;
    assert_eq!(evict(&admin, "other").await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_disruption_is_spent_once() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for name in ["a", "b"] {
        run(&admin, name, "True").await;
    }
    create(&admin, "waiting", json!({})).await;
    set_budget(
        &admin,
        json!({}),
        json!({"disruptionsAllowed": 1, "currentHealthy": 2}),
    )
    .await;
    assert_eq!(evict(&admin, "waiting").await.0, StatusCode::CREATED);
    assert_eq!(
        admin.get(&format!("{PODS}/waiting")).await.0,
        StatusCode::NOT_FOUND,
        "nobody ran it"
    );
    assert_eq!(evict(&admin, "a").await.0, StatusCode::CREATED);
    let (code, status) = evict(&admin, "b").await;
    assert_eq!(code, StatusCode::TOO_MANY_REQUESTS, "{status}");
    let (_, budget) = admin.get(&format!("{BUDGETS}/b")).await;
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["a"].is_string());
    assert_eq!(
        budget["status"]["conditions"][0]["reason"],
        "InsufficientPods"
    );
    // One that ends already is evicted again without a word.
    assert_eq!(evict(&admin, "a").await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn an_eviction_names_its_pod() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    create(&admin, "p", json!({})).await;
    let path = format!("{PODS}/p/eviction");
    for body in [json!({"metadata": {"name": "q"}}), json!({})] {
        let (code, status) = admin.post(&path, &body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{status}");
        assert_eq!(
            status["message"],
            "name in URL does not match name in Eviction object"
        );
    }
    let elsewhere = json!({"metadata": {"name": "p", "namespace": "other"}});
    assert_eq!(
        admin.post(&path, &elsewhere).await.0,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(admin.get(&format!("{PODS}/p")).await.0, StatusCode::OK);
}

//! Requests for certificates: who asks, who approves and what is issued are told by three parties,
//! and none may speak for another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Cluster, eventually};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

fn pem(label: &str) -> String {
    let text = format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    STANDARD.encode(text)
}

fn request(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"request": pem("CERTIFICATE REQUEST"),
        "signerName": "example.com/s", "usages": ["client auth"]}})
}

#[tokio::test]
async fn nobody_speaks_for_another() {
    let cluster = Cluster::start().await;
    let (admin, bob) = (cluster.admin(0), cluster.client(0, Some("bob")));
    let rules = json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "update"]}]);
    let role = json!({"metadata": {"name": "ask"}, "rules": rules});
    admin.post(&format!("{ROLES}/clusterroles"), &role).await;
    let binding = json!({"metadata": {"name": "ask"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ask"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}]});
    admin
        .post(&format!("{ROLES}/clusterrolebindings"), &binding)
        .await;
    let mut forged = request("r");
    forged["spec"]["username"] = "system:admin".into();
    forged["spec"]["groups"] = json!(["system:masters"]);
    forged["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    eventually("bob may ask", || async {
        bob.post(REQUESTS, &forged).await.0 == StatusCode::CREATED
    })
    .await;
    let path = format!("{REQUESTS}/r");
    let (_, made) = bob.get(&path).await;
    assert_eq!(made["spec"]["username"], "bob");
    assert_eq!(
        made["spec"]["groups"],
        json!(["people", "system:authenticated"])
    );
    assert!(made["status"].get("conditions").is_none(), "{made}");
    let mut changed = made.clone();
    changed["spec"]["username"] = "system:admin".into();
    changed["status"] = json!({"certificate": pem("CERTIFICATE")});
    let (code, kept) = bob.put(&path, &changed).await;
    assert_eq!(code, StatusCode::OK, "{kept}");
    assert_eq!(
        (&kept["spec"], &kept["status"]),
        (&made["spec"], &made["status"])
    );
    let approve = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Fine"}], "certificate": pem("CERTIFICATE")}});
    let (code, status) = admin.merge(&format!("{path}/status"), &approve).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("updates may not add a condition of type \"Approved\""),
        "{status}"
    );
    let (code, approved) = admin.merge(&format!("{path}/approval"), &approve).await;
    assert_eq!(code, StatusCode::OK, "{approved}");
    let condition = &approved["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Fine");
    assert!(condition["lastUpdateTime"].is_string());
    assert!(approved["status"].get("certificate").is_none());
    let issue = json!({"status": {"certificate": pem("CERTIFICATE"), "conditions": [{"type": "Approved", "status": "True", "reason": "Forged"}]}});
    let (code, issued) = admin.merge(&format!("{path}/status"), &issue).await;
    assert_eq!(code, StatusCode::OK, "{issued}");
    assert_eq!(issued["status"]["conditions"][0], *condition);
    assert_eq!(issued["status"]["certificate"], pem("CERTIFICATE"));
    let withdraw = json!({"status": {"conditions": null}});
    let (code, status) = admin.merge(&format!("{path}/approval"), &withdraw).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
}

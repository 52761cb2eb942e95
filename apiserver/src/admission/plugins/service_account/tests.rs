//! What the plugin fills in and refuses, by example, in upstream's words.

use serde_json::{Value, json};

use super::{MOUNT_PATH, ServiceAccount};
use crate::admission::{Operation, Plugin};
use crate::authz::testing::{Objects, pod_request};

fn account(name: &str, more: Value) -> Value {
    let mut account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "ns", "uid": "1"},
    });
    for (key, value) in more.as_object().unwrap() {
        account[key] = value.clone();
    }
    account
}

async fn admit(accounts: &[Value], pod: Value) -> Result<Value, String> {
    let plugin = ServiceAccount::new(Objects::shared(accounts));
    let mut request = pod_request(Operation::Create, pod, None);
    plugin
        .mutate(&mut request)
        .await
        .map_err(|status| status.message)?;
    plugin
        .validate(&request)
        .await
        .map_err(|status| status.message)?;
    Ok(request.object.unwrap())
}

fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"containers": [{"name": "c"}, {"name": "d"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

#[tokio::test]
async fn the_default_account_is_set_and_its_token_mounted() {
    let done = admit(&[account("default", json!({}))], pod(json!({})))
        .await
        .unwrap();
    assert_eq!(done["spec"]["serviceAccountName"], "default");
    assert_eq!(done["spec"]["serviceAccount"], "default");
    let volume = &done["spec"]["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert!(
        name.starts_with("kube-api-access-") && name.len() == 21,
        "{name}"
    );
    assert_eq!(
        volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3607
    );
    for container in done["spec"]["containers"].as_array().unwrap() {
        assert_eq!(
            container["volumeMounts"][0],
            json!({"name": name, "mountPath": MOUNT_PATH, "readOnly": true})
        );
    }
}

#[tokio::test]
async fn pod_and_account_may_decline_the_token() {
    let quiet = [account(
        "default",
        json!({"automountServiceAccountToken": false}),
    )];
    assert!(admit(&quiet, pod(json!({}))).await.unwrap()["spec"]["volumes"].is_null());
    let wants = pod(json!({"automountServiceAccountToken": true}));
    assert!(admit(&quiet, wants).await.unwrap()["spec"]["volumes"].is_array());
    let loud = [account("default", json!({}))];
    let declines = pod(json!({"automountServiceAccountToken": false}));
    assert!(admit(&loud, declines).await.unwrap()["spec"]["volumes"].is_null());
}

#[tokio::test]
async fn a_mount_of_ones_own_is_left_alone() {
    let own = pod(
        json!({"containers": [{"name": "c", "volumeMounts": [{"name": "x", "mountPath": MOUNT_PATH}]}]}),
    );
    let done = admit(&[account("default", json!({}))], own).await.unwrap();
    assert!(done["spec"]["volumes"].is_null());
    assert_eq!(
        done["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn pull_secrets_come_from_the_account() {
    let with = [account(
        "default",
        json!({"imagePullSecrets": [{"name": "reg"}]}),
    )];
    assert_eq!(
        admit(&with, pod(json!({}))).await.unwrap()["spec"]["imagePullSecrets"],
        json!([{"name": "reg"}])
    );
    let own = pod(json!({"imagePullSecrets": [{"name": "mine"}]}));
    assert_eq!(
        admit(&with, own).await.unwrap()["spec"]["imagePullSecrets"],
        json!([{"name": "mine"}])
    );
}

#[tokio::test]
async fn a_missing_account_is_named() {
    assert_eq!(
        admit(&[], pod(json!({"serviceAccountName": "robot"})))
            .await
            .unwrap_err(),
        r#"pods "p" is forbidden: error looking up service account ns/robot: serviceaccount "robot" not found"#
    );
}

#[tokio::test]
async fn mirror_pods_reach_for_nothing() {
    let mirror = |spec| {
        let mut pod = pod(spec);
        pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        pod
    };
    let done = admit(&[], mirror(json!({}))).await.unwrap();
    assert!(done["spec"]["serviceAccountName"].is_null());
    let refused = admit(&[], mirror(json!({"serviceAccountName": "a"})))
        .await
        .unwrap_err();
    assert!(
        refused.ends_with("a mirror pod may not reference service accounts"),
        "{refused}"
    );
    let refused = admit(
        &[],
        mirror(json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})),
    )
    .await
    .unwrap_err();
    assert!(
        refused.ends_with("a mirror pod may not reference secrets"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_account_may_limit_its_secrets() {
    let strict = [account(
        "default",
        json!({
            "metadata": {"name": "default", "namespace": "ns", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}},
            "secrets": [{"name": "good"}],
        }),
    )];
    let volume =
        |name: &str| pod(json!({"volumes": [{"name": "v", "secret": {"secretName": name}}]}));
    admit(&strict, volume("good")).await.unwrap();
    assert_eq!(
        admit(&strict, volume("bad")).await.unwrap_err(),
        r#"pods "p" is forbidden: volume with secret.secretName="bad" is not allowed because service account default does not reference that secret"#
    );
}

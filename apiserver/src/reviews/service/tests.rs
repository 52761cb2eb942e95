//! Questions and answers, as the real server gives them.

use std::sync::{Arc, Mutex};

use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{Parts, Question, Reviews};
use crate::authn::authenticator::Anonymous;
use crate::authn::keys::SigningKey;
use crate::authn::service_account::Settings;
use crate::authn::{Authenticator, AuthnConfig, UserInfo};
use crate::authz::testing::Objects;
use crate::authz::{Chain, Mode};

const ISSUER: &str = "https://issuer";

fn reviews() -> Reviews {
    let rbac = "rbac.authorization.k8s.io/v1";
    let reader = Objects::shared(&[
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "ns", "name": "bot", "uid": "sa-1"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": "web", "uid": "pod-1"}, "spec": {"serviceAccountName": "bot", "nodeName": "n1"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "ns", "name": "other", "uid": "pod-2"}, "spec": {"serviceAccountName": "x"}}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "node-1"}}),
        json!({"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        json!({"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "jane"}]}),
    ]);
    let settings = Settings {
        signing: Some(
            SigningKey::from_pem(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap(),
        ),
        issuers: vec![ISSUER.to_owned()],
        ..Settings::default()
    };
    let config = AuthnConfig {
        client_ca: None,
        service_accounts: settings,
        anonymous: Anonymous::Allowed,
    };
    Reviews::new(Parts {
        authenticator: Arc::new(Authenticator::new(config, reader.clone())),
        authorizer: Arc::new(Chain::new(&[Mode::Rbac], reader.clone())),
        reader,
        token_seconds_max: Some(86_400),
    })
}

async fn ask_as(user: &UserInfo, path: &str, body: Value) -> Result<Value, String> {
    let parts: Vec<&str> = path.split('|').collect();
    let [group, resource, subresource, namespace, name] = parts.as_slice() else {
        panic!("{path}")
    };
    let question = Question {
        group,
        resource,
        subresource,
        namespace,
        name,
    };
    assert!(question.is_review());
    let answer = reviews().handle(&question, body, user, &|_| {}).await;
    answer.map_err(|status| format!("{} {}", status.code, status.message))
}

async fn ask(path: &str, body: Value) -> Result<Value, String> {
    ask_as(
        &UserInfo {
            name: "jane".to_owned(),
            ..UserInfo::default()
        },
        path,
        body,
    )
    .await
}

const SAR: &str = "authorization.k8s.io|subjectaccessreviews|||";
const LOCAL: &str = "authorization.k8s.io|localsubjectaccessreviews||ns|";
const SELF: &str = "authorization.k8s.io|selfsubjectaccessreviews|||";
const TOKEN: &str = "|serviceaccounts|token|ns|bot";

#[tokio::test]
async fn access_reviews_answer_with_reasons() {
    let spec = json!({"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "ns"}});
    let answer = ask(SAR, json!({"spec": spec})).await.unwrap();
    assert_eq!(
        answer["status"],
        json!({"allowed": true, "reason": r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to User "jane""#})
    );
    assert_eq!(
        (&answer["kind"], &answer["metadata"]),
        (&json!("SubjectAccessReview"), &json!({}))
    );
    let spec = json!({"resourceAttributes": {"verb": "list", "resource": "pods"}});
    assert_eq!(
        ask(SELF, json!({"spec": spec})).await.unwrap()["status"],
        json!({"allowed": false})
    );
    let local = json!({"metadata": {"namespace": "ns"}, "spec": {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "ns"}}});
    assert_eq!(ask(LOCAL, local).await.unwrap()["status"]["allowed"], true);
}

#[tokio::test]
async fn faulty_questions_are_refused_in_upstreams_words() {
    assert_eq!(
        ask(SAR, json!({"spec": {}})).await.unwrap_err(),
        r#"422 .authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]"#
    );
    let both = json!({"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {"path": "/", "verb": "get"}});
    assert_eq!(
        ask(SELF, json!({"spec": both})).await.unwrap_err(),
        r#"422 .authorization.k8s.io "" is invalid: spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: cannot be specified in combination with resourceAttributes"#
    );
    let elsewhere = json!({"metadata": {"namespace": "ns"}, "spec": {"user": "a", "resourceAttributes": {"namespace": "other"}}});
    assert_eq!(
        ask(LOCAL, elsewhere).await.unwrap_err(),
        r#"422 .authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace"#
    );
    assert_eq!(
        ask("authorization.k8s.io|selfsubjectrulesreviews|||", json!({}))
            .await
            .unwrap_err(),
        "400 no namespace on request"
    );
}

#[tokio::test]
async fn one_may_ask_what_one_is_and_may() {
    let answer = ask("authentication.k8s.io|selfsubjectreviews|||", json!({}))
        .await
        .unwrap();
    assert_eq!(answer["status"]["userInfo"], json!({"username": "jane"}));
    let answer = ask(
        "authorization.k8s.io|selfsubjectrulesreviews|||",
        json!({"spec": {"namespace": "ns"}}),
    )
    .await
    .unwrap();
    assert_eq!(
        answer["status"],
        json!({
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}], "nonResourceRules": [], "incomplete": false,
        })
    );
}

#[tokio::test]
async fn tokens_are_asked_for_and_reviewed() {
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "pod-1"});
    let service = reviews();
    let question = Question {
        group: "",
        resource: "serviceaccounts",
        subresource: "token",
        namespace: "ns",
        name: "bot",
    };
    let warnings = Mutex::new(Vec::new());
    let warn = |text: String| warnings.lock().unwrap().push(text);
    let user = UserInfo::default();
    let body = json!({"spec": {"boundObjectRef": reference, "expirationSeconds": 100_000}});
    let answer = service.handle(&question, body, &user, &warn).await.unwrap();
    assert_eq!(answer["spec"]["audiences"], json!([ISSUER]));
    assert_eq!(answer["spec"]["expirationSeconds"], 86_400);
    assert_eq!(
        *warnings.lock().unwrap(),
        ["requested expiration of 100000 seconds shortened to 86400 seconds"]
    );
    let review = Question {
        group: "authentication.k8s.io",
        resource: "tokenreviews",
        subresource: "",
        namespace: "",
        name: "",
    };
    let body = json!({"spec": {"token": answer["status"]["token"]}});
    let status = service.handle(&review, body, &user, &warn).await.unwrap()["status"].take();
    assert_eq!(
        (&status["authenticated"], &status["audiences"]),
        (&json!(true), &json!([ISSUER]))
    );
    assert_eq!(status["user"]["username"], "system:serviceaccount:ns:bot");
    assert_eq!(
        status["user"]["extra"]["authentication.kubernetes.io/node-uid"],
        json!(["node-1"])
    );
    let body = json!({"spec": {"token": answer["status"]["token"], "audiences": ["x"]}});
    let status = service.handle(&review, body, &user, &warn).await.unwrap()["status"].take();
    assert_eq!(
        status,
        json!({"user": {}, "error": format!("[invalid bearer token, token audiences [\"{ISSUER}\"] is invalid for the target audiences [\"x\"]]")})
    );
    let body = json!({"spec": {"token": "abc"}});
    let status = service.handle(&review, body, &user, &warn).await.unwrap()["status"].take();
    assert_eq!(status, json!({"user": {}, "error": "invalid bearer token"}));
}

#[tokio::test]
async fn faulty_token_requests_are_refused_in_upstreams_words() {
    let cases = [
        (
            "|serviceaccounts|token|ns|none",
            json!({}),
            r#"404 serviceaccounts "none" not found"#,
        ),
        (
            TOKEN,
            json!({"spec": {"expirationSeconds": 10}}),
            r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"#,
        ),
        (
            TOKEN,
            json!({"metadata": {"name": "o"}}),
            r#"422 TokenRequest.authentication.k8s.io "bot" is invalid: metadata.name: Invalid value: "o": must match the service account name if specified"#,
        ),
        (
            TOKEN,
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "zz"}}}),
            r#"404 pods "zz" not found"#,
        ),
        (
            TOKEN,
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "other"}}}),
            r#"400 cannot bind token for serviceaccount "bot" to pod running with different serviceaccount name."#,
        ),
        (
            TOKEN,
            json!({"spec": {"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "zz"}}}),
            "400 cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
        (
            TOKEN,
            json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "old"}}}),
            r#"409 Operation cannot be fulfilled on Pod "web": the UID in the bound object reference (old) does not match the UID in record. The object might have been deleted and then recreated"#,
        ),
        (
            "authentication.k8s.io|tokenreviews|||",
            json!({"spec": {}}),
            "400 token is required for TokenReview in authentication",
        ),
    ];
    for (path, body, expected) in cases {
        assert_eq!(ask(path, body).await.unwrap_err(), expected);
    }
}

//! What a node may do and what not, each refusal in upstream's words.

use serde_json::{Value, json};

use super::NodeRestriction;
use crate::admission::testing::{Permits, node_user};
use crate::admission::{Operation, Plugin, Request};
use crate::authn::UserInfo;
use crate::authz::builtin_kind;
use crate::authz::testing::Objects;

/// A write: operation, `group/version/resource`, subresource, namespace and name.
struct Write<'a>(Operation, &'a str, &'a str, &'a str, &'a str);

fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "uid": format!("u-{name}")},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}], "volumes": [
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]}})
}

fn mirror() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m", "namespace": "ns",
        "annotations": {"kubernetes.io/config.mirror": "h"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}})
}

fn plugin() -> NodeRestriction {
    let objects = [
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u1"}}),
        pod("here", "n1"),
        pod("there", "n2"),
    ];
    let permits = Permits::only("request-serviceaccounts-token-audience allowed robot");
    NodeRestriction::new(Objects::shared(&objects), Some(permits))
}

async fn as_user(
    user: &UserInfo,
    write: Write<'_>,
    object: Option<Value>,
    old: Option<Value>,
) -> String {
    let Write(operation, resource, subresource, namespace, name) = write;
    let parts: Vec<&str> = resource.split('/').collect();
    let mut request = Request {
        operation,
        kind: builtin_kind(parts[0], parts[1], parts[2]),
        subresource: Some(subresource).filter(|name| !name.is_empty()),
        namespace,
        name,
        user,
        object,
        old,
        dry_run: false,
    };
    match plugin().mutate(&mut request).await {
        Ok(()) => "ok".to_owned(),
        Err(status) => {
            let text = status.message;
            let why = text
                .split_once(" is forbidden: ")
                .map(|(_, why)| why.to_owned());
            why.unwrap_or(text)
        }
    }
}

async fn judge(write: Write<'_>, object: Option<Value>, old: Option<Value>) -> String {
    as_user(&node_user("n1"), write, object, old).await
}

use Operation::{Create, Delete, Update};

#[tokio::test]
async fn others_are_not_its_business() {
    let write = || Write(Delete, "/v1/pods", "", "ns", "there");
    let someone = UserInfo {
        name: "system:node:n1".into(),
        ..UserInfo::default()
    };
    assert_eq!(as_user(&someone, write(), None, None).await, "ok");
    assert_eq!(
        as_user(&node_user(""), write(), None, None).await,
        "could not determine node from user \"system:node:\""
    );
}

#[tokio::test]
async fn a_node_changes_its_own_node_only() {
    let nodes = "/v1/nodes";
    let node = |labels: Value| json!({"metadata": {"name": "n1", "labels": labels}, "spec": {"taints": [{"key": "a"}]}});
    let fine = node(json!({"kubernetes.io/os": "linux", "mine": "x"}));
    let other = json!({"metadata": {"name": "n2"}});
    assert_eq!(
        judge(
            Write(Create, nodes, "", "", "n2"),
            Some(other.clone()),
            None
        )
        .await,
        "node \"n1\" is not allowed to modify node \"n2\""
    );
    assert_eq!(
        judge(
            Write(Update, nodes, "status", "", "n2"),
            Some(other.clone()),
            Some(other)
        )
        .await,
        "node \"n1\" is not allowed to modify node \"n2\""
    );
    assert_eq!(
        judge(Write(Create, nodes, "", "", "n1"), Some(fine.clone()), None).await,
        "ok"
    );
    let restricted =
        node(json!({"node-restriction.kubernetes.io/x": "y", "kubernetes.io/role": "z"}));
    assert_eq!(
        judge(
            Write(Create, nodes, "", "", "n1"),
            Some(restricted.clone()),
            None
        )
        .await,
        "node \"n1\" is not allowed to set the following labels: kubernetes.io/role, node-restriction.kubernetes.io/x"
    );
    let update = || Write(Update, nodes, "", "", "n1");
    assert_eq!(
        judge(update(), Some(fine.clone()), Some(fine.clone())).await,
        "ok"
    );
    assert_eq!(
        judge(update(), Some(fine.clone()), Some(restricted)).await,
        "is not allowed to modify labels: kubernetes.io/role, node-restriction.kubernetes.io/x"
    );
    let mut freed = fine.clone();
    freed["spec"]["taints"] = json!([]);
    assert_eq!(
        judge(update(), Some(freed), Some(fine)).await,
        "node \"n1\" is not allowed to modify taints"
    );
}

#[tokio::test]
async fn a_node_makes_mirror_pods_of_its_own_only() {
    let made = async |change: fn(&mut Value)| {
        let mut pod = mirror();
        change(&mut pod);
        judge(Write(Create, "/v1/pods", "", "ns", "m"), Some(pod), None).await
    };
    assert_eq!(made(|_| {}).await, "ok");
    assert_eq!(
        made(|pod| pod["metadata"]["annotations"] = json!({})).await,
        "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"
    );
    assert_eq!(
        made(|pod| pod["spec"]["nodeName"] = "n2".into()).await,
        "node \"n1\" can only create pods with spec.nodeName set to itself"
    );
    assert_eq!(
        made(|pod| pod["metadata"]["ownerReferences"] = json!([])).await,
        "node \"n1\" can only create pods with an owner reference set to itself"
    );
    assert_eq!(
        made(|pod| pod["metadata"]["ownerReferences"][0]["uid"] = "u9".into()).await,
        "node n1 UID mismatch: expected u9 got u1"
    );
    for (volume, what) in [
        (
            json!({"configMap": {"name": "x"}}),
            "configmaps (via configmap volumes)",
        ),
        (
            json!({"persistentVolumeClaim": {"claimName": "x"}}),
            "persistentvolumeclaims",
        ),
        (
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
            "serviceaccounts (via projected volumes)",
        ),
        (json!({"secret": {"secretName": "x"}}), "secrets"),
    ] {
        let mut pod = mirror();
        pod["spec"]["volumes"][0] = volume;
        assert_eq!(
            judge(Write(Create, "/v1/pods", "", "ns", "m"), Some(pod), None).await,
            format!("node \"n1\" can not create pods that reference {what}")
        );
    }
}

#[tokio::test]
async fn a_node_reports_evicts_and_deletes_its_own_pods_only() {
    let pods = "/v1/pods";
    let (here, there) = (Some(pod("here", "n1")), Some(pod("there", "n2")));
    assert_eq!(
        judge(Write(Delete, pods, "", "ns", "here"), None, here.clone()).await,
        "ok"
    );
    assert_eq!(
        judge(Write(Delete, pods, "", "ns", "there"), None, there.clone()).await,
        "node \"n1\" can only delete pods with spec.nodeName set to itself"
    );
    let status = || Write(Update, pods, "status", "ns", "p");
    assert_eq!(judge(status(), here.clone(), here.clone()).await, "ok");
    assert_eq!(
        judge(status(), there.clone(), there).await,
        "node \"n1\" can only update pod status for pods with spec.nodeName set to itself"
    );
    let mut labelled = here.clone().unwrap();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        judge(status(), Some(labelled), here.clone()).await,
        "node \"n1\" cannot update labels through pod status"
    );
    let evict = async |name: &str| {
        let eviction = Some(json!({"metadata": {"name": name}}));
        judge(Write(Create, pods, "eviction", "ns", name), eviction, None).await
    };
    assert_eq!(evict("here").await, "ok");
    assert_eq!(
        evict("there").await,
        "node n1 can only evict pods with spec.nodeName set to itself"
    );
    assert_eq!(evict("none").await, "pods \"none\" not found");
    assert_eq!(
        judge(
            Write(Create, pods, "binding", "ns", "here"),
            here.clone(),
            None
        )
        .await,
        "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed"
    );
    assert!(
        judge(Write(Update, pods, "", "ns", "here"), here.clone(), here)
            .await
            .starts_with("unexpected operation \"UPDATE\"")
    );
}

#[tokio::test]
async fn a_node_gets_tokens_for_its_own_pods_only() {
    let asked = async |name: &str, uid: &str, audience: &str| {
        let spec = json!({"audiences": [audience],
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}});
        let write = Write(Create, "/v1/serviceaccounts", "token", "ns", "robot");
        judge(write, Some(json!({"spec": spec})), None).await
    };
    assert_eq!(asked("here", "u-here", "vault").await, "ok");
    assert_eq!(asked("here", "u-here", "allowed").await, "ok");
    assert_eq!(
        asked("here", "u-here", "other").await,
        "audience \"other\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this audience"
    );
    assert_eq!(
        asked("there", "u-there", "vault").await,
        "node requested token bound to a pod scheduled on a different node"
    );
    assert!(
        asked("here", "u9", "vault")
            .await
            .contains("(u9) does not match")
    );
    assert_eq!(asked("none", "u", "vault").await, "pods \"none\" not found");
    let write = Write(Create, "/v1/serviceaccounts", "token", "ns", "robot");
    assert_eq!(
        judge(write, Some(json!({"spec": {}})), None).await,
        "node requested token not bound to a pod"
    );
}

#[tokio::test]
async fn a_node_keeps_to_its_own_name_elsewhere() {
    let named = |name: &str| Some(json!({"metadata": {"name": name}}));
    let leases = "coordination.k8s.io/v1/leases";
    let lease = async |namespace: &str, name: &str| {
        judge(Write(Create, leases, "", namespace, ""), named(name), None).await
    };
    assert_eq!(lease("kube-node-lease", "n1").await, "ok");
    assert!(
        lease("kube-node-lease", "n2")
            .await
            .contains("same name as the requesting node")
    );
    assert!(
        lease("kube-system", "n1")
            .await
            .contains("system namespace")
    );
    let csi = "storage.k8s.io/v1/csinodes";
    assert_eq!(
        judge(Write(Update, csi, "", "", "n1"), named("n1"), named("n1")).await,
        "ok"
    );
    assert_ne!(
        judge(Write(Update, csi, "", "", "n2"), named("n2"), named("n2")).await,
        "ok"
    );
    let slices = "resource.k8s.io/v1/resourceslices";
    let slice = |node: &str| Some(json!({"spec": {"nodeName": node}}));
    assert_eq!(
        judge(Write(Create, slices, "", "", "s"), slice("n1"), None).await,
        "ok"
    );
    assert_ne!(
        judge(Write(Delete, slices, "", "", "s"), None, slice("n2")).await,
        "ok"
    );
    let claims = "/v1/persistentvolumeclaims";
    let claim = |label: &str, size: &str| {
        Some(
            json!({"metadata": {"labels": {"a": label}}, "status": {"capacity": {"storage": size}}}),
        )
    };
    let status = || Write(Update, claims, "status", "ns", "c");
    assert_eq!(
        judge(status(), claim("x", "2Gi"), claim("x", "1Gi")).await,
        "ok"
    );
    assert_ne!(
        judge(status(), claim("y", "1Gi"), claim("x", "1Gi")).await,
        "ok"
    );
    assert_eq!(
        judge(
            Write(Update, claims, "", "ns", "c"),
            claim("x", "1"),
            claim("x", "1")
        )
        .await,
        "may only update PVC status"
    );
}

#[tokio::test]
async fn a_node_asks_for_certificates_in_its_own_name_only() {
    use super::certificate_request::testing::asked;
    let ask = async |signer: &str, name: &str| {
        let write = Write(
            Create,
            "certificates.k8s.io/v1/certificatesigningrequests",
            "",
            "",
            "r",
        );
        let request = asked(signer, name, &["system:nodes"]);
        judge(write, Some(request), None).await
    };
    let serving = "kubernetes.io/kubelet-serving";
    assert_eq!(ask(serving, "system:node:n1").await, "ok");
    assert_eq!(
        ask(serving, "system:node:n2").await,
        "can only create a node CSR with CN=system:node:n1"
    );
    assert_eq!(ask("example.com/other", "anyone").await, "ok");
}

//! Objects that lie in the store in another form than they would be written in now.

use apiserver::storage::{Guarded, Outcome, Step};
use http::StatusCode;
use serde_json::{Value, json};

use super::pods::PODS;
use crate::client::version;
use crate::harness::{Cluster, eventually};

/// Stores a value as another version of this server would have.
async fn store(cluster: &Cluster, key: &str, value: &Value) {
    let write = Guarded {
        key: key.to_owned().into(),
        expected: 0,
        step: Step::Put {
            value: value.to_string().into(),
            lease: 0,
        },
    };
    let outcome = cluster.store.client().commit(&[write]).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
}

#[tokio::test]
async fn an_object_from_before_a_default_can_still_be_changed() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    // Of all that a pod has by default, this one has nothing. What admission would add it bears.
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "old", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {"nodeName": "n", "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "x"}]}, "status": {"phase": "Running"}});
    store(&cluster, "/registry/pods/default/old", &pod).await;
    let path = format!("{PODS}/old");
    eventually("the pod is seen", || async {
        admin.get(&path).await.0 == StatusCode::OK
    })
    .await;
    let status = json!({"status": {"phase": "Running", "podIP": "10.1.0.1"}});
    let (code, told) = admin.merge(&format!("{path}/status"), &status).await;
    assert_eq!(code, StatusCode::OK, "{told}");
    assert_eq!(
        told["metadata"]["generation"], 1,
        "only the status has changed"
    );
    store(&cluster, "/registry/pods/default/older", &{
        let mut other = pod.clone();
        other["metadata"]["name"] = "older".into();
        other
    })
    .await;
    let path = format!("{PODS}/older");
    eventually("the pod is seen", || async {
        admin.get(&path).await.0 == StatusCode::OK
    })
    .await;
    let (_, before) = admin.get(&path).await;
    let (code, same) = admin.merge(&path, &json!({})).await;
    assert_eq!(code, StatusCode::OK, "{same}");
    assert_eq!(version(&same), version(&before), "nothing was asked for");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, labelled) = admin.merge(&path, &label).await;
    assert_eq!(code, StatusCode::OK, "{labelled}");
    assert_eq!(labelled["metadata"]["generation"], 1);
    assert_eq!(labelled["spec"]["restartPolicy"], "Always");
    let (code, marked) = admin.delete(&path, &json!({})).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(
        marked["metadata"]["deletionGracePeriodSeconds"], 30,
        "the default counts here too"
    );
}

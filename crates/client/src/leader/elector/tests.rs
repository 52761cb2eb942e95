//! What becomes of the lease when its holder stops, against a service in place of the api-server that keeps one lease.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Config, Elector, Observed};

/// A lease at version 2, held by `holder`.
fn lease(holder: &str) -> Value {
    json!({
        "metadata": {"name": "x", "namespace": "kube-system", "resourceVersion": "2"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4},
    })
}

/// A client of a server that keeps `lease` and refuses writes over another version.
fn client(lease: &Arc<Mutex<Value>>) -> kube::Client {
    let lease = lease.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let lease = lease.clone();
        async move {
            let is_write = request.method() == Method::PUT;
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut kept = lease.lock();
            let mut status = StatusCode::OK;
            let mut answer = kept.clone();
            if is_write {
                let new: Value = serde_json::from_slice(&body).unwrap();
                let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
                if version(&new) == version(&kept) {
                    kept.clone_from(&new);
                    answer = new;
                } else {
                    status = StatusCode::CONFLICT;
                    answer = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409});
                }
            }
            let body = Full::new(Bytes::from(answer.to_string()));
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    kube::Client::new(service, "default")
}

/// The holder after `a`, which last saw the lease as its own at version `seen`, released it.
async fn released(holder: &str, seen: &str) -> String {
    let kept = Arc::new(Mutex::new(lease(holder)));
    let config = Config {
        identity: "a".to_owned(),
        ..Config::new("kube-system", "x")
    };
    let mut elector = Elector::new(client(&kept), config).unwrap();
    let mut own: Lease = serde_json::from_value(lease("a")).unwrap();
    own.metadata.resource_version = Some(seen.to_owned());
    elector.observed = Some(Observed {
        lease: own,
        since: Instant::now(),
    });
    elector.release().await;
    let kept = kept.lock();
    assert_eq!(kept["spec"]["leaseTransitions"], 4);
    kept["spec"]["holderIdentity"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_lease_is_released_over_a_renewal_whose_answer_was_lost() {
    assert_eq!(released("a", "2").await, "");
    assert_eq!(released("a", "1").await, "");
    // It is somebody else's already.
    assert_eq!(released("b", "1").await, "b");
}

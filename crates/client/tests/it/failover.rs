//! Proves that requests reach a server that lives, and that a write is never sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::Tasks;
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::net::TcpListener;

use crate::server::{connect, serve};

fn namespace() -> serde_json::Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a" } })
}

#[tokio::test]
async fn a_dead_server_is_passed_over_for_reads_and_writes() {
    let tasks = Tasks::new("servers");
    let live = serve(&tasks, |_, _, _| Some((StatusCode::OK, namespace()))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    // The client begins at a random one: several clients meet both orders.
    for _ in 0..8 {
        let api: Api<Namespace> = Api::all(connect(&[dead, live]).await);
        api.get("a").await.unwrap();
        let body: Namespace = serde_json::from_value(namespace()).unwrap();
        api.create(&PostParams::default(), &body).await.unwrap();
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_may_have_been_executed_is_sent_again_only_if_it_reads() {
    let tasks = Tasks::new("servers");
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (reads.clone(), writes.clone());
    let count = move |method: Method| {
        let counter = if method == Method::GET {
            &counts.0
        } else {
            &counts.1
        };
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let other = count.clone();
    let breaks = serve(&tasks, move |method, _, _| {
        count(method);
        None
    });
    let answers = serve(&tasks, move |method, _, _| {
        other(method);
        Some((StatusCode::OK, namespace()))
    });
    let (breaks, answers) = (breaks.await, answers.await);
    let body: Namespace = serde_json::from_value(namespace()).unwrap();
    let mut failed = 0;
    for _ in 0..16 {
        let api: Api<Namespace> = Api::all(connect(&[breaks, answers]).await);
        let created = api.create(&PostParams::default(), &body).await;
        failed += usize::from(created.is_err());
        // After the failure the client has moved on.
        api.get("a").await.unwrap();
        api.create(&PostParams::default(), &body).await.unwrap();
    }
    assert_eq!(
        writes.load(Ordering::Relaxed),
        32,
        "each write was sent once"
    );
    assert!(failed < 16, "not every client begins at the broken server");
    assert!(reads.load(Ordering::Relaxed) >= 16);
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

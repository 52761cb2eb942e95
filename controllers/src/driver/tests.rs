//! Which client each controller gets. Nothing is sent: no task is run.

use std::io::Write;
use std::sync::Arc;

use client::ConnectOptions;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::Builder;
use crate::credentials::{ActAs, Credentials};
use crate::metrics::Metrics;
use crate::options::Options;

async fn builder(act_as: ActAs) -> Builder {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    file.write_all(config.to_string().as_bytes()).unwrap();
    let connect = ConnectOptions {
        kubeconfig: Some(file.path().to_owned()),
        user_agent: "test".to_owned(),
        ..ConnectOptions::default()
    };
    let own = client::connect(&connect).await.unwrap();
    let credentials = Credentials::build(act_as, &connect, own).await.unwrap();
    let metrics = Metrics::new(&Mutex::new(Registry::default()));
    Builder::new(credentials, Arc::new(Options::default()), metrics)
}

/// The tasks that building two controllers of one account and one of another adds.
async fn tasks(act_as: ActAs) -> Vec<&'static str> {
    let mut builder = builder(act_as).await;
    builder.add("a", |builder| drop(builder.recorder("a")));
    builder.add("b", |_| {});
    builder.add("a", |_| {});
    builder.runs.iter().map(|run| run.name).collect()
}

#[tokio::test]
async fn controllers_of_one_account_share_its_tokens() {
    let names = tasks(ActAs::ServiceAccounts).await;
    assert_eq!(names, ["token", "events", "token"]);
}

#[tokio::test]
async fn controllers_that_act_as_the_process_need_no_tokens() {
    assert_eq!(tasks(ActAs::Process).await, ["events"]);
}

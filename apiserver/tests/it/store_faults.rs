//! The store goes away and comes back: reads and writes fail clearly meanwhile, and watches go on
//! without a gap.

use http::StatusCode;
use serde_json::json;

use crate::client::version;
use crate::harness::{Cluster, eventually};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_restart_of_the_store_loses_nothing() {
    let mut cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (_, made) = admin.post(MAPS, &json!({"metadata": {"name": "a"}})).await;
    let mut watch = admin
        .watch(&format!(
            "{MAPS}?watch=1&resourceVersion={}",
            version(&made)
        ))
        .await;
    cluster.store.kill();
    assert_eq!(
        admin.get(&format!("{MAPS}?resourceVersion=0")).await.0,
        StatusCode::OK,
        "any state will do"
    );
    eventually("the server is not ready", || async {
        admin.get("/readyz").await.0 == StatusCode::INTERNAL_SERVER_ERROR
    })
    .await;
    assert_eq!(admin.get("/livez").await.0, StatusCode::OK);
    cluster.store.restart();
    let name = |n: usize| json!({"metadata": {"name": format!("b{n}")}});
    eventually("writes work again", || async {
        admin.post(MAPS, &name(0)).await.0 == StatusCode::CREATED
    })
    .await;
    admin.post(MAPS, &name(1)).await;
    assert_eq!(watch.next_short().await, "ADDED b0");
    assert_eq!(watch.next_short().await, "ADDED b1");
    eventually("the server is ready", || async {
        admin.get("/readyz").await.0 == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn a_page_of_a_compacted_list_says_how_to_go_on() {
    let mut cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    for n in 0..4 {
        admin
            .post(MAPS, &json!({"metadata": {"name": format!("m{n}")}}))
            .await;
    }
    let (_, first) = admin.get(&format!("{MAPS}?limit=2")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    admin.post(MAPS, &json!({"metadata": {"name": "z"}})).await;
    let etcd = cluster.store.client();
    let now = etcd.current_revision().await.unwrap();
    etcd.compact(i64::try_from(now).unwrap()).await.unwrap();
    // The server still knows this state from its own events.
    let (code, rest) = admin.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    assert_eq!(
        (code, rest["items"].as_array().unwrap().len()),
        (StatusCode::OK, 2)
    );
    // A second server has never seen it.
    let other = cluster.add_server().await;
    let (code, status) = other.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    assert_eq!(
        (code, &status["reason"]),
        (StatusCode::GONE, &json!("Expired"))
    );
    let token = status["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = other.get(&format!("{MAPS}?limit=9&continue={token}")).await;
    assert_eq!(
        (code, rest["items"].as_array().unwrap().len()),
        (StatusCode::OK, 3)
    );
}

#[tokio::test]
async fn a_dead_member_is_left_for_one_that_answers() {
    let cluster = Cluster::start().await;
    let mut config = cluster.store.config();
    // Nobody listens at the first address; connections to it are refused.
    config.endpoints.insert(0, "http://127.0.0.1:1".into());
    let etcd = apiserver::storage::Etcd::new(&config).unwrap();
    let write = apiserver::storage::Guarded {
        key: "outside/a".into(),
        expected: 0,
        step: apiserver::storage::Step::Put {
            value: "x".into(),
            lease: 0,
        },
    };
    let outcome = etcd.commit(std::slice::from_ref(&write)).await.unwrap();
    assert!(matches!(outcome, apiserver::storage::Outcome::Committed(_)));
    let outcome = etcd.commit(&[write]).await.unwrap();
    assert!(
        matches!(outcome, apiserver::storage::Outcome::Conflict(_)),
        "the key is taken now"
    );
}

//! Watches: where they begin, what they tell, and that they miss and repeat nothing.

use http::StatusCode;
use serde_json::{Value, json};

use crate::client::version;
use crate::harness::{Cluster, eventually};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"l": label}}})
}

#[tokio::test]
async fn a_watch_tells_every_change_in_order() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    admin.post(MAPS, &map("before", "a")).await;
    let (_, list) = admin.get(MAPS).await;
    let mut whole = admin.watch(&format!("{MAPS}?watch=1")).await;
    let mut since = admin
        .watch(&format!(
            "{MAPS}?watch=1&resourceVersion={}",
            version(&list)
        ))
        .await;
    let mut selected = admin
        .watch(&format!("{MAPS}?watch=1&labelSelector=l%3Da"))
        .await;
    let mut named = admin
        .watch(&format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Dx"))
        .await;
    assert_eq!(whole.next_short().await, "ADDED before");
    assert_eq!(selected.next_short().await, "ADDED before");
    admin.post(MAPS, &map("x", "a")).await;
    admin
        .merge(
            &format!("{MAPS}/x"),
            &json!({"metadata": {"labels": {"l": "b"}}}),
        )
        .await;
    admin
        .merge(
            &format!("{MAPS}/x"),
            &json!({"metadata": {"labels": {"l": "a"}}}),
        )
        .await;
    let (_, gone) = admin.delete(&format!("{MAPS}/x"), &json!({})).await;
    assert_eq!(gone["status"], "Success");
    for watch in [&mut whole, &mut since, &mut named] {
        for expected in ["ADDED x", "MODIFIED x", "MODIFIED x", "DELETED x"] {
            assert_eq!(watch.next_short().await, expected);
        }
    }
    // A change that moves an object out of the selection looks like its deletion.
    for expected in ["ADDED x", "DELETED x", "ADDED x", "DELETED x"] {
        assert_eq!(selected.next_short().await, expected);
    }
}

#[tokio::test]
async fn a_resumed_watch_stays_in_its_namespace() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let other = "/api/v1/namespaces/kube-system/configmaps";
    let (_, list) = admin.get(MAPS).await;
    // One name in two namespaces, the other one's first and last.
    for path in [other, MAPS, other] {
        admin.post(path, &map("x", "a")).await;
        admin.delete(&format!("{path}/x"), &json!({})).await;
    }
    let since = format!("watch=1&resourceVersion={}", version(&list));
    let selectors = [
        "",
        "&labelSelector=l%3Da",
        "&fieldSelector=metadata.name%3Dx",
    ];
    let mut watches = Vec::new();
    for selector in selectors {
        watches.push(admin.watch(&format!("{MAPS}?{since}{selector}")).await);
    }
    // What comes live is told right behind it.
    for path in [other, MAPS] {
        admin.post(path, &map("x", "a")).await;
    }
    for (watch, selector) in watches.iter_mut().zip(selectors) {
        for expected in ["ADDED", "DELETED", "ADDED"] {
            let event = watch.next().await.unwrap();
            let namespace = &event["object"]["metadata"]["namespace"];
            let told = (event["type"].as_str(), namespace.as_str());
            assert_eq!(told, (Some(expected), Some("default")), "{selector}");
        }
    }
}

#[tokio::test]
async fn a_watch_may_ask_for_all_the_time_there_is() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = format!("{MAPS}?watch=1&timeoutSeconds=9223372036854775807");
    let mut watch = admin.watch(&path).await;
    admin.post(MAPS, &map("x", "a")).await;
    assert_eq!(watch.next_short().await, "ADDED x");
}

#[tokio::test]
async fn a_deletion_carries_its_own_version() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (_, made) = admin.post(MAPS, &map("x", "a")).await;
    let mut watch = admin
        .watch(&format!(
            "{MAPS}?watch=1&resourceVersion={}",
            version(&made)
        ))
        .await;
    admin.delete(&format!("{MAPS}/x"), &json!({})).await;
    let event = watch.next().await.unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert!(number(version(&event["object"])) > number(version(&made)));
    let path = format!(
        "{MAPS}?watch=1&resourceVersion={}",
        version(&event["object"])
    );
    let mut resumed = admin.watch(&path).await;
    admin.post(MAPS, &map("y", "a")).await;
    assert_eq!(resumed.next_short().await, "ADDED y");
}

#[tokio::test]
async fn a_streamed_list_ends_with_its_bookmark() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (_, made) = admin.post(MAPS, &map("x", "a")).await;
    let query =
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = admin.watch(&format!("{MAPS}?{query}")).await;
    assert_eq!(watch.next_short().await, "ADDED x");
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(
        version(&bookmark["object"]).parse::<u64>().unwrap() >= version(&made).parse().unwrap()
    );
    admin.post(MAPS, &map("y", "a")).await;
    assert_eq!(watch.next_short().await, "ADDED y");
    let (code, _) = admin
        .get(&format!("{MAPS}?watch=1&sendInitialEvents=true"))
        .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path =
        format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1&allowWatchBookmarks=true");
    let mut watch = admin.watch(&path).await;
    assert_eq!(watch.next_short().await, "BOOKMARK ");
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_server_that_ends_says_goodbye() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = format!("{MAPS}?watch=1&resourceVersion=0&allowWatchBookmarks=true");
    let mut watch = admin.watch(&path).await;
    cluster.stop_servers();
    assert_eq!(watch.next_short().await, "BOOKMARK ");
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_from_the_distant_past_must_list_again() {
    let mut cluster = Cluster::start().await;
    // A server that starts now knows nothing of what was before.
    let late = cluster.add_server().await;
    let mut watch = late
        .watch(&format!("{MAPS}?watch=1&resourceVersion=1"))
        .await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["reason"]),
        (&json!("ERROR"), &json!("Expired"))
    );
    assert_eq!(event["object"]["code"], 410);
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn events_are_listed_and_watched_in_both_groups() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let event = json!({"metadata": {"name": "e"}, "reason": "R", "note": "hello", "type": "Normal", "action": "A",
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "x", "reportingInstance": "y",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "p"}});
    let newer = "/apis/events.k8s.io/v1/namespaces/default/events";
    let (code, made) = admin.post(newer, &event).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    let older = "/api/v1/namespaces/default/events";
    let (_, list) = admin
        .get(&format!("{older}?fieldSelector=involvedObject.name%3Dp"))
        .await;
    assert_eq!(list["items"][0]["message"], "hello");
    let mut watch = admin.watch(&format!("{older}?watch=1")).await;
    assert_eq!(watch.next_short().await, "ADDED e");
    admin
        .merge(&format!("{newer}/e"), &json!({"note": "again"}))
        .await;
    let event = watch.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["message"]),
        (&json!("MODIFIED"), &json!("again"))
    );
}

#[tokio::test]
async fn a_read_is_fresh_when_other_keys_move_the_store() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let etcd = cluster.store.client();
    for turn in 0..20_i64 {
        // A key outside the registry moves the store's revision, but not the watch.
        let write = apiserver::storage::Guarded {
            key: format!("outside/{turn}").into(),
            expected: 0,
            step: apiserver::storage::Step::Put {
                value: "x".into(),
                lease: 0,
            },
        };
        etcd.commit(&[write]).await.unwrap();
        assert_eq!(admin.get(MAPS).await.0, StatusCode::OK);
    }
    eventually("the cache follows the store", || async {
        let now = etcd.current_revision().await.unwrap();
        let (_, list) = admin.get(MAPS).await;
        version(&list).parse::<u64>().unwrap() >= now
    })
    .await;
}

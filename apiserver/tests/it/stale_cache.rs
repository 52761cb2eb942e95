//! The cached object is a guess: a registry whose watch stands still must neither refuse nor
//! overwrite on what it remembers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::{Kind, Kinds};
use apiserver::admission;
use apiserver::cache::Cache;
use apiserver::cache::ingest::{Ingest, Part};
use apiserver::registry::patch::Form;
use apiserver::registry::service::{CacheReader, Parts};
use apiserver::registry::{DeleteOptions, Registry, RequestContext, ServiceSettings, Target};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::client::version;
use crate::harness::{Cluster, eventually};

fn maps() -> &'static Kind {
    Kinds::builtin()
        .by_resource("", "v1", "configmaps")
        .unwrap()
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"x": "1"}})
}

fn target(name: &str) -> Target {
    Target::new(maps(), "default", name)
}

/// A registry that has read the store and then heard nothing more.
async fn paused(cluster: &Cluster) -> Registry {
    let etcd = cluster.store.client();
    let prefixes = Kinds::builtin().iter().filter(|kind| kind.is_stored());
    let cache = Arc::new(Cache::new(
        prefixes.map(|kind| kind.storage_prefix.as_str()),
    ));
    let stop = CancellationToken::new();
    let ingest = Ingest::new(etcd.clone(), cache.clone(), Part::Main).run(stop.clone());
    tokio::join!(ingest, async {
        cache.wait_live().await;
        stop.cancel();
    });
    let reader = Arc::new(CacheReader::new(etcd.clone(), cache.clone()));
    let deps = admission::Deps {
        reader,
        guard: None,
        enable: Vec::new(),
        disable: Vec::new(),
    };
    Registry::new(Parts {
        etcd,
        cache,
        admission: admission::Chain::builtin(deps).unwrap(),
        services: ServiceSettings {
            cidrs: Vec::new(),
            node_ports: (30000, 30001),
        },
        event_ttl: Duration::from_secs(60),
    })
}

#[tokio::test]
async fn what_is_remembered_decides_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = "/api/v1/namespaces/default/configmaps";
    admin.post(path, &map("changed")).await;
    let stale = paused(&cluster).await;
    let ctx = RequestContext::internal();

    // The client wrote through the other replica and comes here with the version it got.
    let (_, changed) = admin
        .merge(&format!("{path}/changed"), &json!({"data": {"x": "2"}}))
        .await;
    let mut wanted: Value = changed.clone();
    wanted["data"]["x"] = "3".into();
    let (object, _) = stale
        .update(&ctx, &target("changed"), None, wanted.into())
        .await
        .expect("it is the newest version");
    assert_eq!(object.value().unwrap()["data"]["x"], "3");

    // "Nothing changed" against the remembered state would lose this write.
    let patch = json!({"data": {"x": "1"}});
    let object = stale
        .patch(&ctx, &target("changed"), None, Form::Merge, &patch)
        .await
        .unwrap();
    assert_eq!(object.value().unwrap()["data"]["x"], "1");
    assert_ne!(
        object.value().unwrap()["metadata"]["resourceVersion"],
        version(&changed)
    );
}

#[tokio::test]
async fn what_is_remembered_is_not_there_any_more() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = "/api/v1/namespaces/default/configmaps";
    for name in ["gone", "replaced"] {
        admin.post(path, &map(name)).await;
    }
    let stale = paused(&cluster).await;
    let ctx = RequestContext::internal();

    // Deleted elsewhere: not found, though it is remembered.
    admin.delete(&format!("{path}/gone"), &json!({})).await;
    let patch = json!({"data": {"x": "2"}});
    let refused = stale
        .patch(&ctx, &target("gone"), None, Form::Merge, &patch)
        .await
        .unwrap_err();
    assert_eq!(refused.code, 404);
    let refused = stale
        .delete(&ctx, &target("gone"), &DeleteOptions::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code, 404);

    // Replaced elsewhere: the new one's uid must be taken, the old one's refused.
    let (_, old) = admin.get(&format!("{path}/replaced")).await;
    admin.delete(&format!("{path}/replaced"), &json!({})).await;
    let (_, new) = admin.post(path, &map("replaced")).await;
    let uid = |object: &Value| object["metadata"]["uid"].as_str().map(str::to_owned);
    let options = |uid| DeleteOptions {
        uid,
        ..DeleteOptions::default()
    };
    let refused = stale
        .delete(&ctx, &target("replaced"), &options(uid(&old)))
        .await
        .unwrap_err();
    assert_eq!(refused.code, 409);
    stale
        .delete(&ctx, &target("replaced"), &options(uid(&new)))
        .await
        .unwrap();

    // Created elsewhere: known by the store alone.
    admin.post(path, &map("new")).await;
    let patch = json!({"data": {"y": "1"}});
    stale
        .patch(&ctx, &target("new"), None, Form::Merge, &patch)
        .await
        .unwrap();
    let refused = stale
        .create(&ctx, &target(""), map("new").into())
        .await
        .unwrap_err();
    assert!(refused.is("AlreadyExists"), "{refused}");

    // A read that must be fresh is refused rather than stale.
    let refused = stale
        .get(
            &target("new"),
            apiserver::registry::options::Version::Newest,
        )
        .await;
    assert_eq!(refused.unwrap_err().code, 504);
}

#[tokio::test]
async fn a_cache_that_cannot_catch_up_says_so() {
    let cluster = Cluster::start().await;
    let stale = paused(&cluster).await;
    // The watch stands still, and the store goes on.
    let path = "/api/v1/namespaces/default/configmaps";
    cluster.admin(0).post(path, &map("new")).await;
    let refused = stale.catch_up(&[maps()]).await.unwrap_err();
    assert_eq!(refused.code, 504, "{refused}");
}

#[tokio::test]
async fn a_version_that_is_still_to_come_is_told_so_for_every_kind() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let queries = [
        "resourceVersion=99999999",
        "resourceVersion=99999999&resourceVersionMatch=Exact",
        "resourceVersion=99999999&limit=5",
    ];
    let mut paths = vec!["/api/v1/namespaces/default/events/e?resourceVersion=99999999".to_owned()];
    for kind in [
        "/api/v1/events",
        "/apis/events.k8s.io/v1/namespaces/default/events",
        "/api/v1/configmaps",
    ] {
        paths.extend(queries.map(|query| format!("{kind}?{query}")));
    }
    let answers = paths.iter().map(|path| admin.get(path));
    let answers = futures::future::join_all(answers).await;
    for (path, (code, status)) in paths.iter().zip(answers) {
        assert_eq!(code, StatusCode::GATEWAY_TIMEOUT, "{path}: {status}");
        assert_eq!(
            status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge",
            "{path}: {status}"
        );
        assert_eq!(status["details"]["retryAfterSeconds"], 1, "{path}");
    }
}

/// How much later a slow server hears from the store.
const LATE: Duration = Duration::from_millis(150);

/// Stands between a server and the store and lets every byte of the store come late.
async fn late_store(store: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((server, _)) = listener.accept().await {
            let store = TcpStream::connect(store).await.unwrap();
            tokio::spawn(forward(server, store));
        }
    });
    address
}

async fn forward(server: TcpStream, store: TcpStream) {
    let (mut from_server, mut to_server) = server.into_split();
    let (mut from_store, mut to_store) = store.into_split();
    let (held, mut due) = tokio::sync::mpsc::channel(1000);
    let hold = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_store.read(&mut bytes).await {
            let chunk = bytes[..count].to_vec();
            if held.send((Instant::now() + LATE, chunk)).await.is_err() {
                return;
            }
        }
    };
    let release = async {
        while let Some((when, chunk)) = due.recv().await {
            sleep_until(when).await;
            if to_server.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = hold => {}
        () = release => {}
        _ = tokio::io::copy(&mut from_server, &mut to_store) => {}
    }
}

#[tokio::test]
async fn a_role_is_known_to_the_write_that_comes_right_after_it() {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let group = "rbac.authorization.k8s.io";
    let mut cluster = Cluster::start().await;
    let mut config = cluster.config();
    let store = config.etcd.endpoints[0].strip_prefix("http://").unwrap();
    let late = late_store(store.parse().unwrap()).await;
    config.etcd.endpoints = vec![format!("http://{late}")];
    cluster.serve(config, CancellationToken::new()).await;

    let rules = json!([
        {"verbs": ["create"], "apiGroups": [group], "resources": ["roles", "rolebindings"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
    ]);
    let reference = |kind: &str, name: &str| json!({"apiGroup": group, "kind": kind, "name": name});
    let bob = json!([{"kind": "User", "name": "bob", "apiGroup": group}]);
    let admin = cluster.admin(0);
    let granting = json!({"metadata": {"name": "granting"}, "rules": rules});
    admin.post(&format!("{RBAC}/clusterroles"), &granting).await;
    let bound = json!({"metadata": {"name": "granting"}, "roleRef": reference("ClusterRole", "granting"), "subjects": bob});
    let path = format!("{RBAC}/clusterrolebindings");
    admin.post(&path, &bound).await;
    let (roles, bindings) = (
        format!("{RBAC}/namespaces/default/roles"),
        format!("{RBAC}/namespaces/default/rolebindings"),
    );
    let [prompt, slow] = [0, 1].map(|server| cluster.client(server, Some("bob")));
    for client in [&prompt, &slow] {
        let role = json!({"metadata": {"generateName": "first-"}});
        eventually("bob may make roles", || async {
            client.post(&roles, &role).await.0 == StatusCode::CREATED
        })
        .await;
    }
    // The role by one replica, and its binding by the one that has not heard of it yet.
    let role = json!({"metadata": {"name": "reader"}, "rules": [rules[1]]});
    let (code, status) = prompt.post(&roles, &role).await;
    assert_eq!(code, StatusCode::CREATED, "{status}");
    let binding = json!({"metadata": {"name": "reader"}, "roleRef": reference("Role", "reader"), "subjects": bob});
    let (code, status) = slow.post(&bindings, &binding).await;
    assert_eq!(code, StatusCode::CREATED, "{status}");
    // One that is nowhere is still refused.
    let binding = json!({"metadata": {"name": "none"}, "roleRef": reference("Role", "none"), "subjects": bob});
    let (code, status) = slow.post(&bindings, &binding).await;
    assert_eq!(code, StatusCode::NOT_FOUND, "{status}");
}

//! The cached object is a guess: a registry whose watch stands still must neither refuse nor
//! overwrite on what it remembers.

use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::{Kind, Kinds};
use apiserver::admission;
use apiserver::cache::Cache;
use apiserver::cache::ingest::{Ingest, Part};
use apiserver::registry::patch::Form;
use apiserver::registry::service::{CacheReader, Parts};
use apiserver::registry::{DeleteOptions, Registry, RequestContext, ServiceSettings, Target};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::version;
use crate::harness::Cluster;

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

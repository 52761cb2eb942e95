//! What one replica does while another one changes what it relies on: a registry that has read the
//! store and then heard nothing more must not act on what it remembers.

use std::sync::Arc;
use std::time::Duration;

use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use apiserver::admission::plugins::grants::Grant;
use apiserver::admission::{self, GrantGuard};
use apiserver::authn::UserInfo;
use apiserver::authz::{self, Authorizer, Mode};
use apiserver::cache::Cache;
use apiserver::cache::ingest::{Ingest, Part};
use apiserver::registry::service::{CacheReader, Parts};
use apiserver::registry::{Registry, RequestContext, ServiceSettings, Target};
use http::StatusCode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::map;
use crate::harness::Cluster;

/// Lets every grant pass, and knows who may do what.
struct Permissions(Arc<authz::Chain>);

impl GrantGuard for Permissions {
    fn check(&self, _: &Grant<'_>) -> Result<(), Status> {
        Ok(())
    }

    fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        Some(self.0.clone())
    }
}

fn kind(group: &str, resource: &str) -> &'static Kind {
    Kinds::builtin().by_resource(group, "v1", resource).unwrap()
}

/// A registry whose cache stands still from now on.
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
    let chain = authz::Chain::new(&[Mode::Rbac], reader.clone());
    let deps = admission::Deps {
        reader,
        guard: Some(Arc::new(Permissions(Arc::new(chain)))),
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
async fn nothing_slips_into_a_namespace_whose_end_began_elsewhere() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let path = "/api/v1/namespaces/n";
    admin
        .post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}}))
        .await;
    let stale = paused(&cluster).await;
    let ctx = RequestContext::internal();
    let create = async |name: &str| {
        let target = Target::new(kind("", "configmaps"), "n", "");
        stale.create(&ctx, &target, map(name, "1").into()).await
    };
    // A change that is no end is none of its business.
    admin
        .merge(path, &json!({"metadata": {"labels": {"a": "b"}}}))
        .await;
    create("early").await.unwrap();
    let (_, ending) = admin.delete(path, &json!({})).await;
    let refused = create("late").await.unwrap_err();
    assert_eq!(refused.code, 403, "{refused}");
    assert_eq!(
        refused.message,
        "configmaps \"late\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    assert_eq!(
        refused.details.unwrap().causes[0].reason,
        "NamespaceTerminating"
    );
    let found = admin.get(&format!("{path}/configmaps/late")).await;
    assert_eq!(found.0, StatusCode::NOT_FOUND);
    let mut finalized = ending;
    finalized["spec"]["finalizers"] = json!([]);
    admin.put(&format!("{path}/finalize"), &finalized).await;
    let refused = create("later").await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (404, "namespaces \"n\" not found")
    );
}

#[tokio::test]
async fn who_may_only_update_does_not_create_by_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    for (name, verbs) in [
        ("bob", json!(["update"])),
        ("eve", json!(["update", "create"])),
    ] {
        let rules = json!([{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": verbs}]);
        let role = json!({"metadata": {"name": name}, "rules": rules});
        admin.post(&format!("{rbac}/roles"), &role).await;
        let binding = json!({"metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]});
        let (code, status) = admin.post(&format!("{rbac}/rolebindings"), &binding).await;
        assert_eq!(code, StatusCode::CREATED, "{status}");
    }
    let registry = paused(&cluster).await;
    let put = async |user: &str, name: &str| {
        let ctx = RequestContext::of(UserInfo {
            name: user.to_owned(),
            ..UserInfo::default()
        });
        let target = Target::new(kind("coordination.k8s.io", "leases"), "default", name);
        let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": user}});
        registry.update(&ctx, &target, None, lease.into()).await
    };
    let refused = put("bob", "l").await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            403,
            "leases.coordination.k8s.io \"l\" is forbidden: User \"bob\" cannot create resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\""
        )
    );
    let (_, is_new) = put("eve", "l").await.unwrap();
    assert!(is_new);
    let path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_eq!(admin.get(path).await.0, StatusCode::OK);
}

//! The informers that several controllers share: each is made when the first controller asks for it, and only those run.

use std::fmt::Debug;

use client::{Client, Informer};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::driver::Run;
use crate::owners::controller_of;

/// The index of objects under the uid of their controller, or under [`orphans`] of their namespace.
pub const BY_OWNER: &str = "owner";
/// The index of pods under the node that they are bound to.
pub const BY_NODE: &str = "node";
/// The index of endpoint slices under `namespace/service`.
pub const BY_SERVICE: &str = "service";

/// Where [`BY_OWNER`] files what has no controller.
pub fn orphans(namespace: &str) -> String {
    format!("orphans/{namespace}")
}

/// All shared informers.
#[derive(Debug)]
pub struct Informers {
    client: Client_,
    pods: Option<Informer<Pod>>,
    replica_sets: Option<Informer<ReplicaSet>>,
    deployments: Option<Informer<Deployment>>,
    jobs: Option<Informer<Job>>,
    services: Option<Informer<Service>>,
    endpoint_slices: Option<Informer<EndpointSlice>>,
    endpoints: Option<Informer<Endpoints>>,
    nodes: Option<Informer<Node>>,
    node_leases: Option<Informer<Lease>>,
    namespaces: Option<Informer<Namespace>>,
    service_accounts: Option<Informer<ServiceAccount>>,
    root_ca: Option<Informer<ConfigMap>>,
}

struct Client_(Client);

impl Debug for Client_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Informers {
    /// No informers yet.
    pub fn new(client: Client) -> Self {
        Self {
            client: Client_(client),
            pods: None,
            replica_sets: None,
            deployments: None,
            jobs: None,
            services: None,
            endpoint_slices: None,
            endpoints: None,
            nodes: None,
            node_leases: None,
            namespaces: None,
            service_accounts: None,
            root_ca: None,
        }
    }

    fn api<K: kube::Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.0.clone())
    }

    /// Pods, by controller and by node.
    pub fn pods(&mut self) -> &mut Informer<Pod> {
        let api = self.api();
        self.pods.get_or_insert_with(|| {
            by_owner(api).index(BY_NODE, |pod| vec![crate::pods::node(pod).to_owned()])
        })
    }

    /// ReplicaSets, by controller.
    pub fn replica_sets(&mut self) -> &mut Informer<ReplicaSet> {
        let api = self.api();
        self.replica_sets.get_or_insert_with(|| by_owner(api))
    }

    /// Deployments.
    pub fn deployments(&mut self) -> &mut Informer<Deployment> {
        let api = self.api();
        self.deployments.get_or_insert_with(|| Informer::new(api))
    }

    /// Jobs.
    pub fn jobs(&mut self) -> &mut Informer<Job> {
        let api = self.api();
        self.jobs.get_or_insert_with(|| Informer::new(api))
    }

    /// Services.
    pub fn services(&mut self) -> &mut Informer<Service> {
        let api = self.api();
        self.services.get_or_insert_with(|| Informer::new(api))
    }

    /// Endpoint slices, by service.
    pub fn endpoint_slices(&mut self) -> &mut Informer<EndpointSlice> {
        let api = self.api();
        self.endpoint_slices.get_or_insert_with(|| {
            Informer::new(api).index(BY_SERVICE, |slice: &EndpointSlice| {
                let labels = slice.metadata.labels.as_ref();
                let service = labels.and_then(|all| all.get("kubernetes.io/service-name"));
                let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
                service
                    .map(|service| format!("{namespace}/{service}"))
                    .into_iter()
                    .collect()
            })
        })
    }

    /// Endpoints.
    pub fn endpoints(&mut self) -> &mut Informer<Endpoints> {
        let api = self.api();
        self.endpoints.get_or_insert_with(|| Informer::new(api))
    }

    /// Nodes.
    pub fn nodes(&mut self) -> &mut Informer<Node> {
        let api = self.api();
        self.nodes.get_or_insert_with(|| Informer::new(api))
    }

    /// The leases by which nodes show that they live.
    pub fn node_leases(&mut self) -> &mut Informer<Lease> {
        let api = Api::namespaced(self.client.0.clone(), "kube-node-lease");
        self.node_leases.get_or_insert_with(|| Informer::new(api))
    }

    /// Namespaces.
    pub fn namespaces(&mut self) -> &mut Informer<Namespace> {
        let api = self.api();
        self.namespaces.get_or_insert_with(|| Informer::new(api))
    }

    /// The service accounts named `default`.
    pub fn service_accounts(&mut self) -> &mut Informer<ServiceAccount> {
        let api = self.api();
        self.service_accounts
            .get_or_insert_with(|| named(api, "default"))
    }

    /// The ConfigMaps named `kube-root-ca.crt`.
    pub fn root_ca(&mut self) -> &mut Informer<ConfigMap> {
        let api = self.api();
        self.root_ca
            .get_or_insert_with(|| named(api, "kube-root-ca.crt"))
    }

    /// Turns the informers that were asked for into tasks.
    pub fn into_runs(self) -> Vec<Run> {
        let mut runs = Vec::new();
        add(&mut runs, self.pods);
        add(&mut runs, self.replica_sets);
        add(&mut runs, self.deployments);
        add(&mut runs, self.jobs);
        add(&mut runs, self.services);
        add(&mut runs, self.endpoint_slices);
        add(&mut runs, self.endpoints);
        add(&mut runs, self.nodes);
        add(&mut runs, self.node_leases);
        add(&mut runs, self.namespaces);
        add(&mut runs, self.service_accounts);
        add(&mut runs, self.root_ca);
        runs
    }
}

fn by_owner<K>(api: Api<K>) -> Informer<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    Informer::new(api).index(BY_OWNER, |object: &K| {
        let meta = object.meta();
        vec![match controller_of(meta) {
            Some(owner) => owner.uid.clone(),
            None => orphans(meta.namespace.as_deref().unwrap_or_default()),
        }]
    })
}

fn named<K>(api: Api<K>, name: &str) -> Informer<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let selection = client::informer::selection().fields(&format!("metadata.name={name}"));
    Informer::with(api, selection)
}

fn add<K>(runs: &mut Vec<Run>, informer: Option<Informer<K>>)
where
    K: kube::Resource + Send + Sync + 'static,
{
    if let Some(informer) = informer {
        let synced = informer.store();
        runs.push(Run {
            name: "informer",
            synced: Some(Box::pin(async move { synced.synced().await })),
            run: Box::new(|stop| Box::pin(informer.run(stop))),
        });
    }
}

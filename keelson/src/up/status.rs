//! What each component of a local cluster does now, and who leads.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use proto_etcd::etcdserverpb::StatusRequest;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use serde::Serialize;
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::process::{Process, State};
use super::spec::{Component, Kind, Spec};

/// A component that does not answer within this time is not asked further.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// One component as `keelson status` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Such as `store-0`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Its process, if it lives.
    pub(crate) pid: Option<i32>,
    /// How the process is.
    pub(crate) state: State,
    /// Whether it leads; none where nobody leads or it cannot be known now.
    pub(crate) leader: Option<bool>,
    /// Where it serves.
    pub(crate) urls: Vec<String>,
    /// A node that only reports.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hollow: bool,
}

/// Looks at every component once. A part that does not answer leaves its `leader` unknown.
pub(crate) async fn look(dir: &Path, spec: &Spec) -> Vec<Row> {
    let stores = store_leader(dir, spec).await;
    let leases = lease_holders(dir, spec).await;
    spec.components
        .iter()
        .map(|component| row(dir, component, &stores, &leases))
        .collect()
}

fn row(
    dir: &Path,
    component: &Component,
    stores: &BTreeMap<String, bool>,
    leases: &BTreeMap<Kind, String>,
) -> Row {
    let process = Process::of(dir, component);
    let leader = match component.kind {
        Kind::Store => stores.get(&component.name).copied(),
        kind => leases.get(&kind).map(|holder| *holder == component.name),
    };
    Row {
        name: component.name.clone(),
        kind: component.kind,
        pid: process.pid(),
        state: process.state(),
        leader,
        urls: component.urls.clone(),
        hollow: component.hollow,
    }
}

/// For each member that answers, whether it leads.
async fn store_leader(dir: &Path, spec: &Spec) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let Ok(tls) = store_tls(dir) else {
        return found;
    };
    for store in spec.of(Kind::Store) {
        if Process::of(dir, store).state() != State::Running {
            continue;
        }
        let asked = timeout(ANSWER_TIME_MAX, ask_store(store, tls.clone())).await;
        if let Ok(Ok(is_leader)) = asked {
            found.insert(store.name.clone(), is_leader);
        }
    }
    found
}

/// Whether a member is the leader by its own word. An error if it does not answer.
pub(crate) async fn ask_store(store: &Component, tls: ClientTlsConfig) -> Result<bool> {
    let url = store.urls.first().context("a store without a URL")?;
    let channel = Endpoint::from_shared(url.clone())?
        .tls_config(tls)?
        .connect()
        .await?;
    let answer = MaintenanceClient::new(channel)
        .status(StatusRequest {})
        .await?
        .into_inner();
    let member = answer.header.map(|header| header.member_id);
    Ok(answer.leader != 0 && member == Some(answer.leader))
}

/// The client side of the store's TLS, as the api-servers have it.
pub(crate) fn store_tls(dir: &Path) -> Result<ClientTlsConfig> {
    let read = |file: &str| {
        let path = dir.join("pki").join(file);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let identity = Identity::from_pem(
        read("apiserver-etcd-client.crt")?,
        read("apiserver-etcd-client.key")?,
    );
    Ok(ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.crt")?))
        .identity(identity))
}

/// A client of the api-servers, as the cluster's administrator.
pub(crate) async fn admin(dir: &Path, spec: &Spec) -> Result<client::Client> {
    let servers = spec
        .of(Kind::Apiserver)
        .flat_map(|server| server.urls.clone())
        .collect();
    let options = client::ConnectOptions {
        kubeconfig: Some(dir.join("kubeconfig")),
        servers,
        user_agent: "keelson".into(),
    };
    Ok(client::connect(&options).await?)
}

/// Who holds the Lease of each kind that elects a leader.
async fn lease_holders(dir: &Path, spec: &Spec) -> BTreeMap<Kind, String> {
    let mut holders = BTreeMap::new();
    let is_running = |server: &&Component| Process::of(dir, server).state() == State::Running;
    let servers: Vec<Component> = spec
        .of(Kind::Apiserver)
        .filter(is_running)
        .cloned()
        .collect();
    // Of those that are down it is known without asking.
    if servers.is_empty() {
        return holders;
    }
    let Ok(client) = admin(dir, &Spec::new(servers)).await else {
        return holders;
    };
    let leases = Api::<Lease>::namespaced(client, "kube-system");
    let names = [
        (Kind::Controllers, "kube-controller-manager"),
        (Kind::Scheduler, "kube-scheduler"),
        (Kind::CloudControllers, "cloud-controller-manager"),
    ];
    for (kind, name) in names {
        let Ok(Ok(Some(lease))) = timeout(ANSWER_TIME_MAX, leases.get_opt(name)).await else {
            continue;
        };
        if let Some(holder) = lease.spec.and_then(|spec| spec.holder_identity) {
            holders.insert(kind, holder);
        }
    }
    holders
}

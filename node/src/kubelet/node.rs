//! Makes the Node object and keeps its status true.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::machine;
use crate::quantity::{millis, units};

/// An unchanged status is still written this often. Upstream's `nodeStatusReportFrequency`.
const REPORT_PERIOD: Duration = Duration::from_secs(5 * 60);
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// Images that a status lists, the largest first. Upstream's.
const IMAGES_MAX: usize = 50;
/// The API version whose kubelet this one behaves as.
const VERSION: &str = "v1.36.4+keelson";

/// Registers the node and reports until `stop`. `port` is where the kubelet serves.
pub(super) async fn run(context: Arc<Context>, port: u16, stop: CancellationToken) {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let mut registered = !context.config.register;
    let mut last: Option<(NodeStatus, Instant)> = None;
    let mut conditions = Vec::new();
    loop {
        let step = async {
            if !registered {
                register(&context, &nodes, port).await?;
                registered = true;
            }
            let status = status(&context, port, &mut conditions).await;
            let due = last
                .as_ref()
                .is_none_or(|(old, at)| at.elapsed() >= REPORT_PERIOD || differs(old, &status));
            if due {
                let patch = Patch::Strategic(json!({"status": status}));
                nodes
                    .patch_status(&context.config.node_name, &PatchParams::default(), &patch)
                    .await?;
                last = Some((status, Instant::now()));
            }
            Ok::<(), kube::Error>(())
        };
        let stepped = tokio::select! { biased;
            () = stop.cancelled() => return,
            stepped = tokio::time::timeout(CALL_TIME_MAX, step) => stepped,
        };
        let mut wait = context.config.status_period;
        match stepped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                // Somebody may have deleted the Node: it is made again.
                registered &= !matches!(&error, kube::Error::Api(status) if status.is_not_found());
                registered |= !context.config.register;
                last = None;
                wait = wait.min(Duration::from_secs(2));
                tracing::warn!(error = %base::report(&error), "node status not written");
            }
            Err(_) => tracing::warn!("node status not written in time"),
        }
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Creates the Node, or brings the labels of an existing one up to date.
async fn register(context: &Context, nodes: &Api<Node>, port: u16) -> Result<(), kube::Error> {
    let config = &context.config;
    let labels = labels(context);
    let mut taints = config.taints.clone();
    if config.unschedulable {
        tracing::info!("registering unschedulable");
    }
    taints.dedup();
    let cidr = config.pod_cidr.map(|c| c.to_string());
    let node = Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: cidr.clone(),
            pod_cidrs: cidr.map(|c| vec![c]),
            taints: (!taints.is_empty()).then_some(taints),
            unschedulable: config.unschedulable.then_some(true),
            ..NodeSpec::default()
        }),
        status: Some(status(context, port, &mut Vec::new()).await),
    };
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => tracing::info!(node = %config.node_name, "registered"),
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let patch = Patch::Strategic(json!({"metadata": {"labels": labels}}));
            nodes
                .patch(&config.node_name, &PatchParams::default(), &patch)
                .await?;
            tracing::info!(node = %config.node_name, "already registered");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn labels(context: &Context) -> BTreeMap<String, String> {
    let name = context.config.node_name.clone();
    let arch = machine::architecture().to_owned();
    let mut out: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", arch.clone()),
        ("beta.kubernetes.io/os", "linux".to_owned()),
        ("beta.kubernetes.io/arch", arch),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    if context.runtime.is_hollow() {
        out.insert("keelson.io/hollow".to_owned(), "true".to_owned());
    }
    out.extend(context.config.labels.clone());
    out
}

async fn status(context: &Context, port: u16, conditions: &mut Vec<NodeCondition>) -> NodeStatus {
    let config = &context.config;
    let addresses = config
        .node_ips
        .iter()
        .map(|ip| ("InternalIP", ip.to_string()));
    let addresses = addresses.chain([("Hostname", config.node_name.clone())]);
    let capacity = capacity(context);
    let version = context.runtime.version().await.ok();
    update_conditions(context, conditions).await;
    let images = if context.runtime.is_hollow() {
        Vec::new()
    } else {
        images(context).await
    };
    NodeStatus {
        addresses: Some(
            addresses
                .map(|(type_, address)| NodeAddress {
                    type_: type_.to_owned(),
                    address,
                })
                .collect(),
        ),
        allocatable: Some(allocatable(&capacity, &config.reserved)),
        capacity: Some(capacity),
        conditions: Some(conditions.clone()),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: port.into() }),
        }),
        images: (!images.is_empty()).then_some(images),
        node_info: Some(NodeSystemInfo {
            architecture: machine::architecture().to_owned(),
            boot_id: machine::boot_id(),
            container_runtime_version: version.map_or_else(String::new, |v| {
                format!("{}://{}", v.runtime_name, v.runtime_version)
            }),
            kernel_version: machine::kernel(),
            kube_proxy_version: String::new(),
            kubelet_version: VERSION.to_owned(),
            machine_id: machine::machine_id(),
            operating_system: "linux".to_owned(),
            os_image: machine::os_image(),
            system_uuid: machine::machine_id(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn capacity(context: &Context) -> BTreeMap<String, Quantity> {
    let config = &context.config;
    let mut out = BTreeMap::from([
        ("cpu".to_owned(), Quantity(machine::cpus().to_string())),
        (
            "memory".to_owned(),
            Quantity(format!("{}Ki", machine::memory_bytes() / 1024)),
        ),
        (
            "ephemeral-storage".to_owned(),
            Quantity(format!("{}Ki", machine::disk_bytes(&config.root) / 1024)),
        ),
        ("pods".to_owned(), Quantity(config.max_pods.to_string())),
    ]);
    out.extend(config.capacity.clone());
    out
}

fn allocatable(
    capacity: &BTreeMap<String, Quantity>,
    reserved: &BTreeMap<String, Quantity>,
) -> BTreeMap<String, Quantity> {
    let mut out = capacity.clone();
    for (name, amount) in reserved {
        if let Some(of) = out.get_mut(name) {
            let (measure, unit): (fn(&Quantity) -> i64, _) = if name == "cpu" {
                (millis, "m")
            } else {
                (units, "")
            };
            let left = (measure(of) - measure(amount)).max(0);
            *of = Quantity(format!("{left}{unit}"));
        }
    }
    out
}

async fn images(context: &Context) -> Vec<ContainerImage> {
    let mut images = context.runtime.images().await.unwrap_or_default();
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    let listed = images
        .into_iter()
        .take(IMAGES_MAX)
        .map(|image| ContainerImage {
            names: Some(
                image
                    .repo_digests
                    .into_iter()
                    .chain(image.repo_tags)
                    .take(5)
                    .collect(),
            ),
            size_bytes: i64::try_from(image.size).ok(),
        });
    listed.collect()
}

async fn update_conditions(context: &Context, conditions: &mut Vec<NodeCondition>) {
    let now = client::times::now();
    let (is_ready, reason, message) = match context.runtime.conditions().await {
        Err(error) => (
            false,
            "KubeletNotReady",
            format!("container runtime is down: {}", base::report(&error)),
        ),
        Ok(found) => match found.iter().find(|c| !c.status) {
            Some(bad) => {
                let text = format!(
                    "container runtime {} not ready: {}: {}",
                    bad.r#type, bad.reason, bad.message
                );
                (false, "KubeletNotReady", text)
            }
            None => (
                true,
                "KubeletReady",
                "kubelet is posting ready status".to_owned(),
            ),
        },
    };
    // Memory, disk and processes are not watched yet; a pressure that is not measured is not claimed.
    let quiet = [
        (
            "MemoryPressure",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ];
    let quiet = quiet.map(|(name, reason, message)| (name, false, reason, message.to_owned()));
    for (name, is_true, reason, message) in quiet
        .into_iter()
        .chain([("Ready", is_ready, reason, message)])
    {
        let status = if is_true { "True" } else { "False" };
        let old = conditions.iter().position(|c| c.type_ == name);
        let since = old
            .and_then(|i| conditions.get(i))
            .filter(|c| c.status == status);
        let since: Time = since
            .and_then(|c| c.last_transition_time.clone())
            .unwrap_or_else(|| now.clone());
        let new = NodeCondition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(since),
        };
        match old.and_then(|i| conditions.get_mut(i)) {
            Some(slot) => *slot = new,
            None => conditions.push(new),
        }
    }
}

/// Whether a status says something new; heartbeats do not.
fn differs(old: &NodeStatus, new: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    still(old) != still(new)
}

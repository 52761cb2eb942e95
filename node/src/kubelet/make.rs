//! Makes the runtime's configurations of sandboxes and containers from a pod.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use proto_cri::v1;

use super::context::Context;
use super::inside::security;
use super::pod_state::PodState;
use super::spec::{PodId, Role, container_hash, is_host_network};
use super::steps::NotStarted;
use crate::runtime::labels;

/// A host name is no longer than this.
const HOSTNAME_MAX: usize = 63;

/// The sandbox of a pod.
pub(super) async fn sandbox(context: &Context, pod: &Pod, attempt: u32) -> v1::PodSandboxConfig {
    let id = PodId::of(pod);
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let mut labels: BTreeMap<String, String> = pod.metadata.labels.clone().unwrap_or_default();
    labels.extend(pod_labels(&id));
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: id.name.clone(),
            uid: id.uid.clone(),
            namespace: id.namespace.clone(),
            attempt,
        }),
        hostname: if is_host_network(spec) {
            String::new()
        } else {
            hostname(spec, &id)
        },
        log_directory: match &context.inside {
            Some(inside) => inside.log_directory(&id).to_string_lossy().into_owned(),
            None => String::new(),
        },
        dns_config: dns(context, spec, &id),
        port_mappings: port_mappings(spec),
        labels,
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(v1::LinuxPodSandboxConfig {
            security_context: Some(security::sandbox(spec)),
            sysctls: sysctls(spec),
            ..v1::LinuxPodSandboxConfig::default()
        }),
    }
}

/// The runtime writes logs there but does not make the directory.
pub(super) async fn log_directory(
    context: &Context,
    config: &v1::PodSandboxConfig,
) -> std::io::Result<()> {
    if context.inside.is_some() && !config.log_directory.is_empty() {
        tokio::fs::create_dir_all(&config.log_directory).await?;
    }
    Ok(())
}

fn pod_labels(id: &PodId) -> [(String, String); 3] {
    [
        (labels::POD_NAME.to_owned(), id.name.clone()),
        (labels::POD_NAMESPACE.to_owned(), id.namespace.clone()),
        (labels::POD_UID.to_owned(), id.uid.clone()),
    ]
}

/// The host name inside the pod.
pub(super) fn hostname(spec: &PodSpec, id: &PodId) -> String {
    let name = spec
        .hostname
        .clone()
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| id.name.clone());
    let cut: String = name.chars().take(HOSTNAME_MAX).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn dns(context: &Context, spec: &PodSpec, id: &PodId) -> Option<v1::DnsConfig> {
    let config = &context.config;
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let of_cluster = match policy {
        "ClusterFirst" => !is_host_network(spec),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut out = match policy {
        "None" => v1::DnsConfig::default(),
        _ if of_cluster && !config.cluster_dns.is_empty() => {
            let domain = &config.cluster_domain;
            v1::DnsConfig {
                servers: config.cluster_dns.clone(),
                searches: vec![
                    format!("{}.svc.{domain}", id.namespace),
                    format!("svc.{domain}"),
                    domain.clone(),
                ],
                options: vec!["ndots:5".to_owned()],
            }
        }
        // The runtime copies the node's own settings.
        _ => return None,
    };
    if let Some(own) = &spec.dns_config {
        out.servers
            .extend(own.nameservers.iter().flatten().cloned());
        out.searches.extend(own.searches.iter().flatten().cloned());
        out.options
            .extend(own.options.iter().flatten().filter_map(|o| {
                let name = o.name.as_deref()?;
                Some(
                    o.value
                        .as_deref()
                        .map_or_else(|| name.to_owned(), |value| format!("{name}:{value}")),
                )
            }));
    }
    Some(out)
}

fn port_mappings(spec: &PodSpec) -> Vec<v1::PortMapping> {
    if is_host_network(spec) {
        return Vec::new();
    }
    let ports = spec
        .containers
        .iter()
        .flat_map(|c| c.ports.iter().flatten());
    let mapped = ports.filter_map(|port| {
        let host_port = port.host_port.filter(|p| *p > 0)?;
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => v1::Protocol::Udp,
            Some("SCTP") => v1::Protocol::Sctp,
            _ => v1::Protocol::Tcp,
        };
        Some(v1::PortMapping {
            protocol: protocol.into(),
            container_port: port.container_port,
            host_port,
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
    });
    mapped.collect()
}

fn sysctls(spec: &PodSpec) -> BTreeMap<String, String> {
    let all = spec
        .security_context
        .iter()
        .flat_map(|s| s.sysctls.iter().flatten());
    all.map(|s| (s.name.clone(), s.value.clone())).collect()
}

/// A container to be made.
pub(super) struct Wanted<'a> {
    /// Its pod.
    pub(super) pod: &'a Arc<Pod>,
    /// Its definition.
    pub(super) spec: &'a Container,
    /// What it is for.
    pub(super) role: Role,
    /// Its number.
    pub(super) attempt: u32,
    /// How often it was restarted.
    pub(super) restarts: i32,
    /// Its image's reference.
    pub(super) image: &'a str,
}

/// The container. What goes into it may be missing; then the reason is for the pod's status.
pub(super) async fn container(
    context: &Context,
    wanted: &Wanted<'_>,
    state: &PodState,
) -> Result<v1::ContainerConfig, NotStarted> {
    let (spec, id) = (wanted.spec, PodId::of(wanted.pod));
    let mut labels: BTreeMap<String, String> = pod_labels(&id).into_iter().collect();
    labels.insert(labels::CONTAINER_NAME.to_owned(), spec.name.clone());
    let mut annotations = BTreeMap::from([
        (labels::CONTAINER_HASH.to_owned(), container_hash(spec)),
        (
            labels::RESTART_COUNT.to_owned(),
            wanted.restarts.to_string(),
        ),
    ]);
    if wanted.role == Role::Init {
        annotations.insert(labels::RUNS_TO_COMPLETION.to_owned(), "true".to_owned());
    }
    let mut config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: spec.name.clone(),
            attempt: wanted.attempt,
        }),
        image: Some(v1::ImageSpec {
            image: wanted.image.to_owned(),
            ..v1::ImageSpec::default()
        }),
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        labels,
        annotations,
        log_path: format!("{}/{}.log", spec.name, wanted.attempt),
        stdin: spec.stdin.unwrap_or(false),
        stdin_once: spec.stdin_once.unwrap_or(false),
        tty: spec.tty.unwrap_or(false),
        ..v1::ContainerConfig::default()
    };
    if let Some(inside) = &context.inside {
        inside.fill(context, wanted, state, &mut config).await?;
    }
    Ok(config)
}

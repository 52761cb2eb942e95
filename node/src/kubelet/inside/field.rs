//! Fields of a pod as text, for variables and files of the downward API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::super::context::Context;
use super::super::machine;
use super::super::spec::container;
use crate::quantity::millis;

/// What the fields are read from.
pub(super) struct Facts<'a> {
    pub(super) pod: &'a Pod,
    pub(super) host_ips: &'a [String],
    pub(super) pod_ip: Option<&'a str>,
    pub(super) context: &'a Context,
}

/// The field at `path`. The error is for the user.
pub(super) fn of_pod(facts: &Facts<'_>, path: &str) -> Result<String, String> {
    let (meta, spec) = (&facts.pod.metadata, facts.pod.spec.as_ref());
    if let Some((list, key)) = path
        .split_once("['")
        .and_then(|(list, key)| Some((list, key.strip_suffix("']")?)))
    {
        let map = match list {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(map
            .as_ref()
            .and_then(|m| m.get(key))
            .cloned()
            .unwrap_or_default());
    }
    let text = |value: &Option<String>| Ok(value.clone().unwrap_or_default());
    match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => Ok(lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(lines(meta.annotations.as_ref())),
        "spec.nodeName" => Ok(facts.context.config.node_name.clone()),
        "spec.serviceAccountName" => Ok(spec
            .and_then(|s| s.service_account_name.clone())
            .unwrap_or_default()),
        "status.hostIP" => Ok(facts.host_ips.first().cloned().unwrap_or_default()),
        "status.hostIPs" => Ok(facts.host_ips.join(",")),
        "status.podIP" | "status.podIPs" => {
            let host = spec.is_some_and(super::super::spec::is_host_network);
            let own = facts.pod_ip.map(str::to_owned);
            Ok(if host {
                facts.host_ips.first().cloned()
            } else {
                own
            }
            .unwrap_or_default())
        }
        _ => Err(format!("unsupported fieldPath: {path}")),
    }
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={value:?}");
    map.into_iter()
        .flatten()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A limit or a request; where there is none, what the node has.
pub(super) fn of_resources(
    facts: &Facts<'_>,
    selector: &ResourceFieldSelector,
    own: &Container,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let spec = match named {
        Some(name) => facts
            .pod
            .spec
            .as_ref()
            .and_then(|s| container(s, name))
            .map(|(_, c)| c),
        None => Some(own),
    };
    let spec = spec.ok_or_else(|| format!("container {} not found", named.unwrap_or_default()))?;
    let (list, name) = selector.resource.split_once('.').unwrap_or_default();
    let resources = spec.resources.as_ref();
    let amount = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()?.get(name)),
        "requests" => resources.and_then(|r| r.requests.as_ref()?.get(name)),
        _ => {
            return Err(format!(
                "unsupported container resource : {}",
                selector.resource
            ));
        }
    };
    // In thousandths, because a divisor may be one.
    let value = match (amount, list, name) {
        (Some(amount), ..) => i128::from(millis(amount)),
        (None, "limits", "cpu") => i128::from(machine::cpus()) * 1000,
        (None, "limits", "memory") => i128::from(machine::memory_bytes()) * 1000,
        _ => 0,
    };
    let divisor = selector
        .divisor
        .as_ref()
        .map_or(0, |d| i128::from(millis(d)));
    let divisor = if divisor == 0 { 1000 } else { divisor };
    // Rounded up, as upstream does.
    Ok(((value + divisor - 1) / divisor).to_string())
}

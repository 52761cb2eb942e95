//! Pods and the pod specs of workloads.

use api_meta::{Cause, names};
use serde_json::{Map, Value, json};

use super::tools::{address, get, is_empty, list, number, one_of, reasons, required, text};
use super::{container, meta, placement, volume};

const CHANGES: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The annotation of a pod that only shows what a node runs on its own.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod.
pub(super) fn pod(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let new_spec = object.get("spec").unwrap_or(&nothing);
    spec(faults, "spec", new_spec);
    match old {
        None => {
            if !list(new_spec, "ephemeralContainers").is_empty() {
                faults.push(Cause::forbidden(
                    "spec.ephemeralContainers",
                    "cannot be set on create",
                ));
            }
        }
        Some(old) => update(faults, new_spec, old.get("spec").unwrap_or(&nothing)),
    }
}

/// The template of a workload's pods.
pub(super) fn template(faults: &mut Vec<Cause>, path: &str, template: &Value) {
    let metadata = template.get("metadata").unwrap_or(&Value::Null);
    meta::labels(
        faults,
        &format!("{path}.metadata.labels"),
        metadata.get("labels"),
    );
    let nothing = json!({});
    let pod_spec = template.get("spec").unwrap_or(&nothing);
    spec(faults, &format!("{path}.spec"), pod_spec);
    if !list(pod_spec, "ephemeralContainers").is_empty() {
        let path = format!("{path}.spec.ephemeralContainers");
        faults.push(Cause::forbidden(
            path,
            "ephemeral containers not allowed in pod template",
        ));
    }
}

/// The spec of a pod, whatever happens to it.
pub(super) fn spec(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    let volumes = volume::volumes(faults, &format!("{path}.volumes"), list(spec, "volumes"));
    container::all(faults, path, spec, &volumes);
    host_network(faults, path, spec);
    one_of(
        faults,
        path,
        spec,
        "restartPolicy",
        &["Always", "OnFailure", "Never"],
    );
    const DNS: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(faults, path, spec, "dnsPolicy", DNS);
    meta::labels(
        faults,
        &format!("{path}.nodeSelector"),
        spec.get("nodeSelector"),
    );
    users(
        faults,
        &format!("{path}.securityContext"),
        spec.get("securityContext"),
    );
    placement::affinity(faults, &format!("{path}.affinity"), spec.get("affinity"));
    dns_config(faults, path, spec);
    for (field, inner) in [
        ("readinessGates", "conditionType"),
        ("schedulingGates", "name"),
    ] {
        for (i, gate) in list(spec, field).iter().enumerate() {
            let path = match field {
                "readinessGates" => format!("{path}.{field}[{i}].{inner}"),
                _ => format!("{path}.{field}[{i}]"),
            };
            reasons(
                faults,
                &path,
                text(gate, inner),
                names::label_key(text(gate, inner)),
            );
        }
    }
    placement::spread(faults, &format!("{path}.topologySpreadConstraints"), spec);
    names_in(faults, path, spec);
    if let Some(seconds) = number(spec, "activeDeadlineSeconds") {
        let path = format!("{path}.activeDeadlineSeconds");
        within(faults, &path, seconds, 1);
    }
    placement::tolerations(
        faults,
        &format!("{path}.tolerations"),
        list(spec, "tolerations"),
    );
    host_aliases(
        faults,
        &format!("{path}.hostAliases"),
        list(spec, "hostAliases"),
    );
    one_of(
        faults,
        path,
        spec,
        "preemptionPolicy",
        &["PreemptLowerPriority", "Never"],
    );
    super::resources::quantities(
        faults,
        &format!("{path}.overhead.limits"),
        spec.get("overhead"),
    );
}

fn names_in(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    type Check = fn(&str) -> Vec<String>;
    const NAMES: [(&str, Check); 6] = [
        ("serviceAccountName", names::dns1123_subdomain),
        ("nodeName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
    ];
    for (field, check) in NAMES {
        let name = text(spec, field);
        if !name.is_empty() {
            reasons(faults, &format!("{path}.{field}"), name, check(name));
        }
    }
}

/// On the host's network a container's port is the host's.
fn host_network(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    if spec.get("hostNetwork") != Some(&json!(true)) {
        return;
    }
    for (i, container) in list(spec, "containers").iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let host = number(port, "hostPort").unwrap_or_default();
            if host != number(port, "containerPort").unwrap_or_default() {
                let path = format!("{path}.containers[{i}].ports[{j}].hostPort");
                let why = "must match `containerPort` when `hostNetwork` is true";
                faults.push(Cause::invalid(path, host, why));
            }
        }
    }
}

/// Who the processes are.
pub(super) fn users(faults: &mut Vec<Cause>, path: &str, context: Option<&Value>) {
    let Some(context) = context else { return };
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        if let Some(id) = number(context, field) {
            within(faults, &format!("{path}.{field}"), id, 0);
        }
    }
}

fn within(faults: &mut Vec<Cause>, path: &str, value: i64, least: i64) {
    let most = i64::from(i32::MAX);
    if !(least..=most).contains(&value) {
        let why = format!("must be between {least} and {most}, inclusive");
        faults.push(Cause::invalid(path, value, &why));
    }
}

fn dns_config(faults: &mut Vec<Cause>, path: &str, spec: &Value) {
    let config = get(spec, "dnsConfig");
    let servers = config.map_or(&[][..], |config| list(config, "nameservers"));
    if text(spec, "dnsPolicy") == "None" {
        if config.is_none() {
            let why = "must provide `dnsConfig` when `dnsPolicy` is None";
            faults.push(Cause::required(format!("{path}.dnsConfig"), why));
        } else if servers.is_empty() {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            faults.push(Cause::required(
                format!("{path}.dnsConfig.nameservers"),
                why,
            ));
        }
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        address(
            faults,
            &format!("{path}.dnsConfig.nameservers[{i}]"),
            server,
        );
    }
}

fn host_aliases(faults: &mut Vec<Cause>, path: &str, aliases: &[Value]) {
    for (i, alias) in aliases.iter().enumerate() {
        address(faults, &format!("{path}[{i}].ip"), text(alias, "ip"));
        for (j, name) in list(alias, "hostnames")
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let path = format!("{path}[{i}].hostnames[{j}]");
            reasons(faults, &path, name, names::dns1123_subdomain(name));
        }
    }
}

/// What of a running pod may change.
fn update(faults: &mut Vec<Cause>, new: &Value, old: &Value) {
    for field in ["containers", "initContainers"] {
        if list(new, field).len() != list(old, field).len() {
            let why = "pod updates may not add or remove containers";
            faults.push(Cause::forbidden(format!("spec.{field}"), why));
            return;
        }
        for (i, container) in list(new, field).iter().enumerate() {
            required(faults, &format!("spec.{field}[{i}]"), container, "image");
        }
    }
    deadline(faults, new, old);
    let (tolerations, known) = (list(new, "tolerations"), list(old, "tolerations"));
    let is_kept = |toleration: &Value| {
        tolerations
            .iter()
            .any(|now| without_seconds(now) == without_seconds(toleration))
    };
    if !known.iter().all(is_kept) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        faults.push(Cause::forbidden("spec.tolerations", why));
    }
    if comparable(new, old) != comparable(old, old) {
        faults.push(Cause::forbidden("spec", CHANGES));
    }
}

fn deadline(faults: &mut Vec<Cause>, new: &Value, old: &Value) {
    const PATH: &str = "spec.activeDeadlineSeconds";
    match (
        number(new, "activeDeadlineSeconds"),
        number(old, "activeDeadlineSeconds"),
    ) {
        (Some(new), Some(old)) if new > old => {
            let why = "must be less than or equal to previous value";
            faults.push(Cause::invalid(PATH, new, why));
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            faults.push(Cause::invalid(PATH, &Value::Null, why));
        }
        _ => {}
    }
}

fn without_seconds(toleration: &Value) -> Map<String, Value> {
    let mut map = toleration.as_object().cloned().unwrap_or_default();
    map.remove("tolerationSeconds");
    map
}

/// The spec without what may change.
fn comparable(spec: &Value, old: &Value) -> Value {
    let mut map = spec.as_object().cloned().unwrap_or_default();
    for field in ["activeDeadlineSeconds", "tolerations"] {
        map.remove(field);
    }
    // A pod whose start is held back may still be told where it may run.
    if !list(old, "schedulingGates").is_empty() {
        for field in ["schedulingGates", "nodeSelector", "affinity"] {
            map.remove(field);
        }
    }
    if number(spec, "terminationGracePeriodSeconds") == Some(1)
        && number(old, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0)
    {
        map.remove("terminationGracePeriodSeconds");
        if let Some(seconds) = old.get("terminationGracePeriodSeconds") {
            map.insert("terminationGracePeriodSeconds".into(), seconds.clone());
        }
    }
    for field in ["containers", "initContainers"] {
        for container in map
            .get_mut(field)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
            }
        }
    }
    map.retain(|_, value| !is_empty(Some(value)));
    Value::Object(map)
}

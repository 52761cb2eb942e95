//! Defaults of a pod, and of the template of one inside a workload.

use serde_json::{Map, Value};

use super::{child, default, default_number, default_text, each, made, pod_level, text};

/// Octal 0644, the mode of files in volumes.
const FILE_MODE: i64 = 420;

/// A pod on its own.
pub(super) fn pod(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else {
        return;
    };
    default(spec, "enableServiceLinks", true);
    pod_spec(spec);
    for containers in ["initContainers", "containers"] {
        each(spec, containers).for_each(requests_from_limits);
    }
    pod_level::requests(spec);
}

/// The object `PodTemplate`.
pub(super) fn pod_template_object(object: &mut Map<String, Value>) {
    template(object);
}

/// The pod spec under `template` of a workload's spec.
pub(super) fn template(parent: &mut Map<String, Value>) {
    if let Some(spec) = child(parent, "template").and_then(|template| child(template, "spec")) {
        pod_spec(spec);
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default(spec, "securityContext", Map::new());
    default(spec, "terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    let on_host = spec
        .get("hostNetwork")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for item in each(spec, containers) {
            container(item, containers == "ephemeralContainers");
            if on_host && containers != "ephemeralContainers" {
                each(item, "ports").for_each(host_port);
            }
        }
    }
    each(spec, "volumes").for_each(volume);
}

/// On the host's network a container's port is the host's port.
fn host_port(port: &mut Map<String, Value>) {
    if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
        default_number(port, "hostPort", number);
    }
}

fn container(item: &mut Map<String, Value>, is_ephemeral: bool) {
    let policy = if is_pinned(text(item, "image")) {
        "IfNotPresent"
    } else {
        "Always"
    };
    default_text(item, "imagePullPolicy", policy);
    default_text(item, "terminationMessagePath", "/dev/termination-log");
    default_text(item, "terminationMessagePolicy", "File");
    default(item, "resources", Map::new());
    for port in each(item, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for variable in each(item, "env") {
        let source = child(variable, "valueFrom").and_then(|from| child(from, "fieldRef"));
        if let Some(field) = source {
            default_text(field, "apiVersion", "v1");
        }
    }
    if is_ephemeral {
        return;
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = child(item, name) {
            probe_defaults(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = child(item, "lifecycle").and_then(|lifecycle| child(lifecycle, hook)) {
            http_get(hook);
        }
    }
}

/// True unless the image's tag is `latest` or left out.
fn is_pinned(image: &str) -> bool {
    if image.contains('@') {
        return true;
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_some_and(|(_, tag)| tag != "latest")
}

fn probe_defaults(probe: &mut Map<String, Value>) {
    default_number(probe, "timeoutSeconds", 1);
    default_number(probe, "periodSeconds", 10);
    default_number(probe, "successThreshold", 1);
    default_number(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = child(probe, "grpc") {
        default(grpc, "service", "");
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = child(handler, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

/// A limit without a request is the request too.
fn requests_from_limits(item: &mut Map<String, Value>) {
    let Some(resources) = child(item, "resources") else {
        return;
    };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    if let Some(requests) = made(resources, "requests") {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn volume(volume: &mut Map<String, Value>) {
    let has_source = volume
        .iter()
        .any(|(field, value)| field != "name" && !value.is_null());
    if !has_source {
        default(volume, "emptyDir", Map::new());
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, source) {
            default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(path) = child(volume, "hostPath") {
        default(path, "type", "");
    }
    if let Some(downward) = child(volume, "downwardAPI") {
        each(downward, "items").for_each(field_version);
    }
    for source in child(volume, "projected")
        .into_iter()
        .flat_map(|source| each(source, "sources"))
    {
        if let Some(token) = child(source, "serviceAccountToken") {
            default_number(token, "expirationSeconds", 3600);
        }
        if let Some(downward) = child(source, "downwardAPI") {
            each(downward, "items").for_each(field_version);
        }
    }
    let claim = child(volume, "ephemeral").and_then(|source| child(source, "volumeClaimTemplate"));
    if let Some(spec) = claim.and_then(|claim| child(claim, "spec")) {
        default_text(spec, "volumeMode", "Filesystem");
    }
}

fn field_version(item: &mut Map<String, Value>) {
    if let Some(field) = child(item, "fieldRef") {
        default_text(field, "apiVersion", "v1");
    }
}

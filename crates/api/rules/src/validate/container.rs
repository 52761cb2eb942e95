//! Containers of a pod: names, images, ports, mounts.

use std::collections::BTreeSet;

use api_meta::{Cause, names};
use serde_json::{Value, json};

use super::tools::{get, list, number, one_of, reasons, text};
use super::{environment, ephemeral, pod, probe, resources};

/// Every container of a pod spec. `volumes` are the names of its volumes.
pub(super) fn all(faults: &mut Vec<Cause>, path: &str, spec: &Value, volumes: &BTreeSet<String>) {
    let containers = list(spec, "containers");
    if containers.is_empty() {
        faults.push(Cause::required(format!("{path}.containers"), ""));
    }
    let mut names = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = format!("{path}.containers[{i}]");
        common(faults, &path, container, volumes);
        unique(faults, &path, container, &mut names);
        lifecycle(faults, &path, container);
        probe::all(faults, &path, container);
    }
    host_ports(faults, &format!("{path}.containers"), containers);
    for (i, container) in list(spec, "initContainers").iter().enumerate() {
        let path = format!("{path}.initContainers[{i}]");
        common(faults, &path, container, volumes);
        one_of(
            faults,
            &path,
            container,
            "restartPolicy",
            &["Always", "Never", "OnFailure"],
        );
        unique(faults, &path, container, &mut names);
        if text(container, "restartPolicy") == "Always" {
            lifecycle(faults, &path, container);
            probe::all(faults, &path, container);
            continue;
        }
        for field in [
            "lifecycle",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
        ] {
            if get(container, field).is_some() {
                let why = "may not be set for init containers without restartPolicy=Always";
                faults.push(Cause::forbidden(format!("{path}.{field}"), why));
            }
        }
    }
    ephemeral::all(faults, path, spec, volumes);
}

fn unique(faults: &mut Vec<Cause>, path: &str, container: &Value, names: &mut BTreeSet<String>) {
    let name = text(container, "name");
    if !names.insert(name.to_owned()) {
        faults.push(Cause::duplicate(format!("{path}.name"), name));
    }
}

/// What every kind of container must be.
pub(super) fn common(
    faults: &mut Vec<Cause>,
    path: &str,
    container: &Value,
    volumes: &BTreeSet<String>,
) {
    let name = text(container, "name");
    if name.is_empty() {
        faults.push(Cause::required(format!("{path}.name"), ""));
    } else {
        reasons(
            faults,
            &format!("{path}.name"),
            name,
            names::dns1123_label(name),
        );
    }
    let image = text(container, "image");
    if image.is_empty() {
        faults.push(Cause::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        faults.push(Cause::invalid(format!("{path}.image"), image, why));
    }
    const MESSAGES: &[&str] = &["File", "FallbackToLogsOnError"];
    one_of(
        faults,
        path,
        container,
        "terminationMessagePolicy",
        MESSAGES,
    );
    ports(faults, &format!("{path}.ports"), list(container, "ports"));
    environment::variables(faults, &format!("{path}.env"), list(container, "env"));
    environment::sources(
        faults,
        &format!("{path}.envFrom"),
        list(container, "envFrom"),
    );
    mounts(
        faults,
        &format!("{path}.volumeMounts"),
        list(container, "volumeMounts"),
        volumes,
    );
    one_of(
        faults,
        path,
        container,
        "imagePullPolicy",
        &["Always", "IfNotPresent", "Never"],
    );
    resources::requirements(
        faults,
        &format!("{path}.resources"),
        container.get("resources"),
    );
    let path = format!("{path}.securityContext");
    pod::users(faults, &path, container.get("securityContext"));
    if let Some(context) = get(container, "securityContext")
        && context.get("privileged") == Some(&json!(true))
        && context.get("allowPrivilegeEscalation") == Some(&json!(false))
    {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        faults.push(Cause::invalid(path, context, why));
    }
}

fn ports(faults: &mut Vec<Cause>, path: &str, ports: &[Value]) {
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !names.insert(name) {
                faults.push(Cause::duplicate(format!("{path}.name"), name));
            }
            reasons(faults, &format!("{path}.name"), name, wrong);
        }
        match number(port, "containerPort").unwrap_or_default() {
            0 => faults.push(Cause::required(format!("{path}.containerPort"), "")),
            number => {
                let path = format!("{path}.containerPort");
                reasons(faults, &path, number, names::port_number(number));
            }
        }
        if let Some(number) = number(port, "hostPort").filter(|number| *number != 0) {
            reasons(
                faults,
                &format!("{path}.hostPort"),
                number,
                names::port_number(number),
            );
        }
        one_of(faults, &path, port, "protocol", &["SCTP", "TCP", "UDP"]);
    }
}

/// A port of the host can be given once.
fn host_ports(faults: &mut Vec<Cause>, path: &str, containers: &[Value]) {
    let mut taken = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let Some(number) = number(port, "hostPort").filter(|number| *number != 0) else {
                continue;
            };
            let place = format!(
                "{}/{}/{number}",
                text(port, "protocol"),
                text(port, "hostIP")
            );
            if !taken.insert(place.clone()) {
                let path = format!("{path}[{i}].ports[{j}].hostPort");
                faults.push(Cause::duplicate(path, &place));
            }
        }
    }
}

fn mounts(faults: &mut Vec<Cause>, path: &str, mounts: &[Value], volumes: &BTreeSet<String>) {
    let mut places = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
        let item = format!("{path}[{i}]");
        let name = text(mount, "name");
        if name.is_empty() {
            faults.push(Cause::required(format!("{item}.name"), ""));
        }
        if !volumes.contains(name) {
            faults.push(Cause::not_found(format!("{item}.name"), name));
        }
        let place = text(mount, "mountPath");
        if place.is_empty() {
            faults.push(Cause::required(format!("{item}.mountPath"), ""));
        } else if !places.insert(place) {
            faults.push(Cause::invalid(
                format!("{item}.mountPath"),
                place,
                "must be unique",
            ));
        }
        let below = text(mount, "subPath");
        // Upstream leaves the index out of this one path.
        if below.starts_with('/') {
            faults.push(Cause::invalid(
                format!("{path}.subPath"),
                below,
                "must be a relative path",
            ));
        } else if below.split('/').any(|part| part == "..") {
            faults.push(Cause::invalid(
                format!("{path}.subPath"),
                below,
                "must not contain '..'",
            ));
        }
    }
}

fn lifecycle(faults: &mut Vec<Cause>, path: &str, container: &Value) {
    let Some(lifecycle) = get(container, "lifecycle") else {
        return;
    };
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = get(lifecycle, hook) {
            probe::handler(faults, &format!("{path}.lifecycle.{hook}"), handler);
        }
    }
}

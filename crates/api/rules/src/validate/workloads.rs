//! Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers.

use api_meta::labels::Selector;
use api_meta::{Cause, names};
use serde_json::{Map, Value, json};

use super::tools::{
    count_or_percent, get, immutable, is_empty, is_nought, not_negative, number, percent, reasons,
    text,
};
use super::{pod, selector};

/// `apps/v1` Deployment.
pub(super) fn deployment(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(faults, "spec", spec, "replicas");
    selected(faults, spec, "deployment");
    strategy(faults, spec.get("strategy").unwrap_or(&nothing));
    for field in [
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        not_negative(faults, "spec", spec, field);
    }
    if let Some(deadline) = number(spec, "progressDeadlineSeconds")
        && deadline <= number(spec, "minReadySeconds").unwrap_or_default()
    {
        let why = "must be greater than minReadySeconds";
        faults.push(Cause::invalid(
            "spec.progressDeadlineSeconds",
            deadline,
            why,
        ));
    }
    selector_stays(faults, spec, old);
}

/// `apps/v1` ReplicaSet.
pub(super) fn replica_set(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(faults, "spec", spec, "replicas");
    not_negative(faults, "spec", spec, "minReadySeconds");
    selected(faults, spec, "deployment");
    selector_stays(faults, spec, old);
}

/// `apps/v1` DaemonSet.
pub(super) fn daemon_set(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    selector_stays(faults, spec, old);
    let labels = get(spec, "selector");
    if let Some(labels) = labels {
        selector::check(faults, "spec.selector", labels);
    }
    match_template(faults, spec, selector::read(labels).as_ref());
    if let Some(labels) = labels.filter(|labels| selector::is_blank(labels)) {
        let why = "empty selector is invalid for daemonset";
        faults.push(selector::invalid("spec.selector", labels, why));
    }
    template(faults, spec, "DaemonSet");
    not_negative(faults, "spec", spec, "minReadySeconds");
    let strategy = spec.get("updateStrategy").unwrap_or(&nothing);
    let rolling = get(strategy, "rollingUpdate");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let of = |field| rolling.and_then(|rolling| rolling.get(field));
            for field in ["maxUnavailable", "maxSurge"] {
                if let Some(value) = of(field) {
                    let path = format!("spec.updateStrategy.rollingUpdate.{field}");
                    count_or_percent(faults, &path, value);
                }
            }
            if is_nought(of("maxUnavailable")) && is_nought(of("maxSurge")) {
                let path = "spec.updateStrategy.rollingUpdate.maxUnavailable";
                faults.push(Cause::required(path, "cannot be 0 when maxSurge is 0"));
            }
        }
        _ => {
            let known = "supported values: \"RollingUpdate\", \"OnDelete\"";
            let message = format!("Unsupported value: {}: {known}", strategy_json(strategy));
            faults.push(Cause::new(
                "FieldValueNotSupported",
                "spec.updateStrategy",
                message,
            ));
        }
    }
    not_negative(faults, "spec", spec, "revisionHistoryLimit");
}

/// `apps/v1` StatefulSet.
pub(super) fn stateful_set(object: &Value, old: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    let policy = text(spec, "podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        let why = "must be 'OrderedReady' or 'Parallel'";
        faults.push(Cause::invalid("spec.podManagementPolicy", policy, why));
    }
    let strategy = spec.get("updateStrategy").unwrap_or(&nothing);
    if !matches!(text(strategy, "type"), "RollingUpdate" | "OnDelete") {
        let why = "must be 'RollingUpdate' or 'OnDelete'";
        let message = format!("Invalid value: {}: {why}", strategy_json(strategy));
        faults.push(Cause::new(
            "FieldValueInvalid",
            "spec.updateStrategy",
            message,
        ));
    }
    not_negative(faults, "spec", spec, "replicas");
    not_negative(faults, "spec", spec, "minReadySeconds");
    let service = text(spec, "serviceName");
    if old.is_none() && !service.is_empty() {
        reasons(
            faults,
            "spec.serviceName",
            service,
            names::dns1123_label(service),
        );
    }
    selector_is_there(faults, spec, "statefulset");
    let claims = super::tools::list(spec, "volumeClaimTemplates");
    let with_claims = with_claim_volumes(spec, claims);
    match_template(
        faults,
        &with_claims,
        selector::read(get(spec, "selector")).as_ref(),
    );
    template(faults, &with_claims, "StatefulSet");
    if let Some(old) = old {
        stateful_set_stays(faults, spec, old.get("spec").unwrap_or(&nothing));
    }
}

/// The claims of a StatefulSet are volumes of its pods.
fn with_claim_volumes(spec: &Value, claims: &[Value]) -> Value {
    let mut spec = spec.clone();
    let volumes = claims.iter().map(|claim| {
        let name = api_meta::object::name(claim);
        json!({"name": name, "persistentVolumeClaim": {"claimName": name}})
    });
    let mut volumes: Vec<Value> = volumes.collect();
    if volumes.is_empty() {
        return spec;
    }
    if let Some(pod) = spec
        .pointer_mut("/template/spec")
        .and_then(Value::as_object_mut)
    {
        let own = pod
            .get("volumes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let is_own = |volume: &Value| volumes.iter().all(|claim| claim["name"] != volume["name"]);
        let own: Vec<Value> = own.into_iter().filter(is_own).collect();
        volumes.extend(own);
        pod.insert("volumes".to_owned(), volumes.into());
    }
    spec
}

fn stateful_set_stays(faults: &mut Vec<Cause>, new: &Value, old: &Value) {
    const FREE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    let fixed = |spec: &Value| {
        let mut map: Map<String, Value> = spec.as_object().cloned().unwrap_or_default();
        map.retain(|field, value| !FREE.contains(&field.as_str()) && !is_empty(Some(value)));
        map
    };
    if fixed(new) != fixed(old) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        faults.push(Cause::forbidden("spec", why));
    }
}

/// ReplicationController.
pub(super) fn replication_controller(object: &Value, _: Option<&Value>, faults: &mut Vec<Cause>) {
    let nothing = json!({});
    let spec = object.get("spec").unwrap_or(&nothing);
    not_negative(faults, "spec", spec, "minReadySeconds");
    if is_empty(spec.get("selector")) {
        faults.push(Cause::required("spec.selector", ""));
    }
    not_negative(faults, "spec", spec, "replicas");
    if get(spec, "template").is_none() {
        faults.push(Cause::required("spec.template", ""));
        return;
    }
    let selector = Selector::from_pairs(api_meta::object::string_map(spec, &["selector"]));
    match_template(faults, spec, Some(&selector));
    template(faults, spec, "ReplicationController");
}

fn selected(faults: &mut Vec<Cause>, spec: &Value, kind: &str) {
    selector_is_there(faults, spec, kind);
    let labels = get(spec, "selector");
    match selector::read(labels) {
        None => {
            let labels = labels.unwrap_or(&Value::Null);
            faults.push(selector::invalid(
                "spec.selector",
                labels,
                "invalid label selector",
            ));
        }
        selector => {
            match_template(faults, spec, selector.as_ref());
            template(faults, spec, "ReplicaSet");
        }
    }
}

fn selector_is_there(faults: &mut Vec<Cause>, spec: &Value, kind: &str) {
    let Some(labels) = get(spec, "selector") else {
        return faults.push(Cause::required("spec.selector", ""));
    };
    selector::check(faults, "spec.selector", labels);
    if selector::is_blank(labels) {
        let why = format!("empty selector is invalid for {kind}");
        faults.push(selector::invalid("spec.selector", labels, &why));
    }
}

fn match_template(faults: &mut Vec<Cause>, spec: &Value, selector: Option<&Selector>) {
    let Some(selector) = selector.filter(|selector| !selector.is_everything()) else {
        return;
    };
    let labels = spec.pointer("/template/metadata/labels");
    let get = |key: &str| {
        labels
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str)
    };
    if !selector.matches_with(get) {
        let labels = labels.unwrap_or(&Value::Null);
        let why = "`selector` does not match template `labels`";
        faults.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
}

fn template(faults: &mut Vec<Cause>, spec: &Value, kind: &str) {
    const PATH: &str = "spec.template";
    let nothing = json!({});
    let template = spec.get("template").unwrap_or(&nothing);
    pod::template(faults, PATH, template);
    let pod = template.get("spec").unwrap_or(&nothing);
    let policy = text(pod, "restartPolicy");
    if policy != "Always" && !policy.is_empty() {
        let path = format!("{PATH}.spec.restartPolicy");
        faults.push(Cause::not_supported(path, policy, &["Always"]));
    }
    if get(pod, "activeDeadlineSeconds").is_some() {
        let path = format!("{PATH}.spec.activeDeadlineSeconds");
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        faults.push(Cause::forbidden(path, &why));
    }
}

fn strategy(faults: &mut Vec<Cause>, strategy: &Value) {
    const PATH: &str = "spec.strategy.rollingUpdate";
    let rolling = get(strategy, "rollingUpdate");
    match (text(strategy, "type"), rolling) {
        ("Recreate", Some(_)) => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            faults.push(Cause::forbidden(PATH, why));
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => {
            faults.push(Cause::required(
                PATH,
                "this should be defaulted and never be nil",
            ));
        }
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            for (field, value) in [("maxUnavailable", unavailable), ("maxSurge", surge)] {
                if let Some(value) = value {
                    count_or_percent(faults, &format!("{PATH}.{field}"), value);
                }
            }
            let path = format!("{PATH}.maxUnavailable");
            let value = unavailable.unwrap_or(&Value::Null);
            if is_nought(unavailable) && is_nought(surge) {
                faults.push(Cause::invalid(
                    path,
                    value,
                    "may not be 0 when `maxSurge` is 0",
                ));
            } else if percent(value).is_some_and(|percent| percent > 100) {
                faults.push(Cause::invalid(path, value, "must not be greater than 100%"));
            }
        }
        _ => {
            let known = "supported values: \"Recreate\", \"RollingUpdate\"";
            let message = format!("Unsupported value: {}: {known}", strategy_json(strategy));
            faults.push(Cause::new(
                "FieldValueNotSupported",
                "spec.strategy",
                message,
            ));
        }
    }
}

/// Upstream shows this value by the names of its own fields.
fn strategy_json(strategy: &Value) -> String {
    let rolling = strategy.get("rollingUpdate").unwrap_or(&Value::Null);
    format!(
        "{{\"Type\":{},\"RollingUpdate\":{rolling}}}",
        Value::from(text(strategy, "type"))
    )
}

fn selector_stays(faults: &mut Vec<Cause>, spec: &Value, old: Option<&Value>) {
    let Some(old) = old else { return };
    let (new, old) = (spec.get("selector"), old.pointer("/spec/selector"));
    let mut changed = Vec::new();
    immutable(&mut changed, "spec.selector", new, old);
    if !changed.is_empty() {
        let value = new.unwrap_or(&Value::Null);
        faults.push(selector::invalid(
            "spec.selector",
            value,
            "field is immutable",
        ));
    }
}

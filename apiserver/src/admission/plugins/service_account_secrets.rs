//! Which secrets a pod reaches for, and whether its service account lets it. Pure.

use api_meta::object;
use serde_json::Value;

/// The annotation by which an account limits its pods to the secrets that it lists.
pub(super) const ENFORCE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";

/// Where volumes and containers name secrets: the field, and the name inside.
const REFERENCES: [(&str, &str); 5] = [
    ("secret", "secretName"),
    ("azureFile", "secretName"),
    ("secretRef", "name"),
    ("secretKeyRef", "name"),
    ("nodePublishSecretRef", "name"),
];

/// True if the pod reaches for any secret at all.
pub(super) fn any(pod: &Value) -> bool {
    let Some(spec) = pod.get("spec") else {
        return false;
    };
    let parts = [
        "containers",
        "initContainers",
        "ephemeralContainers",
        "volumes",
    ];
    !object::list_at(spec, &["imagePullSecrets"]).is_empty()
        || parts
            .iter()
            .filter_map(|part| spec.get(*part))
            .any(names_secret)
}

fn names_secret(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(names_secret),
        Value::Object(fields) => fields.iter().any(|(field, inner)| {
            let direct = REFERENCES
                .iter()
                .filter(|(name, _)| name == field)
                .any(|(_, key)| inner.get(*key).is_some_and(Value::is_string));
            // A projected secret names itself with `name`.
            let projected = field == "secret" && inner.get("name").is_some_and(Value::is_string);
            direct || projected || names_secret(inner)
        }),
        _ => false,
    }
}

/// Why the account does not let the pod have one of its secrets.
pub(super) fn fault(account: &Value, pod: &Value) -> Option<String> {
    let owner = object::name(account);
    let allowed = names(account, "secrets");
    for volume in object::list_at(pod, &["spec", "volumes"]) {
        if let Some(name) = object::str_at(volume, &["secret", "secretName"])
            && !allowed.contains(&name)
        {
            return Some(format!(
                "volume with secret.secretName=\"{name}\" is not allowed because service account {owner} does not reference that secret"
            ));
        }
    }
    for (list, word) in [
        ("initContainers", "init container"),
        ("containers", "container"),
    ] {
        if let Some(why) = container_fault(pod, list, word, owner, &allowed) {
            return Some(why);
        }
    }
    let pull = names(account, "imagePullSecrets");
    object::list_at(pod, &["spec", "imagePullSecrets"]).iter().enumerate().find_map(|(i, secret)| {
        let name = object::str_at(secret, &["name"]).unwrap_or_default();
        (!pull.contains(&name)).then(|| {
            format!("imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {owner} does not reference that imagePullSecret")
        })
    })
}

/// The same for ephemeral containers, which are added later.
pub(super) fn ephemeral_fault(account: &Value, pod: &Value) -> Option<String> {
    let allowed = names(account, "secrets");
    container_fault(
        pod,
        "ephemeralContainers",
        "ephemeral container",
        object::name(account),
        &allowed,
    )
}

fn container_fault(
    pod: &Value,
    list: &str,
    word: &str,
    owner: &str,
    allowed: &[&str],
) -> Option<String> {
    for container in object::list_at(pod, &["spec", list]) {
        let of = object::str_at(container, &["name"]).unwrap_or_default();
        for env in object::list_at(container, &["env"]) {
            let Some(name) = object::str_at(env, &["valueFrom", "secretKeyRef", "name"]) else {
                continue;
            };
            if !allowed.contains(&name) {
                let env = object::str_at(env, &["name"]).unwrap_or_default();
                return Some(format!(
                    "{word} {of} with envVar {env} referencing secret.secretName=\"{name}\" is not allowed because service account {owner} does not reference that secret"
                ));
            }
        }
        for source in object::list_at(container, &["envFrom"]) {
            let Some(name) = object::str_at(source, &["secretRef", "name"]) else {
                continue;
            };
            if !allowed.contains(&name) {
                return Some(format!(
                    "{word} {of} with envFrom referencing secret.secretName=\"{name}\" is not allowed because service account {owner} does not reference that secret"
                ));
            }
        }
    }
    None
}

fn names<'a>(account: &'a Value, field: &str) -> Vec<&'a str> {
    object::list_at(account, &[field])
        .iter()
        .filter_map(|one| object::str_at(one, &["name"]))
        .collect()
}

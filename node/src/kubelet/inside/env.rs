//! The variables of a container: services, then `envFrom`, then `env`, each able to use earlier ones.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, Service};

use super::super::steps::NotStarted;
use super::field::{self, Facts};
use super::{Inside, objects};

/// Names and values in the order in which they were first set.
pub(super) type Variables = Vec<(String, String)>;

impl Inside {
    /// The variables of a container.
    pub(super) async fn environment(
        &self,
        facts: &Facts<'_>,
        spec: &Container,
    ) -> Result<Variables, NotStarted> {
        let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
        let empty = PodSpec::default();
        let links = facts
            .pod
            .spec
            .as_ref()
            .unwrap_or(&empty)
            .enable_service_links
            != Some(false);
        let mut out = Variables::new();
        for (name, value) in service_variables(&self.services.list(), namespace, links) {
            set(&mut out, name, value);
        }
        for source in spec.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            let found = if let Some(from) = &source.config_map_ref {
                let map = self
                    .objects
                    .config_map(namespace, &from.name, from.optional == Some(true))
                    .await?;
                map.map(|map| map.data.clone().unwrap_or_default())
            } else if let Some(from) = &source.secret_ref {
                let secret = self
                    .objects
                    .secret(namespace, &from.name, from.optional == Some(true))
                    .await?;
                secret.map(|secret| objects::texts(&secret))
            } else {
                None
            };
            for (name, value) in found.unwrap_or_default() {
                set(&mut out, format!("{prefix}{name}"), value);
            }
        }
        for variable in spec.env.iter().flatten() {
            if let Some(value) = self.value(facts, spec, variable, &out).await? {
                set(&mut out, variable.name.clone(), value);
            }
        }
        Ok(out)
    }

    async fn value(
        &self,
        facts: &Facts<'_>,
        spec: &Container,
        variable: &EnvVar,
        before: &Variables,
    ) -> Result<Option<String>, NotStarted> {
        let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
        let Some(source) = &variable.value_from else {
            return Ok(Some(expand(
                variable.value.as_deref().unwrap_or_default(),
                before,
            )));
        };
        let missing = |kind: &str, key: &str, name: &str| {
            let text = format!("couldn't find key {key} in {kind} {namespace}/{name}");
            NotStarted::new("CreateContainerConfigError", text)
        };
        if let Some(from) = &source.config_map_key_ref {
            let optional = from.optional == Some(true);
            let map = self
                .objects
                .config_map(namespace, &from.name, optional)
                .await?;
            let value = map.and_then(|map| map.data.as_ref()?.get(&from.key).cloned());
            return if value.is_none() && !optional {
                Err(missing("ConfigMap", &from.key, &from.name))
            } else {
                Ok(value)
            };
        }
        if let Some(from) = &source.secret_key_ref {
            let optional = from.optional == Some(true);
            let secret = self.objects.secret(namespace, &from.name, optional).await?;
            let value = secret.and_then(|secret| objects::texts(&secret).remove(&from.key));
            return if value.is_none() && !optional {
                Err(missing("Secret", &from.key, &from.name))
            } else {
                Ok(value)
            };
        }
        let refuse = |text: String| NotStarted::new("CreateContainerConfigError", text);
        if let Some(from) = &source.field_ref {
            return field::of_pod(facts, &from.field_path)
                .map(Some)
                .map_err(refuse);
        }
        if let Some(from) = &source.resource_field_ref {
            return field::of_resources(facts, from, spec)
                .map(Some)
                .map_err(refuse);
        }
        Err(refuse(format!(
            "the source of variable {} is not supported",
            variable.name
        )))
    }
}

fn set(variables: &mut Variables, name: String, value: String) {
    match variables.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => variables.push((name, value)),
    }
}

/// Replaces `$(NAME)` by known values; `$$(NAME)` stands for itself.
pub(super) fn expand(text: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = from.get(1..).unwrap_or_default();
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let name = after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'));
        match name {
            Some((name, tail)) => {
                match variables.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => out.push_str(value),
                    None => out.push_str(&format!("$({name})")),
                }
                rest = tail;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The variables that lead to services: those of the pod's namespace, and the api-server's always.
fn service_variables(
    services: &[std::sync::Arc<Service>],
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let is_master = |s: &Service| {
        s.metadata.namespace.as_deref() == Some("default")
            && s.metadata.name.as_deref() == Some("kubernetes")
    };
    // The pod's own namespace last: its services win over the api-server's of the same name.
    let masters = services.iter().filter(|s| is_master(s));
    let own = services
        .iter()
        .filter(|s| links && s.metadata.namespace.as_deref() == Some(namespace));
    for service in masters.chain(own) {
        let Some(spec) = &service.spec else { continue };
        let ip = spec.cluster_ip.as_deref().unwrap_or_default();
        let ports = spec.ports.as_deref().unwrap_or_default();
        let (Some(first), false) = (ports.first(), ip.is_empty() || ip == "None") else {
            continue;
        };
        let shout = |text: &str| text.to_uppercase().replace('-', "_");
        let name = shout(service.metadata.name.as_deref().unwrap_or_default());
        let address = |port: i32| {
            if ip.contains(':') {
                format!("[{ip}]:{port}")
            } else {
                format!("{ip}:{port}")
            }
        };
        out.insert(format!("{name}_SERVICE_HOST"), ip.to_owned());
        out.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
        let protocol_of = |p: Option<&str>| p.unwrap_or("TCP").to_owned();
        let url = format!(
            "{}://{}",
            protocol_of(first.protocol.as_deref()).to_lowercase(),
            address(first.port)
        );
        out.insert(format!("{name}_PORT"), url);
        for port in ports {
            if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
                out.insert(
                    format!("{name}_SERVICE_PORT_{}", shout(port_name)),
                    port.port.to_string(),
                );
            }
            let protocol = protocol_of(port.protocol.as_deref());
            let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
            let lower = protocol.to_lowercase();
            out.insert(prefix.clone(), format!("{lower}://{}", address(port.port)));
            out.insert(format!("{prefix}_PROTO"), lower);
            out.insert(format!("{prefix}_PORT"), port.port.to_string());
            out.insert(format!("{prefix}_ADDR"), ip.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::{expand, service_variables};

    #[test]
    fn variables_are_expanded_once() {
        let known = vec![
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "$(A)".to_owned()),
        ];
        for (text, want) in [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$(C)", "$(C)"),
            ("$A $ $(", "$A $ $("),
            ("$$$(A)", "$1"),
        ] {
            assert_eq!(expand(text, &known), want, "{text}");
        }
    }

    #[test]
    fn services_show_in_their_namespace_and_the_api_server_everywhere() {
        let service = |namespace: &str, name: &str, ip: &str| {
            let ports = json!([{"name": "http-web", "port": 80, "protocol": "TCP"}]);
            let value = json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": ports}});
            Arc::new(serde_json::from_value(value).expect("a service"))
        };
        let all = [
            service("default", "kubernetes", "10.0.0.1"),
            service("a", "my-web", "10.0.0.2"),
            service("b", "no", "10.0.0.3"),
            service("a", "headless", "None"),
        ];
        let names: Vec<_> = service_variables(&all, "a", true)
            .into_keys()
            .filter(|k| k.ends_with("_HOST"))
            .collect();
        assert_eq!(names, ["KUBERNETES_SERVICE_HOST", "MY_WEB_SERVICE_HOST"]);
        let variables = service_variables(&all, "a", true);
        assert_eq!(variables["MY_WEB_PORT_80_TCP"], "tcp://10.0.0.2:80");
        assert_eq!(variables["MY_WEB_SERVICE_PORT_HTTP_WEB"], "80");
        assert_eq!(
            service_variables(&all, "a", false)
                .keys()
                .filter(|k| k.starts_with("MY"))
                .count(),
            0
        );
    }
}

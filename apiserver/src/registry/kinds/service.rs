//! Services: what they are given (addresses, ports) and how they keep it.
//!
//! An address belongs to a Service by an IPAddress object, a node port by a bit in one shared
//! bitmap. Both change in the same transaction as the Service, so no replica ever gives one out
//! twice, and none is lost when a replica dies.

use api_meta::Cause;
use api_meta::kinds::Kind;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{node_ports, service_ips};
use crate::registry::context::RequestContext;
use crate::registry::service::Registry;
use crate::registry::strategy::Strategy;
use crate::registry::tree;
use crate::storage::Guarded;

pub(crate) struct Service;

#[async_trait]
impl Strategy for Service {
    fn prepare_create(&self, _: &RequestContext, _: &Kind, object: &mut Value) {
        if let Value::Object(map) = object {
            map.insert("status".into(), json!({"loadBalancer": {}}));
        }
    }

    fn prepare_update(&self, _: &RequestContext, new: &mut Value, old: &Value) {
        keep_allocated(new, old);
        drop_dependent(new, old);
        if kind_of(old) == "LoadBalancer" && kind_of(new) != "LoadBalancer" {
            tree::child(new, "status").insert("loadBalancer".into(), json!({}));
        }
    }

    async fn beside_create(
        &self,
        registry: &Registry,
        object: &mut Value,
    ) -> Result<Vec<Guarded>, Status> {
        let mut writes = service_ips::give(registry, object, &[]).await?;
        writes.extend(node_ports::give(registry, object, &Value::Null).await?);
        Ok(writes)
    }

    async fn beside_update(
        &self,
        registry: &Registry,
        new: &mut Value,
        old: &Value,
    ) -> Result<Vec<Guarded>, Status> {
        let had = service_ips::addresses(old);
        let mut writes = service_ips::give(registry, new, &had).await?;
        let keeps = service_ips::addresses(new);
        let lost: Vec<_> = had.into_iter().filter(|ip| !keeps.contains(ip)).collect();
        writes.extend(service_ips::take_back(registry, old, &lost).await?);
        writes.extend(node_ports::give(registry, new, old).await?);
        Ok(writes)
    }

    async fn beside_delete(
        &self,
        registry: &Registry,
        old: &Value,
    ) -> Result<Vec<Guarded>, Status> {
        let mut writes =
            service_ips::take_back(registry, old, &service_ips::addresses(old)).await?;
        writes.extend(node_ports::take_back(registry, old).await?);
        Ok(writes)
    }
}

/// The Service's type.
pub(super) fn kind_of(service: &Value) -> &str {
    match tree::text(service, "/spec/type") {
        "" => "ClusterIP",
        kind => kind,
    }
}

/// Whether it has addresses of its own, or "None".
pub(super) fn needs_address(service: &Value) -> bool {
    kind_of(service) != "ExternalName"
}

/// Whether its ports are open on every node.
pub(super) fn needs_node_ports(service: &Value) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

/// A fault of one field, as an answer.
pub(super) fn invalid(service: &Value, cause: Cause) -> Status {
    Status::invalid("", "Service", tree::name(service), vec![cause])
}

/// What was given stays, where the request leaves it out.
fn keep_allocated(new: &mut Value, old: &Value) {
    if needs_address(new) && needs_address(old) {
        let from = old.get("spec").cloned().unwrap_or_default();
        let spec = tree::child(new, "spec");
        let is_empty = |value: Option<&Value>| match value {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
        };
        if is_empty(spec.get("clusterIP")) && is_empty(spec.get("clusterIPs")) {
            tree::copy_field(spec, Some(&from), "clusterIP");
        }
        let same_address = spec.get("clusterIP") == from.get("clusterIP");
        for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            if is_empty(spec.get(field)) && (same_address || field != "clusterIPs") {
                tree::copy_field(spec, Some(&from), field);
            }
        }
    } else if !needs_address(new) && needs_address(old) {
        let spec = tree::child(new, "spec");
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            spec.remove(field);
        }
    }
    node_ports::keep(new, old);
}

/// What only makes sense with the old type goes with it, unless the request set it anew.
fn drop_dependent(new: &mut Value, old: &Value) {
    let (before, now) = (kind_of(old).to_owned(), kind_of(new).to_owned());
    let is_external = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let mut fields = Vec::new();
    if is_external(&before) && !is_external(&now) {
        fields.extend(["externalTrafficPolicy", "healthCheckNodePort"]);
    }
    if before == "LoadBalancer" && now != "LoadBalancer" {
        fields.extend([
            "allocateLoadBalancerNodePorts",
            "loadBalancerClass",
            "healthCheckNodePort",
        ]);
    }
    let from = old.get("spec").cloned().unwrap_or_default();
    let spec = tree::child(new, "spec");
    for field in fields {
        if spec.get(field) == from.get(field) {
            spec.remove(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{drop_dependent, keep_allocated};

    #[test]
    fn what_belongs_to_the_old_type_goes_with_it() {
        let old = json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}});
        let mut new = json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Cluster"}});
        drop_dependent(&mut new, &old);
        assert_eq!(new, json!({"spec": {"type": "ClusterIP"}}));
        let mut asked = json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}});
        drop_dependent(&mut asked, &old);
        assert_eq!(
            asked["spec"]["externalTrafficPolicy"], "Local",
            "left for validation to refuse"
        );
    }

    #[test]
    fn what_was_given_stays() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"],
            "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [
            {"port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]}});
        keep_allocated(&mut new, &old);
        assert_eq!(new["spec"]["clusterIPs"], json!(["10.0.0.9"]));
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
        assert!(new["spec"]["ports"][1].get("nodePort").is_none());
        let mut external = json!({"spec": {"type": "ExternalName", "clusterIP": "10.0.0.9"}});
        keep_allocated(&mut external, &old);
        assert!(external["spec"].get("clusterIP").is_none());
    }
}

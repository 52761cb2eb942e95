//! Gives new nodes the taint of a node that is not ready, so that nothing is scheduled to them before
//! they are. A controller lifts it.

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::{Operation, Plugin, Request};

const KEY: &str = "node.kubernetes.io/not-ready";

/// See the module.
pub struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        if request.operation != Operation::Create || !request.is_for("", "nodes") {
            return Ok(());
        }
        let Some(node) = &mut request.object else {
            return Ok(());
        };
        let mut taints = object::list_at(node, &["spec", "taints"]).to_vec();
        if !taints
            .iter()
            .any(|one| one["key"] == KEY && one["effect"] == "NoSchedule")
        {
            taints.push(json!({"key": KEY, "effect": "NoSchedule"}));
            object::set(node, &["spec", "taints"], Value::Array(taints));
        }
        Ok(())
    }
}

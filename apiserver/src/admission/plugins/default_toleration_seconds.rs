//! Lets pods stay for five minutes on a node that is not ready or not reachable, unless they say
//! themselves how they bear it.

use api_meta::object;
use api_meta::status::Status;
use async_trait::async_trait;
use serde_json::{Value, json};

use super::super::{Operation, Plugin, Request};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

/// See the module.
pub struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if !writes || !request.is_for("", "pods") {
            return Ok(());
        }
        let Some(pod) = &mut request.object else {
            return Ok(());
        };
        let mut tolerations = object::list_at(pod, &["spec", "tolerations"]).to_vec();
        let before = tolerations.len();
        for taint in TAINTS {
            if !tolerations[..before].iter().any(|one| bears(one, taint)) {
                tolerations.push(json!({
                    "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
                }));
            }
        }
        if tolerations.len() > before {
            object::set(pod, &["spec", "tolerations"], Value::Array(tolerations));
        }
        Ok(())
    }
}

fn bears(toleration: &Value, taint: &str) -> bool {
    let text = |field| object::str_at(toleration, &[field]).unwrap_or_default();
    (text("key").is_empty() || text("key") == taint)
        && (text("effect").is_empty() || text("effect") == "NoExecute")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::DefaultTolerationSeconds;
    use crate::admission::{Operation, Plugin};
    use crate::authz::testing::pod_request;

    async fn keys(tolerations: serde_json::Value) -> Vec<String> {
        let pod = json!({"spec": {"tolerations": tolerations}});
        let mut request = pod_request(Operation::Create, pod, None);
        DefaultTolerationSeconds.mutate(&mut request).await.unwrap();
        let pod = request.object.unwrap();
        let list = pod["spec"]["tolerations"].as_array().unwrap().clone();
        list.iter()
            .map(|one| one["key"].as_str().unwrap_or("*").to_owned())
            .collect()
    }

    #[tokio::test]
    async fn adds_what_the_pod_does_not_say() {
        let (ready, reach) = (
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        );
        assert_eq!(keys(json!(null)).await, [ready, reach]);
        assert_eq!(
            keys(json!([{"key": ready, "effect": "NoExecute"}])).await,
            [ready, reach]
        );
        assert_eq!(
            keys(json!([{"key": ready, "effect": "NoSchedule"}])).await,
            [ready, ready, reach]
        );
        assert_eq!(keys(json!([{"operator": "Exists"}])).await, ["*"]);
    }
}

//! What a PodDisruptionBudget says to an eviction, and what it costs.

use api_meta::Cause;
use api_meta::kinds::{Kind, Kinds};
use api_meta::labels::Selector;
use api_meta::status::Status;
use serde_json::{Value, json};

use crate::registry::context::Target;
use crate::registry::options::ListOptions;
use crate::registry::selection::Selection;
use crate::registry::service::Registry;
use crate::registry::tree;

/// Pods that may be on their way out under one budget at one time, as upstream has it.
const DISRUPTED_MAX: usize = 2000;
/// The condition that tells whether evictions are allowed.
const ALLOWED: &str = "DisruptionAllowed";
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl Registry {
    /// The budget that a pod counts for.
    pub(super) async fn budget_of(
        &self,
        target: &Target,
        pod: &Value,
    ) -> Result<Option<Value>, Status> {
        let selection = Selection::everything(&target.namespace);
        let list = self
            .list(kind(), &selection, &ListOptions::everything())
            .await?;
        let mut found = Vec::new();
        for object in list.items {
            let budget = object.value()?;
            let selector = Selector::from_value(budget.pointer("/spec/selector"))
                .unwrap_or_else(|_| Selector::nothing());
            if selector.matches_object(pod) {
                found.push(budget);
            }
        }
        if found.len() > 1 {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::failure(500, "", why));
        }
        Ok(found.pop())
    }
}

/// The kind of budgets.
pub(super) fn kind() -> &'static Kind {
    Kinds::builtin()
        .by_resource("policy", "v1", "poddisruptionbudgets")
        .expect("the table of built-in kinds has it, and a test reads the table")
}

/// Whether pods that are not ready may go whatever the budget has left.
pub(super) fn permits_unready(budget: &Value) -> bool {
    if tree::text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow" {
        return true;
    }
    let number = |pointer| tree::number(budget, pointer).unwrap_or(0);
    let desired = number("/status/desiredHealthy");
    desired > 0 && number("/status/currentHealthy") >= desired
}

/// The refusal as long as what the budget says is out of date.
pub(super) fn still_processed(name: &str) -> Status {
    let why = format!("The disruption budget {name} is still being processed by the server.");
    Status::too_many_requests(REFUSED, 10).with_cause(Cause::new("DisruptionBudget", "", why))
}

/// The budget with one disruption less, or why it has none.
pub(super) fn charged(budget: &Value, pod: &str, is_dry: bool) -> Result<Value, Status> {
    let name = tree::name(budget);
    let number = |pointer| tree::number(budget, pointer).unwrap_or(0);
    let forbidden = |why: &str| {
        Err(Status::forbidden(
            "policy",
            "poddisruptionbudget",
            name,
            why,
        ))
    };
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Err(still_processed(name));
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    let disrupted = budget
        .pointer("/status/disruptedPods")
        .and_then(Value::as_object);
    if disrupted.is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return forbidden(why);
    }
    if allowed == 0 {
        let cause = Cause::new("DisruptionBudget", "", spent(budget));
        return Err(Status::too_many_requests(REFUSED, 0).with_cause(cause));
    }
    let mut budget = budget.clone();
    if is_dry {
        return Ok(budget);
    }
    let status = tree::child(&mut budget, "status");
    status.insert("disruptionsAllowed".into(), (allowed - 1).into());
    tree::submap(status, "disruptedPods").insert(pod.to_owned(), tree::now().into());
    if allowed == 1 {
        refuse_more(&mut budget);
    }
    Ok(budget)
}

/// Why nothing is left.
fn spent(budget: &Value) -> String {
    let name = tree::name(budget);
    let number = |pointer| tree::number(budget, pointer).unwrap_or(0);
    let (desired, current) = (
        number("/status/desiredHealthy"),
        number("/status/currentHealthy"),
    );
    let told = tree::array(budget, "/status/conditions")
        .iter()
        .find(|one| tree::text(one, "/type") == ALLOWED)
        .filter(|one| tree::text(one, "/status") == "False")
        .map(|one| (tree::text(one, "/reason"), tree::text(one, "/message")))
        .filter(|(_, message)| !message.is_empty());
    match told {
        // The numbers below cannot be trusted then.
        Some(("SyncFailed", message)) => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        ),
        _ if current <= desired => {
            format!(
                "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
            )
        }
        Some((reason, message)) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({reason}): {message}"
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

/// Tells at once, and not when its controller comes round, that the last disruption is spent.
fn refuse_more(budget: &mut Value) {
    let mut all = tree::array(budget, "/status/conditions").to_vec();
    let place = all
        .iter()
        .position(|one| tree::text(one, "/type") == ALLOWED);
    let since = place
        .and_then(|place| all.get(place))
        .filter(|one| tree::text(one, "/status") == "False")
        .map(|one| tree::text(one, "/lastTransitionTime").to_owned())
        .unwrap_or_else(tree::now);
    let told = json!({
        "type": ALLOWED,
        "status": "False",
        "reason": "InsufficientPods",
        "message": "",
        "lastTransitionTime": since,
        "observedGeneration": tree::number(budget, "/status/observedGeneration").unwrap_or(0),
    });
    match place.and_then(|place| all.get_mut(place)) {
        Some(slot) => *slot = told,
        None => all.push(told),
    }
    tree::child(budget, "status").insert("conditions".into(), all.into());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{charged, permits_unready};

    fn budget(status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 1}, "spec": {}, "status": status})
    }

    fn refusal(status: Value) -> (u16, String) {
        let refused = charged(&budget(status), "q", false).unwrap_err();
        let causes = refused.details.unwrap().causes;
        (
            refused.code,
            causes
                .first()
                .map_or(refused.message, |c| c.message.clone()),
        )
    }

    #[test]
    fn a_budget_is_spent_and_then_refuses() {
        let full = budget(
            json!({"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 2, "currentHealthy": 3}),
        );
        let spent = charged(&full, "p", false).unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert!(spent["status"]["disruptedPods"]["p"].is_string());
        assert_eq!(
            spent["status"]["conditions"][0]["reason"],
            "InsufficientPods"
        );
        assert_eq!(charged(&full, "p", true).unwrap(), full);
        assert_eq!(charged(&spent, "q", false).unwrap_err().code, 429);
    }

    #[test]
    fn a_budget_says_why_it_refuses() {
        assert_eq!(
            refusal(json!({"observedGeneration": 0})),
            (
                429,
                "The disruption budget b is still being processed by the server.".into()
            )
        );
        assert_eq!(
            refusal(json!({"observedGeneration": 1, "desiredHealthy": 3, "currentHealthy": 3})),
            (
                429,
                "The disruption budget b needs 3 healthy pods and has 3 currently".into()
            )
        );
        let told = |reason: &str| json!([{"type": "DisruptionAllowed", "status": "False", "reason": reason, "message": "m"}]);
        assert_eq!(
            refusal(json!({"observedGeneration": 1, "conditions": told("SyncFailed")})).1,
            "The disruption budget b does not allow evicting pods currently because it failed sync: m"
        );
        assert_eq!(
            refusal(json!({"observedGeneration": 1, "currentHealthy": 2, "conditions": told("R")}))
                .1,
            "The disruption budget b does not allow evicting pods currently (R): m"
        );
        let (code, message) = refusal(json!({"observedGeneration": 1, "disruptionsAllowed": -1}));
        assert_eq!(code, 403);
        assert!(
            message.contains("disruptions allowed is negative"),
            "{message}"
        );
    }

    #[test]
    fn unready_pods_go_while_enough_are_healthy() {
        let healthy = |desired: i64, current: i64| {
            permits_unready(&budget(
                json!({"desiredHealthy": desired, "currentHealthy": current}),
            ))
        };
        assert!(healthy(2, 2) && healthy(2, 3));
        assert!(!healthy(2, 1) && !healthy(0, 3));
        let mut always = budget(json!({"desiredHealthy": 2}));
        always["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert!(permits_unready(&always));
    }
}

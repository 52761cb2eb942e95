//! `pods/eviction`: a deletion that a PodDisruptionBudget may refuse.

use api_meta::Cause;
use api_meta::kinds::{Kind, Kinds};
use api_meta::labels::Selector;
use api_meta::status::Status;
use serde_json::Value;

use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::options::{DeleteOptions, ListOptions, Version};
use crate::registry::query::Query;
use crate::registry::selection::Selection;
use crate::registry::service::Registry;
use crate::registry::tree;
use crate::registry::update::{Change, Part};

/// Pods that may be on their way out under one budget at one time, as upstream has it.
const DISRUPTED_MAX: usize = 2000;

impl Registry {
    /// Deletes a pod if its budget allows it.
    pub async fn evict(
        &self,
        ctx: &RequestContext,
        target: &Target,
        eviction: &Value,
    ) -> Result<(), Status> {
        let mut options = DeleteOptions::parse(eviction.get("deleteOptions"), &Query::default())?;
        options.dry_run |= ctx.is_dry_run();
        let pod = self.get(target, Version::Newest).await?.value()?;
        if needs_budget(&pod) {
            // The pod that was judged must be the one that goes.
            options
                .uid
                .get_or_insert_with(|| tree::uid(&pod).to_owned());
            if let Some(budget) = self.budget_of(target, &pod).await? {
                let budget = Target::new(budgets(), &target.namespace, &budget);
                self.charge(ctx, &budget, &target.name, options.dry_run)
                    .await?;
            }
        }
        self.delete(ctx, target, &options).await?;
        Ok(())
    }

    async fn budget_of(&self, target: &Target, pod: &Value) -> Result<Option<String>, Status> {
        let selection = Selection::everything(&target.namespace);
        let list = self
            .list(budgets(), &selection, &ListOptions::everything())
            .await?;
        let mut found = Vec::new();
        for object in list.items {
            let budget = object.value()?;
            let selector = Selector::from_value(budget.pointer("/spec/selector"))
                .unwrap_or_else(|_| Selector::nothing());
            if selector.matches_object(pod) {
                found.push(tree::name(&budget).to_owned());
            }
        }
        if found.len() > 1 {
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        Ok(found.pop())
    }

    /// Takes one disruption from a budget before the pod is deleted, so that two evictions at one
    /// time do not both spend the last one.
    async fn charge(
        &self,
        ctx: &RequestContext,
        budget: &Target,
        pod: &str,
        is_dry: bool,
    ) -> Result<(), Status> {
        let make = |budget: &Value| charged(budget, pod, is_dry);
        let change = Change {
            part: Part::Status,
            subresource: Some("status"),
            operation: Operation::Update,
            make: &make,
        };
        self.change(ctx, budget, &change).await?;
        Ok(())
    }
}

fn budgets() -> &'static Kind {
    Kinds::builtin()
        .by_resource("policy", "v1", "poddisruptionbudgets")
        .expect("the table of built-in kinds has it, and a test reads the table")
}

/// A pod that serves nobody costs no budget.
fn needs_budget(pod: &Value) -> bool {
    let phase = tree::text(pod, "/status/phase");
    !tree::is_terminating(pod) && !matches!(phase, "Succeeded" | "Failed" | "Pending")
}

fn charged(budget: &Value, pod: &str, is_dry: bool) -> Result<Value, Status> {
    let refuse = |why: String| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        Err(Status::too_many_requests(text, 0).with_cause(Cause::new("DisruptionBudget", "", why)))
    };
    let name = tree::name(budget);
    let number = |pointer| tree::number(budget, pointer).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return refuse(format!(
            "The disruption budget {name} is still being processed by the server."
        ))
        .map_err(|status| status.retry_after(10));
    }
    let allowed = number("/status/disruptionsAllowed");
    let disrupted = budget
        .pointer("/status/disruptedPods")
        .and_then(Value::as_object);
    if allowed <= 0 || disrupted.is_some_and(|pods| pods.len() > DISRUPTED_MAX) {
        return refuse(format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("/status/desiredHealthy"),
            number("/status/currentHealthy")
        ));
    }
    let mut budget = budget.clone();
    if !is_dry {
        let status = tree::child(&mut budget, "status");
        status.insert("disruptionsAllowed".into(), (allowed - 1).into());
        tree::submap(status, "disruptedPods").insert(pod.to_owned(), tree::now().into());
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::charged;

    #[test]
    fn a_budget_is_spent_and_then_refuses() {
        let budget = json!({"metadata": {"name": "b", "generation": 1},
            "status": {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 2, "currentHealthy": 3}});
        let spent = charged(&budget, "p", false).unwrap();
        assert_eq!(spent["status"]["disruptionsAllowed"], 0);
        assert!(spent["status"]["disruptedPods"]["p"].is_string());
        let refused = charged(&spent, "q", false).unwrap_err();
        assert_eq!(refused.code, 429);
        let cause = &refused.details.unwrap().causes[0];
        assert_eq!(
            cause.message,
            "The disruption budget b needs 2 healthy pods and has 3 currently"
        );
        let unseen = json!({"metadata": {"name": "b", "generation": 2}, "status": {"observedGeneration": 1}});
        assert_eq!(charged(&unseen, "p", false).unwrap_err().code, 429);
    }
}

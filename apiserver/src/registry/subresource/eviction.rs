//! `pods/eviction`: a deletion that a PodDisruptionBudget may refuse.

mod budget;

use api_meta::status::Status;
use serde_json::Value;

use self::budget::{charged, permits_unready, still_processed};
use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::kinds::pod::{Condition, set_condition};
use crate::registry::options::{DeleteOptions, Version};
use crate::registry::pipeline::{self, Admitted};
use crate::registry::query::Query;
use crate::registry::service::Registry;
use crate::registry::tree;
use crate::registry::update::{Change, Part};

/// How often a pod is looked at again that changed while it was judged.
const TRIES_MAX: usize = 20;

impl Registry {
    /// Deletes a pod if its budget allows it.
    pub async fn evict(
        &self,
        ctx: &RequestContext,
        target: &Target,
        eviction: &Value,
    ) -> Result<(), Status> {
        pipeline::check_subject(target, "Eviction", eviction)?;
        let admission = Admitted {
            ctx,
            target,
            subresource: Some("eviction"),
            operation: Operation::Create,
        };
        let eviction = admission.mutate(self, eviction.clone(), None).await?;
        let eviction = admission.validate(self, Some(eviction), None).await?;
        let options = eviction
            .as_ref()
            .and_then(|sent| sent.get("deleteOptions"))
            .filter(|options| !options.is_null());
        let mut options = DeleteOptions::parse(options, &Query::default())?;
        options.dry_run |= ctx.is_dry_run();
        let mut refused = None;
        for _ in 0..TRIES_MAX {
            let pod = self.get(target, Version::Newest).await?.value()?;
            if needs_budget(&pod) {
                return self.evict_within_budget(target, &pod, options).await;
            }
            let mut once = options.clone();
            if !is_over(&pod) && once.version.is_none() {
                // It may become ready, and then its budget counts.
                once.version = Some(version(&pod));
            }
            match self.condemn(target, once).await {
                Err(status) if status.is("Conflict") && options.version.is_none() => {
                    refused = Some(status);
                }
                done => return done,
            }
        }
        Err(refused.unwrap_or_else(|| Status::internal("an eviction was never tried")))
    }

    async fn evict_within_budget(
        &self,
        target: &Target,
        pod: &Value,
        mut options: DeleteOptions,
    ) -> Result<(), Status> {
        // The pod that was judged must be the one that goes.
        options.uid.get_or_insert_with(|| tree::uid(pod).to_owned());
        let Some(budget) = self.budget_of(target, pod).await? else {
            return self.condemn(target, options).await;
        };
        let name = tree::name(&budget);
        if !is_ready(pod) && permits_unready(&budget) {
            // A pod that serves nobody costs nothing, as long as it stays so.
            let is_free = options.version.is_none();
            options.version = Some(version(pod));
            return match self.condemn(target, options).await {
                Err(status) if status.is("Conflict") && is_free => Err(still_processed(name)),
                done => done,
            };
        }
        let budget = Target::new(budget::kind(), &target.namespace, name);
        self.charge(&budget, &target.name, options.dry_run).await?;
        self.condemn(target, options).await
    }

    /// Takes one disruption from a budget before the pod is deleted, so that two evictions at one
    /// time do not both spend the last one.
    async fn charge(&self, budget: &Target, pod: &str, is_dry: bool) -> Result<(), Status> {
        let make = |budget: &Value| charged(budget, pod, is_dry);
        let change = Change {
            part: Part::Status,
            subresource: Some("status"),
            operation: Operation::Update,
            make: &make,
        };
        // Whoever may evict the pod need not be allowed to write its budget.
        self.change(&RequestContext::internal(), budget, &change)
            .await?;
        Ok(())
    }

    /// Says on the pod why it goes, and deletes it. The eviction has been admitted, so neither write
    /// is the user's any more.
    async fn condemn(&self, target: &Target, mut options: DeleteOptions) -> Result<(), Status> {
        let ctx = RequestContext::internal();
        if !options.dry_run {
            let make = |pod: &Value| condemned(target, pod, &options);
            let change = Change {
                part: Part::Status,
                subresource: Some("status"),
                operation: Operation::Update,
                make: &make,
            };
            let pod = self.change(&ctx, target, &change).await?;
            if options.version.is_some() {
                options.version = Some(pod.revision.to_string());
            }
        }
        self.delete(&ctx, target, &options).await?;
        Ok(())
    }
}

fn condemned(target: &Target, pod: &Value, options: &DeleteOptions) -> Result<Value, Status> {
    crate::registry::delete::check_preconditions(target, options, pod)?;
    let mut pod = pod.clone();
    set_condition(
        &mut pod,
        &Condition {
            kind: "DisruptionTarget",
            status: "True",
            reason: "EvictionByEvictionAPI",
            message: "Eviction API: evicting",
        },
    );
    Ok(pod)
}

/// A pod that serves nobody costs no budget.
fn needs_budget(pod: &Value) -> bool {
    !is_over(pod) && tree::text(pod, "/status/phase") != "Pending"
}

/// Whether the pod will never serve anybody again.
fn is_over(pod: &Value) -> bool {
    let phase = tree::text(pod, "/status/phase");
    tree::is_terminating(pod) || matches!(phase, "Succeeded" | "Failed")
}

fn is_ready(pod: &Value) -> bool {
    tree::array(pod, "/status/conditions")
        .iter()
        .any(|one| tree::text(one, "/type") == "Ready" && tree::text(one, "/status") == "True")
}

fn version(pod: &Value) -> String {
    tree::text(pod, "/metadata/resourceVersion").to_owned()
}

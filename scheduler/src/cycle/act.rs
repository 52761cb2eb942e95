//! Writes down what a cycle decided: a binding, a preemption, or why a pod was not placed.
//!
//! Invariant: however it ends, by the end of the term too, the pod is bound, gone or back in the
//! queue; one that stayed in flight would never be tried again.

use std::sync::Arc;

use client::events::Type;

use super::algorithm::Refusal;
use super::failure::Failure;
use super::preempt::Eviction;
use super::scheduler::Shared;
use super::term::Term;
use super::{bind, failure, preempt};
use crate::framework::points::{Nomination, Remedy};
use crate::framework::{CycleState, PodInfo, Status};
use crate::queue::Popped;

/// What is to be written about a pod.
pub(super) enum Work {
    /// It was placed.
    Bind {
        /// The node.
        node: String,
        /// What the plugins remember.
        state: CycleState,
    },
    /// It fits nowhere.
    Refused(Refusal),
    /// A plugin failed.
    Failed(Status),
}

/// Writes, as long as the term lasts.
pub(super) async fn act(shared: &Shared, term: &Term, popped: Popped, work: Work) {
    let pod = popped.pod;
    match work {
        Work::Bind { node, state } => match bind::bind(shared, term, state, &pod, &node).await {
            Ok(()) => {
                tracing::debug!(pod = %pod.key(), node, attempts = popped.attempts, "bound");
                let text = format!("Successfully assigned {} to {node}", pod.key());
                shared
                    .recorder
                    .event(&*pod.pod, Type::Normal, "Scheduled", text);
            }
            Err(status) => failed(shared, term, &pod, &status).await,
        },
        Work::Refused(refusal) => refused(shared, term, &pod, refusal).await,
        Work::Failed(status) => failed(shared, term, &pod, &status).await,
    }
}

async fn refused(shared: &Shared, term: &Term, pod: &Arc<PodInfo>, refusal: Refusal) {
    tracing::debug!(pod = %pod.key(), message = %refusal.message, "fits no node");
    let (nominated, preemption) = match refusal.remedy {
        Remedy::Preempt { node, victims } => (Some(node.clone()), Some((node, victims))),
        Remedy::None(_, Nomination::Clear) => (Some(String::new()), None),
        Remedy::None(_, Nomination::Keep) => (None, None),
    };
    let failure = Failure {
        reason: "Unschedulable",
        message: refusal.message,
        nominated,
    };
    let Some((node, victims)) = preemption else {
        // The queue first: what happens while the note is written may help the pod already.
        shared.queue.refused(&pod.uid, &refusal.plugins);
        if shared.queue.get(&pod.uid).is_some() {
            failure::record(shared, term, pod, &failure).await;
        }
        return;
    };
    if shared.queue.get(&pod.uid).is_none() {
        return;
    }
    failure::record(shared, term, pod, &failure).await;
    // The queue last: tried again before its victims were all asked to go, the pod would choose
    // further ones. In flight it is not tried, and what happens meanwhile is not lost on it.
    match preempt::evict(shared, term, pod, &node, &victims).await {
        Eviction::Complete => shared.queue.refused(&pod.uid, &refusal.plugins),
        // There may be no change to come that would wake the pod.
        Eviction::Incomplete => shared.queue.failed(&pod.uid),
    }
}

async fn failed(shared: &Shared, term: &Term, pod: &Arc<PodInfo>, status: &Status) {
    let message = match status.plugin {
        "" => status.message(),
        plugin => format!("running {plugin:?} plugin: {}", status.message()),
    };
    shared.queue.failed(&pod.uid);
    if term.has_ended() {
        tracing::debug!(pod = %pod.key(), error = %message, "left to the next leader");
        return;
    }
    tracing::warn!(pod = %pod.key(), error = %message, "scheduling failed, trying again");
    if shared.queue.get(&pod.uid).is_some() {
        let failure = Failure {
            reason: "SchedulerError",
            message,
            nominated: None,
        };
        failure::record(shared, term, pod, &failure).await;
    }
}

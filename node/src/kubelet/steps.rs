//! Carries out a plan: stops, makes a sandbox, starts containers. What a container meets on its
//! way is noted for its status; only the runtime's own failures are errors.

use std::sync::Arc;
use std::time::Duration;

use client::events::Type;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod};
use kube::Resource;
use proto_cri::v1;

use super::backoff::go_seconds;
use super::context::Context;
use super::make;
use super::plan::Plan;
use super::pod_state::{PodState, restart_count};
use super::spec::{PodId, Role, container};
use super::status::Waiting;
use super::stop;
use super::worker::Memory;
use crate::runtime;

/// A container that could not be started is tried again after this time.
const START_RETRY: Duration = Duration::from_secs(10);
/// What a container may leave as its last words.
const LAST_WORDS_BYTES_MAX: u64 = 4096;

/// Takes the steps. True if the pod's state changed, so that the next ones follow at once.
pub(super) async fn take(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    plan: &Plan,
    memory: &mut Memory,
) -> runtime::Result<bool> {
    if plan.kill_pod {
        stop::stop(context, pod, state, Duration::from_secs(30)).await?;
        if plan.sandbox.is_none() {
            read_last_words(context, pod, state, memory).await;
            return Ok(true);
        }
    }
    if let Some(attempt) = plan.sandbox {
        stop_sandboxes(context, state).await;
        return make_sandbox(context, pod, attempt, memory).await;
    }
    remove_sandboxes(context, &plan.remove).await;
    for kill in &plan.kill {
        let regarding = container_reference(pod, &kill.name);
        context
            .recorder
            .about(regarding, Type::Normal, "Killing", kill.message.clone());
        stop::stop_container(context, pod, &kill.name, &kill.id, None).await?;
    }
    read_last_words(context, pod, state, memory).await;
    let mut started = !plan.kill.is_empty();
    for name in &plan.start {
        started |= start(context, pod, state, name, memory).await;
    }
    Ok(started)
}

/// Takes their addresses and ports from all sandboxes, before another one gets its own. Those that a
/// crash of the runtime has ended still hold them. Stopping one again does no harm.
async fn stop_sandboxes(context: &Context, state: &PodState) {
    for sandbox in &state.sandboxes {
        if let Err(error) = context.runtime.stop_sandbox(&sandbox.id).await {
            tracing::warn!(sandbox = %sandbox.id, error = %base::report(&error), "ended sandbox may still hold its address");
        }
    }
}

/// A failure is no reason to keep the pod waiting: the next look tries again. A runtime refuses to
/// remove what still has its network.
async fn remove_sandboxes(context: &Context, ids: &[String]) {
    let runtime = &context.runtime;
    for id in ids {
        let stopped = runtime.stop_sandbox(id).await;
        let removed = match stopped {
            Ok(()) => runtime.remove_sandbox(id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(sandbox = %id, error = %base::report(&error), "ended sandbox not removed");
        }
    }
}

async fn make_sandbox(
    context: &Context,
    pod: &Arc<Pod>,
    attempt: u32,
    memory: &mut Memory,
) -> runtime::Result<bool> {
    let config = make::sandbox(context, pod, attempt).await;
    if let Err(error) = make::log_directory(context, &config).await {
        tracing::warn!(pod = %PodId::of(pod), %error, "log directory not made");
    }
    match context.runtime.run_sandbox(config).await {
        Ok(_) => Ok(true),
        Err(error) => {
            let text = format!("Failed to create pod sandbox: {}", base::report(&error));
            context
                .recorder
                .event(&**pod, Type::Warning, "FailedCreatePodSandBox", text);
            memory.next = START_RETRY;
            Ok(false)
        }
    }
}

/// Starts a container, or notes why it cannot be. True if it runs.
async fn start(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    name: &str,
    memory: &mut Memory,
) -> bool {
    let Some((role, spec)) = pod.spec.as_ref().and_then(|s| container(s, name)) else {
        return false;
    };
    if let Some(waiting) = in_backoff(context, pod, state, spec, memory) {
        memory.waiting.insert(name.to_owned(), waiting);
        return false;
    }
    match try_start(context, pod, state, role, spec).await {
        Ok(()) => true,
        Err(waiting) => {
            memory.next = memory.next.min(waiting.retry.unwrap_or(START_RETRY));
            memory.waiting.insert(name.to_owned(), waiting.waiting);
            false
        }
    }
}

fn in_backoff(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    spec: &Container,
    memory: &mut Memory,
) -> Option<Waiting> {
    let latest = state
        .latest(&spec.name)
        .filter(|c| c.state() == v1::ContainerState::ContainerExited)?;
    let ended = Timestamp::from_nanosecond(i128::from(latest.finished_at)).unwrap_or_default();
    let wait = memory.backoffs.ask(&spec.name, ended, Timestamp::now())?;
    memory.next = memory.next.min(wait.left);
    let id = PodId::of(pod);
    let whom = format!("{}_{}({})", id.name, id.namespace, id.uid);
    let text = format!(
        "Back-off restarting failed container {} in pod {whom}",
        spec.name
    );
    context.recorder.about(
        container_reference(pod, &spec.name),
        Type::Warning,
        "BackOff",
        text,
    );
    Some(Waiting {
        reason: "CrashLoopBackOff".to_owned(),
        message: format!(
            "back-off {} restarting failed container={} pod={whom}",
            go_seconds(wait.whole),
            spec.name
        ),
    })
}

/// Why a container could not be started.
pub(super) struct NotStarted {
    /// For the status.
    pub(super) waiting: Waiting,
    /// When to try again; None leaves it to the caller.
    pub(super) retry: Option<Duration>,
}

impl NotStarted {
    /// A reason with a message.
    pub(super) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            waiting: Waiting {
                reason: reason.to_owned(),
                message: message.into(),
            },
            retry: None,
        }
    }
}

async fn try_start(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    role: Role,
    spec: &Container,
) -> Result<(), NotStarted> {
    let regarding = container_reference(pod, &spec.name);
    let event = |kind, reason: &str, text: &str| {
        context
            .recorder
            .about(regarding.clone(), kind, reason, text);
    };
    let image = context
        .images
        .ensure(context, pod, spec, &regarding)
        .await?;
    let id = match create(context, pod, state, role, spec, &image).await {
        Ok(id) => id,
        Err(waiting) => {
            event(
                Type::Warning,
                "Failed",
                &format!("Error: {}", waiting.waiting.message),
            );
            return Err(waiting);
        }
    };
    event(Type::Normal, "Created", "Container created");
    if let Err(error) = context.runtime.start_container(&id).await {
        event(Type::Warning, "Failed", &format!("Error: {error}"));
        return Err(NotStarted::new("RunContainerError", error.to_string()));
    }
    event(Type::Normal, "Started", "Container started");
    forget_old(context, state, &spec.name).await;
    let hook = spec.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
    let Some(hook) = hook else { return Ok(()) };
    let Err(error) = stop::run_hook(context, state, spec, &id, hook).await else {
        return Ok(());
    };
    event(Type::Warning, "FailedPostStartHook", "PostStartHook failed");
    if let Err(error) = stop::stop_container(context, pod, &spec.name, &id, None).await {
        tracing::warn!(container = %id, error = %base::report(&error), "not stopped after its hook failed");
    }
    Err(NotStarted::new("PostStartHookError", error))
}

/// Makes the container; its id.
async fn create(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    role: Role,
    spec: &Container,
    image: &str,
) -> Result<String, NotStarted> {
    let Some(sandbox) = state.ready_sandbox() else {
        return Err(NotStarted::new("ContainerCreating", ""));
    };
    let latest = state.latest(&spec.name);
    let last = latest.and_then(|c| c.metadata.as_ref());
    let attempt = last.map_or(0, |m| m.attempt.saturating_add(1));
    let restarts = latest.map_or(0, |c| restart_count(c).saturating_add(1));
    let restarts = restarts.max(known_restarts(pod, &spec.name, state));
    let attempt = attempt.max(restarts.unsigned_abs());
    let wanted = make::Wanted {
        pod,
        spec,
        role,
        attempt,
        restarts,
        image,
    };
    let config = make::container(context, &wanted, state).await?;
    let sandbox_number = sandbox.metadata.as_ref().map_or(0, |m| m.attempt);
    let sandbox_config = make::sandbox(context, pod, sandbox_number).await;
    let created = context
        .runtime
        .create_container(&sandbox.id, config, sandbox_config)
        .await;
    created.map_err(|error| NotStarted::new("CreateContainerError", error.to_string()))
}

/// The restarts that the api-server knows of, one more where the runtime has forgotten the container.
fn known_restarts(pod: &Pod, name: &str, state: &PodState) -> i32 {
    if state.latest(name).is_some() {
        return 0;
    }
    let status = pod.status.as_ref();
    let init = status
        .and_then(|s| s.init_container_statuses.as_ref())
        .into_iter()
        .flatten();
    let mut all = init.chain(
        status
            .and_then(|s| s.container_statuses.as_ref())
            .into_iter()
            .flatten(),
    );
    let old = all.find(|c| c.name == name && c.container_id.is_some());
    old.map_or(0, |c| c.restart_count.saturating_add(1))
}

/// Keeps the newest container and the one before it, whose logs can still be asked for.
async fn forget_old(context: &Context, state: &PodState, name: &str) {
    // Not yet the one just started: so one is kept of those in `state`.
    for old in state.containers.get(name).into_iter().flatten().skip(1) {
        if let Err(error) = context.runtime.remove_container(&old.id).await {
            tracing::debug!(container = %old.id, error = %base::report(&error), "old container not removed");
        }
    }
}

/// Reads what ended containers left behind, once each.
pub(super) async fn read_last_words(
    context: &Context,
    pod: &Pod,
    state: &PodState,
    memory: &mut Memory,
) {
    let Some(inside) = &context.inside else {
        return;
    };
    let Some(spec) = pod.spec.as_ref() else {
        return;
    };
    memory
        .last_words
        .retain(|id, _| state.containers.values().flatten().any(|c| c.id == *id));
    for (name, attempts) in &state.containers {
        let ended = attempts
            .iter()
            .filter(|c| c.state() == v1::ContainerState::ContainerExited);
        for status in ended.take(2) {
            if memory.last_words.contains_key(&status.id) {
                continue;
            }
            let Some((_, spec)) = container(spec, name) else {
                continue;
            };
            let words = inside
                .last_words(&PodId::of(pod), status, spec, LAST_WORDS_BYTES_MAX)
                .await;
            memory.last_words.insert(status.id.clone(), words);
        }
    }
}

/// What an event about a container names.
pub(super) fn container_reference(pod: &Pod, name: &str) -> ObjectReference {
    let role = pod
        .spec
        .as_ref()
        .and_then(|s| container(s, name))
        .map(|(role, _)| role);
    let list = if role == Some(Role::Main) {
        "containers"
    } else {
        "initContainers"
    };
    ObjectReference {
        field_path: Some(format!("spec.{list}{{{name}}}")),
        ..pod.object_ref(&())
    }
}

//! Ends containers and pods, in good order, and removes what they leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::Type;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use proto_cri::v1::PodSandboxState;

use super::context::Context;
use super::pod_state::PodState;
use super::probes;
use super::spec::{PodId, Role, container, grace_seconds};
use super::steps::container_reference;
use crate::runtime;

/// After a hook has used up the grace period, the container still gets this long. Upstream's.
const GRACE_MIN: Duration = Duration::from_secs(2);
/// A hook without a deadline of its own.
const HOOK_TIME_MAX: Duration = Duration::from_secs(120);

/// Ends every container of a pod, sidecars last, and then its sandboxes.
pub(super) async fn stop(
    context: &Context,
    pod: &Arc<Pod>,
    state: &PodState,
    grace: Duration,
) -> runtime::Result<()> {
    let deadline = Instant::now() + grace;
    let role = |name: &str| {
        pod.spec
            .as_ref()
            .and_then(|s| container(s, name))
            .map(|(role, _)| role)
    };
    for sidecars in [false, true] {
        let now = state
            .running()
            .filter(|(name, _)| (role(name) == Some(Role::Sidecar)) == sidecars);
        let stops = now.map(|(name, status)| {
            let text = format!("Stopping container {name}");
            context.recorder.about(
                container_reference(pod, name),
                Type::Normal,
                "Killing",
                text,
            );
            stop_container(context, pod, name, &status.id, Some(deadline))
        });
        for stopped in join_all(stops).await {
            stopped?;
        }
    }
    for sandbox in state
        .sandboxes
        .iter()
        .filter(|s| s.state() == PodSandboxState::SandboxReady)
    {
        context.runtime.stop_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

/// Ends one container: its hook, then its grace period. Without a deadline it has the pod's own.
pub(super) async fn stop_container(
    context: &Context,
    pod: &Arc<Pod>,
    name: &str,
    id: &str,
    deadline: Option<Instant>,
) -> runtime::Result<()> {
    let own = Duration::from_secs(u64::try_from(grace_seconds(pod)).unwrap_or(0));
    let deadline = deadline.unwrap_or_else(|| Instant::now() + own);
    let whole = deadline.saturating_duration_since(Instant::now());
    let spec = pod
        .spec
        .as_ref()
        .and_then(|s| container(s, name))
        .map(|(_, c)| c);
    let hook = spec.and_then(|c| Some((c, c.lifecycle.as_ref()?.pre_stop.as_ref()?)));
    let mut left = whole;
    if let Some((spec, hook)) = hook
        && !whole.is_zero()
    {
        let state = PodState::read(&*context.runtime, &PodId::of(pod).uid).await?;
        let ran = tokio::time::timeout(whole, run_hook(context, &state, spec, id, hook)).await;
        if let Ok(Err(error)) = ran {
            tracing::debug!(container = id, error, "hook failed");
            let regarding = container_reference(pod, name);
            context.recorder.about(
                regarding,
                Type::Warning,
                "FailedPreStopHook",
                "PreStopHook failed",
            );
        }
        left = deadline
            .saturating_duration_since(Instant::now())
            .max(GRACE_MIN);
    }
    context.runtime.stop_container(id, left).await
}

/// Runs a hook to its end. The error is for the user.
pub(super) async fn run_hook(
    context: &Context,
    state: &PodState,
    spec: &Container,
    id: &str,
    hook: &LifecycleHandler,
) -> Result<(), String> {
    if context.runtime.is_hollow() {
        return Ok(());
    }
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let answer = context
            .runtime
            .exec_sync(id, command, HOOK_TIME_MAX)
            .await
            .map_err(|e| e.to_string())?;
        return match answer.exit_code {
            0 => Ok(()),
            code => Err(format!(
                "command exited with {code}: {}",
                String::from_utf8_lossy(&answer.stderr)
            )),
        };
    }
    if let Some(get) = &hook.http_get {
        let ip = state
            .ip
            .clone()
            .or_else(|| context.host_ips.first().cloned())
            .unwrap_or_default();
        return probes::http_get(get, spec, &ip, HOOK_TIME_MAX).await;
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(
            u64::try_from(sleep.seconds).unwrap_or(0),
        ))
        .await;
    }
    Ok(())
}

/// Removes everything of a pod that the api-server does not know any more.
pub(super) async fn remove(context: &Context, id: &PodId) -> runtime::Result<()> {
    context.probes.forget(&id.uid);
    let state = PodState::read(&*context.runtime, &id.uid).await?;
    // Nobody can ask for a grace period any more; what still runs gets a short one.
    let stops = state
        .running()
        .map(|(_, status)| context.runtime.stop_container(&status.id, GRACE_MIN));
    for stopped in join_all(stops).await {
        stopped?;
    }
    for sandbox in &state.sandboxes {
        context.runtime.stop_sandbox(&sandbox.id).await?;
    }
    for status in state.containers.values().flatten() {
        context.runtime.remove_container(&status.id).await?;
    }
    for sandbox in &state.sandboxes {
        context.runtime.remove_sandbox(&sandbox.id).await?;
    }
    remove_files(context, id).await;
    if let Some(inside) = &context.inside {
        inside.remove_logs(id).await;
    }
    Ok(())
}

/// Removes the pod's volumes and its other files, but not its logs.
pub(super) async fn remove_files(context: &Context, id: &PodId) {
    if let Some(inside) = &context.inside {
        inside.remove(id).await;
    }
}

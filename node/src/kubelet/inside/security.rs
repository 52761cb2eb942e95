//! What a container may do, from its own and its pod's security contexts.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SeccompProfile, SecurityContext};
use proto_cri::v1;

use super::super::context::Context;
use super::super::spec::is_host_network;
use super::super::steps::NotStarted;

/// What an unprivileged container does not see of /proc and /sys. Upstream's.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
];
/// What it sees but cannot change.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The sandbox's part.
pub(in super::super) fn sandbox(spec: &PodSpec) -> v1::LinuxSandboxSecurityContext {
    let privileged = |c: &Container| {
        c.security_context
            .as_ref()
            .is_some_and(|s| s.privileged == Some(true))
    };
    let all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let own = spec.security_context.as_ref();
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        privileged: all.into_iter().any(privileged),
        supplemental_groups: groups(spec),
        seccomp: Some(seccomp(own.and_then(|s| s.seccomp_profile.as_ref()))),
        ..v1::LinuxSandboxSecurityContext::default()
    }
}

fn namespaces(spec: &PodSpec) -> v1::NamespaceOption {
    let of_node = |on: bool, otherwise| {
        if on {
            v1::NamespaceMode::Node
        } else {
            otherwise
        }
    };
    let pid = if spec.share_process_namespace == Some(true) {
        v1::NamespaceMode::Pod
    } else {
        v1::NamespaceMode::Container
    };
    v1::NamespaceOption {
        network: of_node(is_host_network(spec), v1::NamespaceMode::Pod).into(),
        pid: of_node(spec.host_pid == Some(true), pid).into(),
        ipc: of_node(spec.host_ipc == Some(true), v1::NamespaceMode::Pod).into(),
        target_id: String::new(),
    }
}

fn groups(spec: &PodSpec) -> Vec<i64> {
    let own = spec.security_context.as_ref();
    let extra = own
        .and_then(|s| s.supplemental_groups.clone())
        .unwrap_or_default();
    extra
        .into_iter()
        .chain(own.and_then(|s| s.fs_group))
        .collect()
}

fn seccomp(profile: Option<&SeccompProfile>) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, local) = match profile.map(|p| (p.type_.as_str(), p.localhost_profile.clone())) {
        Some(("RuntimeDefault", _)) => (ProfileType::RuntimeDefault, None),
        Some(("Localhost", path)) => (ProfileType::Localhost, path),
        _ => (ProfileType::Unconfined, None),
    };
    v1::SecurityProfile {
        profile_type: kind.into(),
        localhost_ref: local.unwrap_or_default(),
    }
}

/// The container's part.
pub(super) fn container(
    pod: &Pod,
    spec: &Container,
) -> Result<v1::LinuxContainerSecurityContext, NotStarted> {
    let empty = PodSpec::default();
    let pod_spec = pod.spec.as_ref().unwrap_or(&empty);
    let own = spec.security_context.as_ref();
    let privileged = own.is_some_and(|s| s.privileged == Some(true));
    let unmasked = privileged || own.is_some_and(|s| s.proc_mount.as_deref() == Some("Unmasked"));
    let paths = |list: &[&str]| {
        if unmasked {
            Vec::new()
        } else {
            list.iter().map(|p| (*p).to_owned()).collect()
        }
    };
    let user = run_as_user(pod_spec, own);
    let group = own
        .and_then(|s| s.run_as_group)
        .or_else(|| pod_spec.security_context.as_ref()?.run_as_group);
    if group.is_some() && user.is_none() {
        // The runtime refuses a group without a user, and cannot say which user the image means.
        return Err(NotStarted::new(
            "CreateContainerConfigError",
            "runAsGroup is set without runAsUser",
        ));
    }
    let profile = own.and_then(|s| s.seccomp_profile.as_ref());
    let profile = profile.or_else(|| pod_spec.security_context.as_ref()?.seccomp_profile.as_ref());
    let capabilities = own.and_then(|s| s.capabilities.as_ref());
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: capabilities.map(|c| v1::Capability {
            add_capabilities: c.add.clone().unwrap_or_default(),
            drop_capabilities: c.drop.clone().unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged,
        namespace_options: Some(namespaces(pod_spec)),
        run_as_user: user.map(|value| v1::Int64Value { value }),
        run_as_group: group.map(|value| v1::Int64Value { value }),
        readonly_rootfs: own.is_some_and(|s| s.read_only_root_filesystem == Some(true)),
        supplemental_groups: groups(pod_spec),
        no_new_privs: own.is_some_and(|s| s.allow_privilege_escalation == Some(false)),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(if privileged {
            seccomp(None)
        } else {
            seccomp(profile)
        }),
        ..v1::LinuxContainerSecurityContext::default()
    })
}

fn run_as_user(pod: &PodSpec, own: Option<&SecurityContext>) -> Option<i64> {
    own.and_then(|s| s.run_as_user)
        .or_else(|| pod.security_context.as_ref()?.run_as_user)
}

/// A pod that must not run as root is not started as root.
pub(super) async fn check_non_root(
    context: &Context,
    pod: &Pod,
    spec: &Container,
    image: &str,
) -> Result<(), NotStarted> {
    let empty = PodSpec::default();
    let pod_spec = pod.spec.as_ref().unwrap_or(&empty);
    let own = spec.security_context.as_ref();
    let non_root = own.and_then(|s| s.run_as_non_root);
    let non_root = non_root.or_else(|| pod_spec.security_context.as_ref()?.run_as_non_root);
    if non_root != Some(true) {
        return Ok(());
    }
    let refuse = |text: &str| Err(NotStarted::new("CreateContainerConfigError", text));
    match run_as_user(pod_spec, own) {
        Some(0) => refuse("container's runAsUser breaks non-root policy"),
        Some(_) => Ok(()),
        None => match context.runtime.image(image).await.ok().flatten() {
            Some(v1::Image { uid: Some(uid), .. }) if uid.value != 0 => Ok(()),
            Some(v1::Image { username, .. }) if !username.is_empty() => refuse(
                "container has runAsNonRoot and image has non-numeric user, cannot verify user is non-root",
            ),
            _ => refuse("container has runAsNonRoot and image will run as root"),
        },
    }
}

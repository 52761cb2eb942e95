//! A container's share of the machine, in the kernel's terms.

use k8s_openapi::api::core::v1::{Container, Pod};
use proto_cri::v1;

use crate::quantity::{millis, units};

/// The kernel's period of CPU quotas, in microseconds.
const PERIOD: i64 = 100_000;
/// The smallest quota the kernel takes.
const QUOTA_MIN: i64 = 1000;
/// The smallest share, and what one CPU is.
const SHARES_MIN: i64 = 2;
const SHARES_PER_CPU: i64 = 1024;

/// The limits and shares.
pub(super) fn linux(pod: &Pod, spec: &Container) -> v1::LinuxContainerResources {
    let of = |limits: bool, name: &str| {
        let resources = spec.resources.as_ref()?;
        let list = if limits {
            &resources.limits
        } else {
            &resources.requests
        };
        list.as_ref()?
            .get(name)
            .map(if name == "cpu" { millis } else { units })
    };
    let cpu = of(false, "cpu").or_else(|| of(true, "cpu")).unwrap_or(0);
    let memory = of(false, "memory")
        .or_else(|| of(true, "memory"))
        .unwrap_or(0);
    let quota = of(true, "cpu").filter(|limit| *limit > 0);
    v1::LinuxContainerResources {
        cpu_shares: (cpu.saturating_mul(SHARES_PER_CPU) / 1000).clamp(SHARES_MIN, 262_144),
        cpu_period: if quota.is_some() { PERIOD } else { 0 },
        cpu_quota: quota.map_or(0, |limit| {
            (limit.saturating_mul(PERIOD) / 1000).max(QUOTA_MIN)
        }),
        memory_limit_in_bytes: of(true, "memory").unwrap_or(0),
        oom_score_adj: oom_score(pod, memory),
        ..v1::LinuxContainerResources::default()
    }
}

/// Who is to be killed first when memory is short: what asks for nothing, then what asks for little.
fn oom_score(pod: &Pod, memory: i64) -> i64 {
    let priority = pod.spec.as_ref().and_then(|s| s.priority).unwrap_or(0);
    if priority >= 2_000_000_000 {
        return -997;
    }
    match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
        Some("Guaranteed") => -997,
        Some("BestEffort") => 1000,
        _ => {
            let total = super::super::machine::memory_bytes().max(1);
            (1000 - memory.saturating_mul(1000) / total).clamp(3, 999)
        }
    }
}

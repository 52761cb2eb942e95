//! What the runtime holds of one pod: its sandboxes and the last containers of each name.

use std::collections::{BTreeMap, BTreeSet};

use proto_cri::v1;
use proto_cri::v1::{ContainerState, PodSandboxState};

use crate::runtime::{self, Runtime, labels};

/// The state of one pod in the runtime.
#[derive(Clone, Debug, Default)]
pub struct PodState {
    /// The newest first.
    pub sandboxes: Vec<v1::PodSandbox>,
    /// The address of the newest sandbox, if it is ready and has one of its own.
    pub ip: Option<String>,
    /// By container name, the newest attempt first.
    pub containers: BTreeMap<String, Vec<v1::ContainerStatus>>,
    /// The ids of the sandboxes that have containers, running or not.
    pub in_use: BTreeSet<String>,
}

impl PodState {
    /// Asks the runtime.
    pub async fn read(runtime: &dyn Runtime, uid: &str) -> runtime::Result<Self> {
        let mut state = Self {
            sandboxes: runtime.sandboxes(Some(uid)).await?,
            ..Self::default()
        };
        state
            .sandboxes
            .sort_by_key(|s| std::cmp::Reverse(s.created_at));
        if let Some(newest) = state.ready_sandbox().map(|s| s.id.clone()) {
            match runtime.sandbox_status(&newest).await {
                Ok(status) => state.ip = status.network.map(|n| n.ip).filter(|ip| !ip.is_empty()),
                Err(runtime::Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for container in runtime.containers(Some(uid)).await? {
            match runtime.container_status(&container.id).await {
                Ok(status) => {
                    state.in_use.insert(container.pod_sandbox_id);
                    state.add(status);
                }
                // Removed between the two calls.
                Err(runtime::Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(state)
    }

    fn add(&mut self, status: v1::ContainerStatus) {
        let Some(name) = status.labels.get(labels::CONTAINER_NAME).cloned() else {
            return;
        };
        let attempts = self.containers.entry(name).or_default();
        attempts.push(status);
        attempts.sort_by_key(|s| {
            std::cmp::Reverse((s.metadata.as_ref().map_or(0, |m| m.attempt), s.created_at))
        });
    }

    /// The newest sandbox, if it is ready.
    pub fn ready_sandbox(&self) -> Option<&v1::PodSandbox> {
        self.sandboxes
            .first()
            .filter(|s| s.state() == PodSandboxState::SandboxReady)
    }

    /// The sandboxes that another one has taken the place of, and that hold nothing of use any more.
    pub fn left_over(&self) -> impl Iterator<Item = &v1::PodSandbox> {
        let older = self.sandboxes.iter().skip(1);
        older.filter(|s| s.state() != PodSandboxState::SandboxReady && !self.in_use.contains(&s.id))
    }

    /// The number for the next sandbox.
    pub fn next_attempt(&self) -> u32 {
        let last = self
            .sandboxes
            .first()
            .and_then(|s| s.metadata.as_ref())
            .map(|m| m.attempt);
        last.map_or(0, |attempt| attempt.saturating_add(1))
    }

    /// The newest container of that name.
    pub fn latest(&self, name: &str) -> Option<&v1::ContainerStatus> {
        self.containers.get(name)?.first()
    }

    /// The container before the newest one of that name.
    pub fn previous(&self, name: &str) -> Option<&v1::ContainerStatus> {
        self.containers.get(name)?.get(1)
    }

    /// Every container that runs.
    pub fn running(&self) -> impl Iterator<Item = (&str, &v1::ContainerStatus)> {
        let all = self
            .containers
            .iter()
            .flat_map(|(name, attempts)| attempts.iter().map(move |c| (name.as_str(), c)));
        all.filter(|(_, c)| c.state() == ContainerState::ContainerRunning)
    }

    /// Whether nothing of the pod runs any more.
    pub fn is_stopped(&self) -> bool {
        self.running().next().is_none()
            && self
                .sandboxes
                .iter()
                .all(|s| s.state() != PodSandboxState::SandboxReady)
    }
}

/// How often a container was restarted before the one of this status.
pub fn restart_count(status: &v1::ContainerStatus) -> i32 {
    status
        .annotations
        .get(labels::RESTART_COUNT)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

//! What goes into the containers of a real node: variables, files, addresses, limits.

mod atomic;
mod env;
mod field;
mod files;
mod hosts;
mod objects;
mod resources;
pub(super) mod security;
mod token;
mod volumes;

use std::path::{Path, PathBuf};

use client::Store;
use k8s_openapi::api::core::v1::{Container, Pod, Service};
use proto_cri::v1;

use super::context::Context;
use super::make::Wanted;
use super::pod_state::PodState;
use super::spec::PodId;
use super::steps::NotStarted;

pub(super) use objects::Objects;

/// The parts.
pub(super) struct Inside {
    /// Where pods' files are, `/var/lib/kubelet`.
    root: PathBuf,
    /// Where pods' logs are, `/var/log/pods`.
    logs: PathBuf,
    objects: Objects,
    services: Store<Service>,
}

impl Inside {
    pub(super) fn new(
        root: PathBuf,
        logs: PathBuf,
        objects: Objects,
        services: Store<Service>,
    ) -> Self {
        Self {
            root,
            logs,
            objects,
            services,
        }
    }

    /// The directory of a pod's logs.
    pub(super) fn log_directory(&self, id: &PodId) -> PathBuf {
        self.logs
            .join(format!("{}_{}_{}", id.namespace, id.name, id.uid))
    }

    fn pod_directory(&self, id: &PodId) -> PathBuf {
        self.root.join("pods").join(&id.uid)
    }

    /// Where a container's last words are on the node.
    fn last_words_file(&self, id: &PodId, container: &str, attempt: u32) -> PathBuf {
        self.pod_directory(id)
            .join("containers")
            .join(container)
            .join(attempt.to_string())
    }

    /// Completes the configuration of a container.
    pub(super) async fn fill(
        &self,
        context: &Context,
        wanted: &Wanted<'_>,
        state: &PodState,
        config: &mut v1::ContainerConfig,
    ) -> Result<(), NotStarted> {
        let (pod, spec, id) = (wanted.pod, wanted.spec, PodId::of(wanted.pod));
        let volumes = self.mount_volumes(context, pod).await?;
        let facts = field::Facts {
            pod,
            host_ips: &context.host_ips,
            pod_ip: state.ip.as_deref(),
            context,
        };
        let variables = self.environment(&facts, spec).await?;
        let expand = |words: &Option<Vec<String>>| -> Vec<String> {
            words
                .iter()
                .flatten()
                .map(|word| env::expand(word, &variables))
                .collect()
        };
        config.command = expand(&spec.command);
        config.args = expand(&spec.args);
        config.mounts = volumes::mounts(spec, &volumes, &variables)?;
        config.envs = variables
            .into_iter()
            .map(|(key, value)| v1::KeyValue { key, value })
            .collect();
        let made = async {
            if let Some(hosts) =
                hosts::file(&self.pod_directory(&id), pod, state.ip.as_deref()).await?
            {
                let taken = config
                    .mounts
                    .iter()
                    .any(|m| m.container_path == "/etc/hosts");
                if !taken {
                    config.mounts.push(plain_mount("/etc/hosts", &hosts));
                }
            }
            let words = self.last_words_file(&id, &spec.name, wanted.attempt);
            if let Some(parent) = words.parent() {
                tokio::fs::create_dir_all(parent).await?;
            }
            tokio::fs::write(&words, b"").await?;
            files::set_mode(&words, 0o666)?;
            config
                .mounts
                .push(plain_mount(last_words_path(spec), &words));
            std::io::Result::Ok(())
        };
        made.await
            .map_err(|error| NotStarted::new("CreateContainerConfigError", error.to_string()))?;
        config.linux = Some(v1::LinuxContainerConfig {
            resources: Some(resources::linux(pod, spec)),
            security_context: Some(security::container(pod, spec)?),
        });
        security::check_non_root(context, pod, spec, wanted.image).await
    }

    /// What a container left behind when it ended.
    pub(super) async fn last_words(
        &self,
        id: &PodId,
        status: &v1::ContainerStatus,
        spec: &Container,
        bytes_max: u64,
    ) -> String {
        let attempt = status.metadata.as_ref().map_or(0, |m| m.attempt);
        let file = self.last_words_file(id, &spec.name, attempt);
        let text = files::read_tail(&file, bytes_max).await.unwrap_or_default();
        let from_log = spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if text.is_empty() && from_log && status.exit_code != 0 {
            let log = self
                .log_directory(id)
                .join(&spec.name)
                .join(format!("{attempt}.log"));
            let tail = files::read_tail(&log, bytes_max).await.unwrap_or_default();
            return tail
                .lines()
                .filter_map(|line| line.splitn(4, ' ').nth(3))
                .collect::<Vec<_>>()
                .join("\n");
        }
        text
    }

    /// Removes the pod's volumes and other files.
    pub(super) async fn remove(&self, id: &PodId) {
        let directory = self.pod_directory(id);
        if let Err(error) = files::remove_all(&directory).await {
            tracing::warn!(pod = %id, directory = %directory.display(), %error, "pod's files not removed");
        }
    }

    /// Removes the pod's logs.
    pub(super) async fn remove_logs(&self, id: &PodId) {
        let directory = self.log_directory(id);
        if let Err(error) = files::remove_all(&directory).await {
            tracing::warn!(pod = %id, directory = %directory.display(), %error, "pod's logs not removed");
        }
    }

    /// The credentials for a pull, from the pod's secrets.
    pub(super) async fn pull_credentials(&self, pod: &Pod, image: &str) -> Vec<v1::AuthConfig> {
        objects::pull_credentials(&self.objects, pod, image).await
    }
}

fn last_words_path(spec: &Container) -> &str {
    spec.termination_message_path
        .as_deref()
        .filter(|p| !p.is_empty())
        .unwrap_or("/dev/termination-log")
}

fn plain_mount(container_path: &str, host_path: &Path) -> v1::Mount {
    v1::Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..v1::Mount::default()
    }
}

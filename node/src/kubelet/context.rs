//! What every part of the kubelet shares.

use std::sync::Arc;

use client::events::Recorder;

use super::config::Config;
use super::images::Images;
use super::inside::Inside;
use super::probes::Probes;
use super::status_writer::StatusWriter;
use crate::runtime::Runtime;

/// Shared by every worker and by the server.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) client: kube::Client,
    pub(super) recorder: Recorder,
    pub(super) runtime: Arc<dyn Runtime>,
    /// The runtime's name, such as `containerd`.
    pub(super) runtime_name: String,
    /// The node's addresses, the main one first.
    pub(super) host_ips: Vec<String>,
    pub(super) statuses: StatusWriter,
    pub(super) probes: Probes,
    pub(super) images: Images,
    /// What goes into containers: files and variables. None on a hollow node.
    pub(super) inside: Option<Inside>,
}

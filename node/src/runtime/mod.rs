//! What the kubelet needs of a container runtime: the CRI as a trait.
//!
//! `cri` speaks it to a real runtime; `hollow` only keeps books, for nodes that run nothing.

mod cri;
mod hollow;

use std::time::Duration;

use async_trait::async_trait;
use proto_cri::v1;

pub use cri::Cri;
pub use hollow::Hollow;

/// Why a call failed. Every one may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime answered with an error; the text is its own.
    #[error("{message}")]
    Refused {
        /// The gRPC code's name.
        code: &'static str,
        /// What it said.
        message: String,
    },
    /// The runtime knows no such thing; often that is as good as done.
    #[error("{0}")]
    NotFound(String),
    /// No runtime answers at the endpoint.
    #[error("connect to the container runtime at {endpoint}")]
    Connect {
        /// The endpoint.
        endpoint: String,
        /// The transport's word.
        #[source]
        source: tonic::transport::Error,
    },
    /// The call took too long.
    #[error("the container runtime did not answer {call} within {limit:?}")]
    Timeout {
        /// The call.
        call: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// This runtime cannot do that at all.
    #[error("{0}")]
    Unsupported(&'static str),
}

/// The answer of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// A container runtime with its image store.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Whether it runs nothing and only keeps books.
    fn is_hollow(&self) -> bool {
        false
    }
    /// Name and version.
    async fn version(&self) -> Result<v1::VersionResponse>;
    /// Whether runtime and network are ready.
    async fn conditions(&self) -> Result<Vec<v1::RuntimeCondition>>;
    /// Makes and starts a sandbox; its id.
    async fn run_sandbox(&self, config: v1::PodSandboxConfig) -> Result<String>;
    /// Stops everything in a sandbox and takes its network away.
    async fn stop_sandbox(&self, id: &str) -> Result<()>;
    /// Removes a sandbox with its containers.
    async fn remove_sandbox(&self, id: &str) -> Result<()>;
    /// Every sandbox, or those of one pod.
    async fn sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<v1::PodSandbox>>;
    /// One sandbox, with its address.
    async fn sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus>;
    /// Makes a container; its id.
    async fn create_container(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String>;
    /// Starts a container.
    async fn start_container(&self, id: &str) -> Result<()>;
    /// Asks a container to end, and kills it after `grace`.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;
    /// Removes a container.
    async fn remove_container(&self, id: &str) -> Result<()>;
    /// Every container, or those of one pod.
    async fn containers(&self, pod_uid: Option<&str>) -> Result<Vec<v1::Container>>;
    /// One container.
    async fn container_status(&self, id: &str) -> Result<v1::ContainerStatus>;
    /// Opens a container's log file anew, after it was rotated.
    async fn reopen_log(&self, id: &str) -> Result<()>;
    /// Runs a command in a container and waits for it.
    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<v1::ExecSyncResponse>;
    /// Where to stream a command's input and output.
    async fn exec(&self, request: v1::ExecRequest) -> Result<String>;
    /// Where to stream a container's input and output.
    async fn attach(&self, request: v1::AttachRequest) -> Result<String>;
    /// Where to stream connections to a sandbox's ports.
    async fn port_forward(&self, sandbox: &str) -> Result<String>;
    /// The image, if the node has it.
    async fn image(&self, name: &str) -> Result<Option<v1::Image>>;
    /// Every image.
    async fn images(&self) -> Result<Vec<v1::Image>>;
    /// Pulls an image; its reference.
    async fn pull(&self, name: &str, auth: Option<v1::AuthConfig>) -> Result<String>;
    /// How full the image file system is.
    async fn image_fs(&self) -> Result<Vec<v1::FilesystemUsage>>;
}

/// The labels by which sandboxes and containers are found again; upstream's, so that other tools
/// find them too.
pub mod labels {
    /// The pod's name.
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    /// The pod's namespace.
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    /// The pod's uid.
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    /// The container's name.
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
    /// An annotation: the hash of what the container was made from.
    pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
    /// An annotation: how often the container was restarted before.
    pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
    /// An annotation: the container is an init container, which has to end.
    pub const RUNS_TO_COMPLETION: &str = "keelson.io/runs-to-completion";
    /// An annotation: where the container leaves its last words.
    pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
}

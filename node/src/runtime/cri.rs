//! The CRI over a unix socket: one connection, every call with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::rt::TokioIo;
use proto_cri::v1;
use proto_cri::v1::image_service_client::ImageServiceClient;
use proto_cri::v1::runtime_service_client::RuntimeServiceClient;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{Error, Result, Runtime, labels};

/// Upstream's `runtimeRequestTimeout`.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);
/// A sandbox waits for its network; upstream doubles the limit for it.
const SANDBOX_TIME_MAX: Duration = Duration::from_secs(240);
/// A pull makes progress or is ended by the runtime; this is the last resort.
const PULL_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// Output of a command and lists of many containers.
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A real runtime.
#[derive(Clone, Debug)]
pub struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
}

impl Cri {
    /// Connects to `endpoint`, such as `unix:///run/containerd/containerd.sock`.
    pub async fn connect(endpoint: &str) -> Result<Self> {
        let path = endpoint
            .strip_prefix("unix://")
            .unwrap_or(endpoint)
            .to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move {
                tokio::net::UnixStream::connect(path)
                    .await
                    .map(TokioIo::new)
            }
        });
        // The address is never used: the connector knows the socket.
        let channel = Endpoint::from_static("http://localhost")
            .connect_with_connector(connector)
            .await;
        let channel = channel.map_err(|source| Error::Connect {
            endpoint: endpoint.to_owned(),
            source,
        })?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            images: ImageServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
        })
    }
}

async fn within<T>(
    call: &'static str,
    limit: Duration,
    answer: impl Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Err(_) => Err(Error::Timeout { call, limit }),
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
            Err(Error::NotFound(status.message().to_owned()))
        }
        Ok(Err(status)) => Err(Error::Refused {
            code: code_name(status.code()),
            message: status.message().to_owned(),
        }),
    }
}

fn code_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::Unavailable => "Unavailable",
        tonic::Code::Unimplemented => "Unimplemented",
        tonic::Code::DeadlineExceeded => "DeadlineExceeded",
        tonic::Code::InvalidArgument => "InvalidArgument",
        tonic::Code::AlreadyExists => "AlreadyExists",
        tonic::Code::FailedPrecondition => "FailedPrecondition",
        tonic::Code::ResourceExhausted => "ResourceExhausted",
        tonic::Code::PermissionDenied => "PermissionDenied",
        _ => "Unknown",
    }
}

fn missing(what: &str) -> Error {
    Error::Refused {
        code: "Internal",
        message: format!("the container runtime's answer lacks {what}"),
    }
}

fn of_pod(uid: Option<&str>) -> BTreeMap<String, String> {
    uid.map(|uid| (labels::POD_UID.to_owned(), uid.to_owned()))
        .into_iter()
        .collect()
}

fn image_spec(name: &str) -> Option<v1::ImageSpec> {
    Some(v1::ImageSpec {
        image: name.to_owned(),
        ..v1::ImageSpec::default()
    })
}

/// What is gone already need not be removed.
fn gone_is_done(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound(_)) => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Runtime for Cri {
    async fn version(&self) -> Result<v1::VersionResponse> {
        let request = v1::VersionRequest {
            version: "v1".to_owned(),
        };
        within(
            "Version",
            CALL_TIME_MAX,
            self.runtime.clone().version(request),
        )
        .await
    }

    async fn conditions(&self) -> Result<Vec<v1::RuntimeCondition>> {
        let request = v1::StatusRequest { verbose: false };
        let answer = within(
            "Status",
            CALL_TIME_MAX,
            self.runtime.clone().status(request),
        )
        .await?;
        Ok(answer.status.unwrap_or_default().conditions)
    }

    async fn run_sandbox(&self, config: v1::PodSandboxConfig) -> Result<String> {
        let request = v1::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: String::new(),
        };
        let answer = within(
            "RunPodSandbox",
            SANDBOX_TIME_MAX,
            self.runtime.clone().run_pod_sandbox(request),
        )
        .await?;
        Ok(answer.pod_sandbox_id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let request = v1::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let answer = within(
            "StopPodSandbox",
            SANDBOX_TIME_MAX,
            self.runtime.clone().stop_pod_sandbox(request),
        )
        .await;
        gone_is_done(answer.map(|_| ()))
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let request = v1::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        let answer = within(
            "RemovePodSandbox",
            CALL_TIME_MAX,
            self.runtime.clone().remove_pod_sandbox(request),
        )
        .await;
        gone_is_done(answer.map(|_| ()))
    }

    async fn sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<v1::PodSandbox>> {
        let filter = v1::PodSandboxFilter {
            label_selector: of_pod(pod_uid),
            ..v1::PodSandboxFilter::default()
        };
        let request = v1::ListPodSandboxRequest {
            filter: Some(filter),
        };
        Ok(within(
            "ListPodSandbox",
            CALL_TIME_MAX,
            self.runtime.clone().list_pod_sandbox(request),
        )
        .await?
        .items)
    }

    async fn sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus> {
        let request = v1::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose: false,
        };
        let answer = within(
            "PodSandboxStatus",
            CALL_TIME_MAX,
            self.runtime.clone().pod_sandbox_status(request),
        )
        .await?;
        answer.status.ok_or_else(|| missing("the sandbox"))
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(within(
            "CreateContainer",
            CALL_TIME_MAX,
            self.runtime.clone().create_container(request),
        )
        .await?
        .container_id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let request = v1::StartContainerRequest {
            container_id: id.to_owned(),
        };
        within(
            "StartContainer",
            CALL_TIME_MAX,
            self.runtime.clone().start_container(request),
        )
        .await
        .map(|_| ())
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest {
            container_id: id.to_owned(),
            timeout,
        };
        let limit = CALL_TIME_MAX.saturating_add(grace);
        let answer = within(
            "StopContainer",
            limit,
            self.runtime.clone().stop_container(request),
        )
        .await;
        gone_is_done(answer.map(|_| ()))
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        let request = v1::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let answer = within(
            "RemoveContainer",
            CALL_TIME_MAX,
            self.runtime.clone().remove_container(request),
        )
        .await;
        gone_is_done(answer.map(|_| ()))
    }

    async fn containers(&self, pod_uid: Option<&str>) -> Result<Vec<v1::Container>> {
        let filter = v1::ContainerFilter {
            label_selector: of_pod(pod_uid),
            ..v1::ContainerFilter::default()
        };
        let request = v1::ListContainersRequest {
            filter: Some(filter),
        };
        Ok(within(
            "ListContainers",
            CALL_TIME_MAX,
            self.runtime.clone().list_containers(request),
        )
        .await?
        .containers)
    }

    async fn container_status(&self, id: &str) -> Result<v1::ContainerStatus> {
        let request = v1::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let answer = within(
            "ContainerStatus",
            CALL_TIME_MAX,
            self.runtime.clone().container_status(request),
        )
        .await?;
        answer.status.ok_or_else(|| missing("the container"))
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        let request = v1::ReopenContainerLogRequest {
            container_id: id.to_owned(),
        };
        within(
            "ReopenContainerLog",
            CALL_TIME_MAX,
            self.runtime.clone().reopen_container_log(request),
        )
        .await
        .map(|_| ())
    }

    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<v1::ExecSyncResponse> {
        let timeout = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
        let request = v1::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command,
            timeout,
        };
        // The runtime ends the command itself; ours only guards against a runtime that hangs.
        let limit = limit.saturating_add(CALL_TIME_MAX);
        within("ExecSync", limit, self.runtime.clone().exec_sync(request)).await
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<String> {
        Ok(
            within("Exec", CALL_TIME_MAX, self.runtime.clone().exec(request))
                .await?
                .url,
        )
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<String> {
        Ok(within(
            "Attach",
            CALL_TIME_MAX,
            self.runtime.clone().attach(request),
        )
        .await?
        .url)
    }

    async fn port_forward(&self, sandbox: &str) -> Result<String> {
        let request = v1::PortForwardRequest {
            pod_sandbox_id: sandbox.to_owned(),
            port: Vec::new(),
        };
        Ok(within(
            "PortForward",
            CALL_TIME_MAX,
            self.runtime.clone().port_forward(request),
        )
        .await?
        .url)
    }

    async fn image(&self, name: &str) -> Result<Option<v1::Image>> {
        let request = v1::ImageStatusRequest {
            image: image_spec(name),
            verbose: false,
        };
        Ok(within(
            "ImageStatus",
            CALL_TIME_MAX,
            self.images.clone().image_status(request),
        )
        .await?
        .image)
    }

    async fn images(&self) -> Result<Vec<v1::Image>> {
        let request = v1::ListImagesRequest { filter: None };
        Ok(within(
            "ListImages",
            CALL_TIME_MAX,
            self.images.clone().list_images(request),
        )
        .await?
        .images)
    }

    async fn pull(&self, name: &str, auth: Option<v1::AuthConfig>) -> Result<String> {
        let request = v1::PullImageRequest {
            image: image_spec(name),
            auth,
            sandbox_config: None,
        };
        Ok(within(
            "PullImage",
            PULL_TIME_MAX,
            self.images.clone().pull_image(request),
        )
        .await?
        .image_ref)
    }

    async fn image_fs(&self) -> Result<Vec<v1::FilesystemUsage>> {
        let request = v1::ImageFsInfoRequest {};
        Ok(within(
            "ImageFsInfo",
            CALL_TIME_MAX,
            self.images.clone().image_fs_info(request),
        )
        .await?
        .image_filesystems)
    }
}

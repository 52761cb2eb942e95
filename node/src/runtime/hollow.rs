//! The runtime of a hollow node: it keeps books of sandboxes and containers and runs nothing.
//!
//! Only for nodes that say so in their labels. Containers run until they are stopped; what needs a
//! real process (exec, attach, port-forward) is refused. Its books end with the process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ipnet::IpNet;
use parking_lot::Mutex;
use proto_cri::v1;

use super::{Error, Result, Runtime, labels};

const NO_PROCESS: Error =
    Error::Unsupported("a hollow node runs no containers, so nothing can be streamed from it");

/// See the module.
#[derive(Debug)]
pub struct Hollow {
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    range: IpNet,
    sandboxes: BTreeMap<String, v1::PodSandboxStatus>,
    containers: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    sandbox: String,
    status: v1::ContainerStatus,
}

impl Hollow {
    /// A runtime whose sandboxes get addresses out of `range`.
    pub fn new(range: IpNet) -> Self {
        Self {
            books: Mutex::new(Books {
                range,
                sandboxes: BTreeMap::new(),
                containers: BTreeMap::new(),
            }),
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn new_id() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}

fn unknown(what: &str, id: &str) -> Error {
    Error::NotFound(format!("{what} {id} not found"))
}

impl Books {
    /// The lowest address of the range that no running sandbox has; the first is left to a gateway.
    fn free_address(&self) -> Option<IpAddr> {
        let is_taken = |ip: &IpAddr| {
            let ip = ip.to_string();
            let ready = self
                .sandboxes
                .values()
                .filter(|s| s.state() == v1::PodSandboxState::SandboxReady);
            ready
                .filter_map(|s| s.network.as_ref())
                .any(|network| network.ip == ip)
        };
        self.range.hosts().skip(1).find(|ip| !is_taken(ip))
    }

    fn exit(&mut self, id: &str, exit_code: i32) {
        let Some(entry) = self.containers.get_mut(id) else {
            return;
        };
        if entry.status.state() != v1::ContainerState::ContainerExited {
            entry.status.set_state(v1::ContainerState::ContainerExited);
            entry.status.finished_at = now();
            entry.status.exit_code = exit_code;
            entry.status.reason = if exit_code == 0 { "Completed" } else { "Error" }.to_owned();
        }
    }

    fn in_sandbox(&self, sandbox: &str) -> Vec<String> {
        let of = self
            .containers
            .iter()
            .filter(|(_, entry)| entry.sandbox == sandbox);
        of.map(|(id, _)| id.clone()).collect()
    }
}

fn is_of(labels: &BTreeMap<String, String>, pod_uid: Option<&str>) -> bool {
    pod_uid.is_none_or(|uid| labels.get(labels::POD_UID).is_some_and(|of| of == uid))
}

#[async_trait]
impl Runtime for Hollow {
    fn is_hollow(&self) -> bool {
        true
    }

    async fn version(&self) -> Result<v1::VersionResponse> {
        Ok(v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "hollow".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn conditions(&self) -> Result<Vec<v1::RuntimeCondition>> {
        let ready = |name: &str| v1::RuntimeCondition {
            r#type: name.to_owned(),
            status: true,
            ..Default::default()
        };
        Ok(vec![ready("RuntimeReady"), ready("NetworkReady")])
    }

    async fn run_sandbox(&self, config: v1::PodSandboxConfig) -> Result<String> {
        let mut books = self.books.lock();
        let full = || Error::Refused {
            code: "ResourceExhausted",
            message: format!("no free address in {}", books.range),
        };
        let ip = books.free_address().ok_or_else(full)?.to_string();
        let id = new_id();
        let status = v1::PodSandboxStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: v1::PodSandboxState::SandboxReady.into(),
            created_at: now(),
            network: Some(v1::PodSandboxNetworkStatus {
                ip,
                additional_ips: Vec::new(),
            }),
            labels: config.labels,
            annotations: config.annotations,
            runtime_handler: String::new(),
        };
        books.sandboxes.insert(id.clone(), status);
        Ok(id)
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let mut books = self.books.lock();
        for container in books.in_sandbox(id) {
            books.exit(&container, 137);
        }
        if let Some(sandbox) = books.sandboxes.get_mut(id) {
            sandbox.set_state(v1::PodSandboxState::SandboxNotready);
        }
        Ok(())
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let mut books = self.books.lock();
        for container in books.in_sandbox(id) {
            books.containers.remove(&container);
        }
        books.sandboxes.remove(id);
        Ok(())
    }

    async fn sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<v1::PodSandbox>> {
        let books = self.books.lock();
        let of_pod = books
            .sandboxes
            .values()
            .filter(|s| is_of(&s.labels, pod_uid));
        let listed = of_pod.map(|s| v1::PodSandbox {
            id: s.id.clone(),
            metadata: s.metadata.clone(),
            state: s.state,
            created_at: s.created_at,
            labels: s.labels.clone(),
            annotations: s.annotations.clone(),
            runtime_handler: String::new(),
        });
        Ok(listed.collect())
    }

    async fn sandbox_status(&self, id: &str) -> Result<v1::PodSandboxStatus> {
        self.books
            .lock()
            .sandboxes
            .get(id)
            .cloned()
            .ok_or_else(|| unknown("sandbox", id))
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: v1::ContainerConfig,
        _sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String> {
        let mut books = self.books.lock();
        if !books.sandboxes.contains_key(sandbox) {
            return Err(unknown("sandbox", sandbox));
        }
        let id = new_id();
        let image = config.image.clone().unwrap_or_default();
        let status = v1::ContainerStatus {
            id: id.clone(),
            metadata: config.metadata,
            state: v1::ContainerState::ContainerCreated.into(),
            created_at: now(),
            image_ref: image.image.clone(),
            image: Some(image),
            labels: config.labels,
            annotations: config.annotations,
            ..v1::ContainerStatus::default()
        };
        books.containers.insert(
            id.clone(),
            Entry {
                sandbox: sandbox.to_owned(),
                status,
            },
        );
        Ok(id)
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let mut books = self.books.lock();
        let entry = books
            .containers
            .get_mut(id)
            .ok_or_else(|| unknown("container", id))?;
        entry.status.set_state(v1::ContainerState::ContainerRunning);
        entry.status.started_at = now();
        // An init container that never ended would keep its pod from ever running.
        if entry
            .status
            .annotations
            .contains_key(labels::RUNS_TO_COMPLETION)
        {
            books.exit(id, 0);
        }
        Ok(())
    }

    async fn stop_container(&self, id: &str, _grace: Duration) -> Result<()> {
        self.books.lock().exit(id, 0);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.books.lock().containers.remove(id);
        Ok(())
    }

    async fn containers(&self, pod_uid: Option<&str>) -> Result<Vec<v1::Container>> {
        let books = self.books.lock();
        let of_pod = books
            .containers
            .values()
            .filter(|e| is_of(&e.status.labels, pod_uid));
        let listed = of_pod.map(|Entry { sandbox, status }| v1::Container {
            id: status.id.clone(),
            pod_sandbox_id: sandbox.clone(),
            metadata: status.metadata.clone(),
            image: status.image.clone(),
            image_ref: status.image_ref.clone(),
            state: status.state,
            created_at: status.created_at,
            labels: status.labels.clone(),
            annotations: status.annotations.clone(),
            image_id: status.image_id.clone(),
        });
        Ok(listed.collect())
    }

    async fn container_status(&self, id: &str) -> Result<v1::ContainerStatus> {
        let books = self.books.lock();
        books
            .containers
            .get(id)
            .map(|e| e.status.clone())
            .ok_or_else(|| unknown("container", id))
    }

    async fn reopen_log(&self, _id: &str) -> Result<()> {
        Ok(())
    }

    async fn exec_sync(
        &self,
        _id: &str,
        _command: Vec<String>,
        _limit: Duration,
    ) -> Result<v1::ExecSyncResponse> {
        Err(NO_PROCESS)
    }

    async fn exec(&self, _request: v1::ExecRequest) -> Result<String> {
        Err(NO_PROCESS)
    }

    async fn attach(&self, _request: v1::AttachRequest) -> Result<String> {
        Err(NO_PROCESS)
    }

    async fn port_forward(&self, _sandbox: &str) -> Result<String> {
        Err(NO_PROCESS)
    }

    async fn image(&self, name: &str) -> Result<Option<v1::Image>> {
        // Nothing is run, so nothing has to be pulled.
        Ok(Some(v1::Image {
            id: name.to_owned(),
            repo_tags: vec![name.to_owned()],
            ..v1::Image::default()
        }))
    }

    async fn images(&self) -> Result<Vec<v1::Image>> {
        Ok(Vec::new())
    }

    async fn pull(&self, name: &str, _auth: Option<v1::AuthConfig>) -> Result<String> {
        Ok(name.to_owned())
    }

    async fn image_fs(&self) -> Result<Vec<v1::FilesystemUsage>> {
        Ok(Vec::new())
    }
}

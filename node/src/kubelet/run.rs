//! Wires the kubelet: runtime, source of pods, workers, and what reports to the api-server.

use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::events::Recorder;
use client::{ConnectOptions, Informer, Store};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::context::Context;
use super::images::Images;
use super::inside::{Inside, Objects};
use super::probes::Probes;
use super::server;
use super::status_writer::StatusWriter;
use super::workers::Workers;
use super::{lease, node, pleg};
use crate::runtime::{self, Cri, Hollow, Runtime};

/// Why the kubelet cannot start. Each needs a person or a restart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client.
    #[error("connect to the api-server")]
    Connect(#[from] client::connect::ConnectError),
    /// No runtime.
    #[error("start on the container runtime")]
    Runtime(#[from] runtime::Error),
    /// The server's port or certificates.
    #[error("serve the kubelet's port")]
    Server(#[from] server::Error),
    /// A directory.
    #[error("make {path}")]
    Directory {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Runs until `stop`. Pods go on without the kubelet.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let options = ConnectOptions {
        kubeconfig: config.kubeconfig.clone(),
        servers: config.servers.clone(),
        user_agent: format!("keelson-kubelet/{}", env!("CARGO_PKG_VERSION")),
    };
    let client = client::connect(&options).await?;
    let runtime: Arc<dyn Runtime> = if config.hollow {
        Arc::new(Hollow::new(config.pod_range()))
    } else {
        Arc::new(Cri::connect(&config.runtime_endpoint).await?)
    };
    let runtime_name = runtime.version().await?.runtime_name;
    let tasks = Tasks::child_of("kubelet", &stop);
    let (recorder, writer) = Recorder::new(client.clone(), "kubelet");
    tasks.spawn_infallible("events", writer.run(tasks.stop().clone()));
    let inside = if config.hollow {
        None
    } else {
        Some(inside(&config, &client, &tasks)?)
    };
    let host_ips: Vec<String> = config.node_ips.iter().map(ToString::to_string).collect();
    let probe_tasks = Tasks::child_of("probes", tasks.stop());
    let main_ip = host_ips.first().cloned().unwrap_or_default();
    let context = Arc::new(Context {
        probes: Probes::new(
            runtime.clone(),
            recorder.clone(),
            main_ip,
            probe_tasks.clone(),
        ),
        statuses: StatusWriter::default(),
        images: Images::default(),
        client: client.clone(),
        config,
        recorder,
        runtime,
        runtime_name,
        host_ips,
        inside,
    });
    let result = serve(&context, &tasks).await;
    for group in [&probe_tasks, &tasks] {
        group.shutdown(Duration::from_secs(3)).await;
    }
    result
}

/// Starts the loops around the context, and waits for the end.
async fn serve(context: &Arc<Context>, tasks: &Tasks) -> Result<(), Error> {
    let stop = tasks.stop();
    let pod_tasks = Tasks::child_of("pods", stop);
    let workers = Workers::new(context.clone(), pod_tasks.clone());
    let server = server::Server::build(context.clone(), workers.clone()).await?;
    let port = server.port();
    tasks.spawn_infallible("server", server.run(stop.clone()));
    let (client, statuses) = (context.client.clone(), context.statuses.clone());
    tasks.spawn_infallible("statuses", statuses.run(client.clone(), stop.clone()));
    tasks.spawn_infallible("node", node::run(context.clone(), port, stop.clone()));
    let name = context.config.node_name.clone();
    tasks.spawn_infallible("lease", lease::run(client, name, stop.clone()));
    let pods = source(context, &workers, tasks);
    let runtime = context.runtime.clone();
    tasks.spawn_infallible("pleg", pleg::run(runtime, workers, pods, stop.clone()));
    stop.cancelled().await;
    pod_tasks.shutdown(Duration::from_secs(3)).await;
    Ok(())
}

/// Watches the pods of this node.
fn source(context: &Arc<Context>, workers: &Workers, tasks: &Tasks) -> Store<Pod> {
    let mut own = client::informer::selection();
    own.field_selector = Some(format!("spec.nodeName={}", context.config.node_name));
    let workers = workers.clone();
    let informer = Informer::with(Api::<Pod>::all(context.client.clone()), own);
    let informer = informer.on(move |delta| workers.take(delta));
    let store = informer.store();
    tasks.spawn_infallible("watch pods", informer.run(tasks.stop().clone()));
    store
}

fn inside(config: &Config, client: &kube::Client, tasks: &Tasks) -> Result<Inside, Error> {
    for path in [&config.root, &config.logs] {
        let failed = |source| Error::Directory {
            path: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
    }
    let services = Informer::new(Api::<Service>::all(client.clone()));
    let store = services.store();
    tasks.spawn_infallible("watch services", services.run(tasks.stop().clone()));
    Ok(Inside::new(
        config.root.clone(),
        config.logs.clone(),
        Objects::new(client.clone()),
        store,
    ))
}

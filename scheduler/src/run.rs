//! Wires the scheduler: informers feed cache and queue on every replica; the loop runs on the leader.

use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::events::Recorder;
use client::leader::Elector;
use client::{ConnectOptions, Informer};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::cycle::{Scheduler, Shared};
use crate::queue::Queue;
use crate::{feed, plugins};

/// Why the scheduler cannot start or go on. Each needs a person or a restart.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client.
    #[error("connect to the api-server")]
    Connect(#[from] client::connect::ConnectError),
    /// The health port.
    #[error("serve the health port")]
    Health(#[from] client::serve::Error),
    /// The election.
    #[error("leader election")]
    Election(#[from] client::leader::Error),
}

/// Runs until `stop`.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let options = ConnectOptions {
        kubeconfig: config.kubeconfig.clone(),
        servers: config.servers.clone(),
        user_agent: format!("keelson-scheduler/{}", env!("CARGO_PKG_VERSION")),
    };
    let client = client::connect(&options).await?;
    let elector = Elector::new(client.clone(), config.election.clone())?;
    let tasks = Tasks::child_of("scheduler", &stop);
    if let Some(address) = config.health {
        let settings = client::serve::Config {
            address,
            certificate: config.certificate.clone(),
        };
        let registry = Arc::new(Mutex::new(prometheus_client::registry::Registry::default()));
        let server = client::serve::Server::build(settings, Vec::new(), registry).await?;
        let stop = tasks.stop().clone();
        tasks.spawn_infallible("health", async move { server.run(stop).await });
    }
    let (recorder, writer) = Recorder::new(client.clone(), plugins::DEFAULT_SCHEDULER_NAME);
    {
        let stop = tasks.stop().clone();
        tasks.spawn_infallible("events", async move { writer.run(stop).await });
    }
    let profile = Arc::new(plugins::default_profile(Arc::new(
        plugins::DefaultBinder::new(client.clone()),
    )));
    let queue = Queue::new(profile.clone());
    let shared = Arc::new(Shared {
        client,
        recorder,
        profile,
        cache: Arc::default(),
        queue,
    });
    let synced = watch(&shared, &tasks);
    let result = lead(config, elector, &shared, synced, tasks.stop().clone()).await;
    tasks.shutdown(Duration::from_secs(5)).await;
    result
}

/// Starts the informers; the returned future is done once both have seen everything.
fn watch(
    shared: &Arc<Shared>,
    tasks: &Tasks,
) -> impl Future<Output = ()> + Clone + Send + 'static + use<> {
    let nodes = Informer::new(Api::<Node>::all(shared.client.clone()));
    // Pods that have ended hold nothing; the server tells of their end as of a deletion.
    let mut living = client::informer::selection();
    living.field_selector = Some("status.phase!=Succeeded,status.phase!=Failed".to_owned());
    let pods = Informer::with(Api::<Pod>::all(shared.client.clone()), living);
    let (node_store, pod_store) = (nodes.store(), pods.store());
    let (of_nodes, of_pods) = (shared.clone(), shared.clone());
    let nodes = nodes.on(move |delta| feed::node(&of_nodes, delta));
    let pods = pods.on(move |delta| feed::pod(&of_pods, delta));
    let stop = tasks.stop().clone();
    tasks.spawn_infallible("watch nodes", nodes.run(stop));
    let stop = tasks.stop().clone();
    tasks.spawn_infallible("watch pods", pods.run(stop));
    futures::FutureExt::shared(async move {
        node_store.synced().await;
        pod_store.synced().await;
    })
}

async fn lead(
    config: Config,
    elector: Elector,
    shared: &Arc<Shared>,
    synced: impl Future<Output = ()> + Clone + Send + 'static,
    stop: CancellationToken,
) -> Result<(), Error> {
    let term = |term: CancellationToken| {
        let (shared, synced) = (shared.clone(), synced.clone());
        async move {
            // Placing pods on half a view of the cluster would overfill nodes.
            tokio::select! { biased;
                () = term.cancelled() => return,
                () = synced => {}
            }
            tracing::info!("scheduling");
            Scheduler::new(shared).run(term).await;
        }
    };
    if config.leader_elect {
        elector.run(stop, term).await?;
    } else {
        term(stop).await;
    }
    Ok(())
}

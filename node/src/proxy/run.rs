//! Watches services and endpoints, and keeps the table true to them.

use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use base::backoff::Backoff;
use client::{ConnectOptions, Informer, Store};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::model::service_ports;
use super::ruleset::Ruleset;
use crate::bundle;

/// Changes that come together are written together.
const GATHER: Duration = Duration::from_millis(50);
/// The whole table is written anew this often, in case somebody else changed it.
const FULL_PERIOD: Duration = Duration::from_secs(60 * 60);

/// Why the proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client.
    #[error("connect to the api-server")]
    Connect(#[from] client::connect::ConnectError),
}

/// Runs until `stop`. The rules stay: connections outlive the proxy.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let options = ConnectOptions {
        kubeconfig: config.kubeconfig.clone(),
        servers: config.servers.clone(),
        user_agent: format!("keelson-proxy/{}", env!("CARGO_PKG_VERSION")),
    };
    let client = client::connect(&options).await?;
    let tasks = Tasks::child_of("proxy", &stop);
    let changed = Arc::new(Notify::new());
    let services = Informer::new(Api::<Service>::all(client.clone()));
    let slices = Informer::new(Api::<EndpointSlice>::all(client));
    let stores = (services.store(), slices.store());
    let (of_services, of_slices) = (changed.clone(), changed.clone());
    let services = services.on(move |_| of_services.notify_one());
    let slices = slices.on(move |_| of_slices.notify_one());
    tasks.spawn_infallible("watch services", services.run(tasks.stop().clone()));
    tasks.spawn_infallible("watch endpoints", slices.run(tasks.stop().clone()));
    tasks.spawn_infallible("rules", keep(config, stores, changed, tasks.stop().clone()));
    tasks.stop().cancelled().await;
    tasks.shutdown(Duration::from_secs(3)).await;
    Ok(())
}

async fn keep(
    config: Config,
    (services, slices): (Store<Service>, Store<EndpointSlice>),
    changed: Arc<Notify>,
    stop: CancellationToken,
) {
    // Rules from half a view would refuse connections to services that have endpoints.
    tokio::select! { biased;
        () = stop.cancelled() => return,
        () = async { services.synced().await; slices.synced().await } => {}
    }
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    // What the kernel has, as far as is known.
    let mut written: Option<Ruleset> = None;
    let mut last_full = Instant::now();
    loop {
        let ports = service_ports(&services.list(), &slices.list(), &config.node_name);
        let next = Ruleset::new(ports.values(), &config.rules);
        if last_full.elapsed() >= FULL_PERIOD {
            written = None;
        }
        let text = match &written {
            Some(old) => old.change_to(&next, &config.rules),
            None => {
                last_full = Instant::now();
                next.full(&config.rules)
            }
        };
        let mut wait = FULL_PERIOD;
        if !text.is_empty() {
            let began = Instant::now();
            match bundle::nft(&text).await {
                Ok(()) => {
                    tracing::debug!(ports = ports.len(), lines = text.lines().count(), took = ?began.elapsed(), "rules written");
                    backoff.reset();
                }
                Err(error) => {
                    tracing::error!(error = %base::report(&error), "rules not written, trying again with all of them");
                    wait = backoff.next_wait();
                }
            }
            written = (wait == FULL_PERIOD).then_some(next);
        }
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            () = changed.notified() => tokio::time::sleep(GATHER).await,
        }
    }
}

//! The steps in their order, and the loops that keep what must be kept.
//!
//! A step that fails is repeated until it works: a server whose roles are missing must not call
//! itself ready. [`Progress`] tells readiness what is still missing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use api_meta::object;
use api_meta::status::Status;
use base::backoff::Backoff;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::config::Config;
use super::ensure::{Ensurer, Judge, if_missing};
use super::masters::Entry;
use super::{authentication, defaults, endpoints, identity, roles, service_cidr};
use crate::authz::builtin_kind;
use crate::cache::ObjectReader;
use crate::registry::Registry;
use crate::storage;

/// Objects that are made at once. More would only queue at the store.
const AT_ONCE_MAX: usize = 16;
/// How often a replica shows that it lives and looks who else does: twice within the life of its
/// entry, with room for a slow store.
const MASTERS_EVERY: Duration = Duration::from_secs(4);
/// How often the Lease of this replica is renewed.
const IDENTITY_EVERY: Duration = Duration::from_secs(10);
/// How often what must always be there is looked for.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the farewell may take.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// The names that readiness shows are upstream's.
const STEPS: [&str; 7] = [
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/bootstrap-controller",
];

/// Which steps are done. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    done: Arc<Mutex<usize>>,
}

impl Progress {
    /// Every step with whether it is done, in order.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, bool)> + use<> {
        let done = *self.done.lock();
        STEPS
            .into_iter()
            .enumerate()
            .map(move |(i, name)| (name, i < done))
    }

    /// True if all steps are done.
    pub fn is_complete(&self) -> bool {
        *self.done.lock() >= STEPS.len()
    }

    fn step_done(&self) {
        *self.done.lock() += 1;
    }
}

/// Makes and keeps what every cluster has.
pub struct Bootstrap {
    config: Config,
    ensurer: Ensurer,
    entry: Entry,
    holder: String,
    progress: Progress,
}

impl Bootstrap {
    /// Writes through `registry` as the server's own user.
    pub fn new(config: Config, registry: Registry, reader: Arc<dyn ObjectReader>) -> Self {
        let entry = Entry::new(registry.etcd().clone(), config.advertise);
        let holder = Uuid::new_v4().to_string();
        let ensurer = Ensurer { registry, reader };
        Self {
            config,
            ensurer,
            entry,
            holder,
            progress: Progress::default(),
        }
    }

    /// What is done so far, for readiness.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Runs the steps, then keeps what they made until `stop`, then takes this replica off the list
    /// of those that serve. The cache must be live, and the server must serve on until this returns.
    pub async fn run(self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.first_steps()).await.is_some() {
            tokio::join!(
                self.keep_masters(&stop),
                self.keep_identity(&stop),
                self.keep_objects(&stop)
            );
        }
        // Also after the first steps alone, which may have published it.
        self.farewell().await;
    }

    async fn first_steps(&self) {
        let ca = || self.authentication();
        self.insist(|| self.all(Ok(defaults::namespaces()), if_missing))
            .await;
        self.insist(|| self.roles()).await;
        self.insist(|| self.all(defaults::priority_classes(), if_missing))
            .await;
        self.insist(|| self.all(defaults::flow_control(), roles::flow_control))
            .await;
        self.insist(ca).await;
        self.insist(|| self.service_cidr()).await;
        self.insist(|| self.kubernetes_service()).await;
        tracing::info!("the cluster's own objects are in place");
    }

    /// Repeats a step until it works.
    async fn insist<F: Future<Output = Result<(), Status>>>(&self, step: impl Fn() -> F) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        while let Err(status) = step().await {
            let name = self
                .progress
                .steps()
                .find(|(_, done)| !done)
                .map_or("", |(name, _)| name);
            tracing::warn!(
                step = name,
                reason = status.message,
                "a bootstrap step failed and is repeated"
            );
            tokio::time::sleep(backoff.next_wait()).await;
        }
        self.progress.step_done();
    }

    async fn all(&self, wanted: Result<Vec<Value>, Status>, judge: Judge) -> Result<(), Status> {
        stream::iter(wanted?)
            .map(|one| async move { self.ensurer.ensure(&one, judge).await })
            .buffer_unordered(AT_ONCE_MAX)
            .try_collect::<Vec<()>>()
            .await
            .map(drop)
    }

    async fn roles(&self) -> Result<(), Status> {
        // Roles first: a binding to a role that is not there yet grants nothing for a moment.
        self.all(defaults::roles(), roles::role).await?;
        self.all(defaults::bindings(), roles::binding).await
    }

    async fn authentication(&self) -> Result<(), Status> {
        let today = Timestamp::now().strftime("%Y-%m-%d").to_string();
        let tracking = defaults::token_tracking(&today);
        self.ensurer.ensure(&tracking, if_missing).await?;
        let Some(ca) = &self.config.client_ca else {
            return Ok(());
        };
        self.ensurer
            .ensure(&authentication::config_map(ca), authentication::judge)
            .await
    }

    async fn service_cidr(&self) -> Result<(), Status> {
        if self.config.service_cidrs.is_empty() {
            return Ok(());
        }
        let wanted = service_cidr::object(&self.config);
        self.ensurer.ensure(&wanted, if_missing).await?;
        let kind = builtin_kind("networking.k8s.io", "v1", "servicecidrs");
        let present = self
            .ensurer
            .reader
            .get_consistent(kind, "", object::name(&wanted))
            .await?;
        match present {
            Some(found) if !service_cidr::is_ready(&found.value()?) => {
                let now = api_meta::time::format(Timestamp::now());
                self.ensurer
                    .set_status(&wanted, &service_cidr::ready(&now))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Endpoints first: they also tell that this replica lives, which must not depend on the
    /// Service, whose address may have been taken.
    async fn kubernetes_service(&self) -> Result<(), Status> {
        let Some(address) = self.config.service_address() else {
            return Ok(());
        };
        self.sync_endpoints().await?;
        let service = endpoints::service(address, self.config.advertise.1);
        self.ensurer.ensure(&service, if_missing).await
    }

    fn is_published(&self) -> bool {
        !self.config.advertise.0.is_loopback() && self.config.service_address().is_some()
    }

    /// Shows that this replica lives, and publishes all that do.
    async fn sync_endpoints(&self) -> Result<(), Status> {
        if !self.is_published() {
            return Ok(());
        }
        self.entry
            .refresh()
            .await
            .map_err(|error| of_store(&error))?;
        let masters = self.entry.list().await.map_err(|error| of_store(&error))?;
        // This replica is on the list, so an empty list is a fault and no reason to unpublish all.
        if masters.is_empty() {
            return Err(Status::internal("no api-server is listed in the store"));
        }
        self.publish(&masters).await
    }

    async fn publish(&self, masters: &endpoints::Masters) -> Result<(), Status> {
        let slices = endpoints::slices(masters);
        for slice in &slices {
            self.ensurer.ensure(slice, endpoints::judge).await?;
        }
        let kind = builtin_kind("discovery.k8s.io", "v1", "endpointslices");
        for found in self.ensurer.reader.list(kind, Some("default")) {
            let present = found.value()?;
            if endpoints::is_stale(&present, &slices) {
                self.ensurer.delete(&present).await?;
            }
        }
        self.ensurer
            .ensure(&endpoints::endpoints(masters), endpoints::judge)
            .await
    }

    /// The Service comes back when it is deleted, since pods reach the API by it.
    async fn keep_masters(&self, stop: &CancellationToken) {
        every(
            stop,
            MASTERS_EVERY,
            "kubernetes Service and its endpoints",
            || self.kubernetes_service(),
        )
        .await;
    }

    async fn keep_identity(&self, stop: &CancellationToken) {
        every(stop, IDENTITY_EVERY, "identity lease", || async {
            let lease = identity::lease(&self.config, &self.holder, Timestamp::now());
            self.ensurer.ensure(&lease, identity::judge).await
        })
        .await;
    }

    async fn keep_objects(&self, stop: &CancellationToken) {
        every(stop, KEEP_EVERY, "objects of the cluster", || async {
            self.all(Ok(defaults::namespaces()), if_missing).await?;
            self.authentication().await?;
            self.drop_dead_identities().await
        })
        .await;
    }

    async fn drop_dead_identities(&self) -> Result<(), Status> {
        let kind = builtin_kind("coordination.k8s.io", "v1", "leases");
        for found in self.ensurer.reader.list(kind, Some(identity::NAMESPACE)) {
            let lease = found.value()?;
            if identity::is_expired(&lease, Timestamp::now()) {
                self.ensurer.delete(&lease).await?;
            }
        }
        Ok(())
    }

    /// Takes this replica off the list, so that nobody is sent to it any more.
    async fn farewell(&self) {
        if !self.is_published() {
            return;
        }
        let leave = async {
            self.entry
                .remove()
                .await
                .map_err(|error| of_store(&error))?;
            let masters = self.entry.list().await.map_err(|error| of_store(&error))?;
            self.publish(&masters).await
        };
        match tokio::time::timeout(FAREWELL_MAX, leave).await {
            Ok(Ok(())) => {}
            Ok(Err(status)) => tracing::warn!(
                reason = status.message,
                "this replica stays listed until its lease ends"
            ),
            Err(_) => {
                tracing::warn!("this replica stays listed until its lease ends: no answer in time")
            }
        }
    }
}

/// Runs `work` now and then again after each period, until `stop`. A failure waits for the next time.
async fn every<F: Future<Output = Result<(), Status>>>(
    stop: &CancellationToken,
    period: Duration,
    what: &'static str,
    work: impl Fn() -> F,
) {
    loop {
        match stop.run_until_cancelled(work()).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(status)) => tracing::warn!(
                what,
                reason = status.message,
                "could not be kept up to date"
            ),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(period))
            .await
            .is_none()
        {
            return;
        }
    }
}

fn of_store(error: &storage::Error) -> Status {
    Status::internal(base::report(error))
}

#[cfg(test)]
mod tests {
    use super::{Progress, STEPS};

    #[test]
    fn progress_names_what_is_missing() {
        let progress = Progress::default();
        assert!(!progress.is_complete());
        progress.step_done();
        let steps: Vec<_> = progress.steps().collect();
        assert_eq!((steps[0].1, steps[1].1), (true, false));
        for _ in 1..STEPS.len() {
            progress.step_done();
        }
        assert!(progress.is_complete());
    }
}

//! The loop of a candidate: acquire, lead while renewing, step down in time, and stand again.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{Config, JITTER};
use super::record::{Observed, holder, may_take, released, taken};
use crate::events::{Recorder, Type};
use crate::times::now_micro;

/// A renewal may arrive between our look at the lease and our write, but hardly twice.
const RELEASE_TRIES_MAX: u32 = 3;

/// Who leads, as this candidate knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it is this one.
    pub is_leader: bool,
    /// The holder in the record.
    pub holder: String,
}

/// Why an election ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The times contradict each other.
    #[error("{0}")]
    Config(&'static str),
    /// The lead was lost and the leading part did not end within the rest of the lease: the process must end.
    #[error("leader election lost, and the leading part did not stop within {0:?}")]
    Stuck(Duration),
    /// The leading part ended by itself while still the leader.
    #[error("the leading part ended by itself")]
    LeadEnded,
}

/// A candidate.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    config: Config,
    observed: Option<Observed>,
    status: watch::Sender<Status>,
    recorder: Option<Recorder>,
}

impl Elector {
    /// A candidate that has not asked anything yet.
    pub fn new(client: Client, config: Config) -> Result<Self, Error> {
        config.check()?;
        let api = Api::namespaced(client, &config.namespace);
        Ok(Self {
            api,
            config,
            observed: None,
            status: watch::Sender::new(Status::default()),
            recorder: None,
        })
    }

    /// Tells of changes by events on the lease.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Follows who leads.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Stands for election until `stop`; calls `lead` for each term. The token that `lead` gets is cancelled when the
    /// term ends, and `lead` must return soon after. On `stop` the lease is given up once `lead` has returned.
    pub async fn run<F, L>(mut self, stop: CancellationToken, mut lead: L) -> Result<(), Error>
    where
        L: FnMut(CancellationToken) -> F,
        F: Future<Output = ()>,
    {
        loop {
            let Some(renewed) = self.acquire(&stop).await else {
                return Ok(());
            };
            tracing::info!(lease = %self.config.name, identity = %self.config.identity, "became leader");
            self.tell("became leader");
            let term = stop.child_token();
            let end = {
                let leading = lead(term.clone());
                tokio::pin!(leading);
                let end = tokio::select! { biased;
                    () = stop.cancelled() => TermEnd::Stopped,
                    () = &mut leading => TermEnd::LeadEnded,
                    () = self.renew_until_lost(renewed) => TermEnd::Lost,
                };
                term.cancel();
                let rest = self
                    .config
                    .lease_duration
                    .saturating_sub(self.config.renew_deadline);
                let ended = matches!(end, TermEnd::LeadEnded)
                    || tokio::time::timeout(rest, &mut leading).await.is_ok();
                if !ended {
                    return Err(Error::Stuck(rest));
                }
                end
            };
            self.status.send_modify(|status| status.is_leader = false);
            self.tell("stopped leading");
            match end {
                TermEnd::Stopped => {
                    self.release().await;
                    return Ok(());
                }
                TermEnd::Lost => {
                    tracing::warn!(lease = %self.config.name, "leadership lost, standing again");
                }
                TermEnd::LeadEnded => {
                    self.release().await;
                    return if stop.is_cancelled() {
                        Ok(())
                    } else {
                        Err(Error::LeadEnded)
                    };
                }
            }
        }
    }

    /// Tries until the lease is ours; the moment before the successful write was sent. None when stopped.
    async fn acquire(&mut self, stop: &CancellationToken) -> Option<Instant> {
        loop {
            let sent = Instant::now();
            let limit = self.config.renew_deadline;
            let tried = tokio::select! { biased;
                () = stop.cancelled() => return None,
                tried = tokio::time::timeout(limit, self.try_take()) => tried,
            };
            match tried {
                Ok(Ok(true)) => return Some(sent),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.config.name, error = %base::report(&error), "cannot reach the lease");
                }
                Err(_) => {
                    tracing::warn!(lease = %self.config.name, "no answer about the lease in time")
                }
            }
            let wait = self
                .config
                .retry_period
                .mul_f64(rand::random_range(1.0..=JITTER));
            tokio::select! { biased;
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Returns when the last successful renewal is `renew_deadline` old, or somebody else holds the lease.
    async fn renew_until_lost(&mut self, mut renewed: Instant) {
        loop {
            tokio::time::sleep_until((renewed + self.config.retry_period).max(
                // After a failure the next try waits, but less than a period, so that several fit the deadline.
                Instant::now() + self.config.retry_period / 4,
            ))
            .await;
            let deadline = renewed + self.config.renew_deadline;
            let sent = Instant::now();
            // Half of the deadline for one try, so that a frozen server leaves time for another one.
            let limit = deadline.min(sent + self.config.renew_deadline / 2);
            match tokio::time::timeout_at(limit, self.try_take()).await {
                Ok(Ok(true)) => renewed = sent,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(lease = %self.config.name, error = %base::report(&error), "renewal failed");
                }
                Err(_) => {
                    tracing::warn!(lease = %self.config.name, "renewal got no answer in time")
                }
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// One try to take or keep the lease. False if somebody else holds it.
    async fn try_take(&mut self) -> Result<bool, kube::Error> {
        let identity = self.config.identity.clone();
        // The leader writes over what it wrote last; only if that fails it reads.
        let is_leader = self.status.borrow().is_leader;
        let own = self
            .observed
            .clone()
            .filter(|seen| is_leader && holder(&seen.lease) == identity);
        if let Some(observed) = own {
            match self.write(&observed.lease).await {
                Ok(()) => return Ok(true),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let Some(lease) = self.api.get_opt(&self.config.name).await? else {
            return self.create().await;
        };
        let now = Instant::now();
        let observed = Observed::update(self.observed.take(), lease, now);
        self.observed = Some(observed.clone());
        let is_ours = may_take(&observed, &identity, self.config.lease_duration, now);
        if !is_ours {
            self.publish(false);
            return Ok(false);
        }
        match self.write(&observed.lease).await {
            Ok(()) => Ok(true),
            // Another candidate was faster, or our own earlier write arrived after all: look again next time.
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                if is_leader {
                    Err(kube::Error::Api(status))
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self) -> Result<bool, kube::Error> {
        let spec = taken(
            None,
            &self.config.identity,
            self.config.lease_duration,
            now_micro(),
        );
        let lease = self.lease(ObjectMeta::default(), spec);
        match self.api.create(&PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observed = Some(Observed {
                    lease,
                    since: Instant::now(),
                });
                self.publish(true);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self, old: &Lease) -> Result<(), kube::Error> {
        let spec = taken(
            old.spec.as_ref(),
            &self.config.identity,
            self.config.lease_duration,
            now_micro(),
        );
        let lease = self.lease(old.metadata.clone(), spec);
        let lease = self
            .api
            .replace(&self.config.name, &PostParams::default(), &lease)
            .await?;
        self.observed = Some(Observed {
            lease,
            since: Instant::now(),
        });
        self.publish(true);
        Ok(())
    }

    /// Nobody depends on it: without it the others wait for the lease to run out.
    async fn release(&mut self) {
        let Some(observed) = self.observed.clone() else {
            return;
        };
        let write = self.give_up(observed.lease);
        match tokio::time::timeout(self.config.retry_period, write).await {
            Ok(Ok(true)) => tracing::info!(lease = %self.config.name, "released"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = %self.config.name, error = %base::report(&error), "not released");
            }
            Err(_) => tracing::warn!(lease = %self.config.name, "not released in time"),
        }
    }

    /// Writes that nobody holds the lease, which was last seen as `lease`. False if it is not ours.
    async fn give_up(&self, mut lease: Lease) -> Result<bool, kube::Error> {
        let name = &self.config.name;
        let mut tries_left = RELEASE_TRIES_MAX;
        while holder(&lease) == self.config.identity {
            let old = lease.spec.clone().unwrap_or_default();
            let free = self.lease(lease.metadata.clone(), released(&old, now_micro()));
            tries_left -= 1;
            let written = self.api.replace(name, &PostParams::default(), &free).await;
            match written {
                Ok(_) => return Ok(true),
                // A renewal that the end of the term cut off has arrived after all.
                Err(kube::Error::Api(status)) if status.is_conflict() && tries_left > 0 => {}
                Err(error) => return Err(error),
            }
            match self.api.get_opt(name).await? {
                Some(seen) => lease = seen,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    fn tell(&self, what: &str) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        let about = ObjectReference {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            namespace: Some(self.config.namespace.clone()),
            name: Some(self.config.name.clone()),
            ..ObjectReference::default()
        };
        let text = format!("{} {what}", self.config.identity);
        recorder.about(about, Type::Normal, "LeaderElection", text);
    }

    fn lease(&self, mut metadata: ObjectMeta, spec: LeaseSpec) -> Lease {
        metadata.name = Some(self.config.name.clone());
        metadata.namespace = Some(self.config.namespace.clone());
        metadata.managed_fields = None;
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    fn publish(&self, is_leader: bool) {
        let holder = self
            .observed
            .as_ref()
            .map(|seen| holder(&seen.lease).to_owned());
        let status = Status {
            is_leader,
            holder: holder.unwrap_or_default(),
        };
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            if changed && !status.is_leader {
                tracing::info!(lease = %self.config.name, holder = %status.holder, "new leader");
            }
            *old = status;
            changed
        });
    }
}

enum TermEnd {
    Stopped,
    Lost,
    LeadEnded,
}

#[cfg(test)]
mod tests;

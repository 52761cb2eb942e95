//! Applies what the source sends until it is time to end.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::super::follow::{Changes, Follower, Leases};
use super::super::replay::Replay;
use super::super::source::Source;
use super::{MigrateError, Until};
use crate::apply::Making;
use crate::failpoint;

/// How often the source is asked where it stands.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often is told how far it is, and everything made durable: what an interruption costs at most.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// How long the source may go on being written to while leases are compared. Then the end is where it
/// is.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Chase<'m> {
    making: &'m Making,
    pub(super) replay: Replay<'m>,
    pub(super) leases: Leases,
    pub(super) auth_revision: u64,
    follower: Follower,
    /// Where the source stood when it was asked last.
    source_revision: i64,
    looked: Instant,
    told: Instant,
    told_changes: u64,
}

impl<'m> Chase<'m> {
    pub(super) fn new(
        making: &'m Making,
        replay: Replay<'m>,
        leases: Leases,
        auth_revision: u64,
    ) -> Self {
        Self {
            follower: Follower::new(replay.revision().saturating_add(1)),
            making,
            replay,
            leases,
            auth_revision,
            source_revision: 0,
            looked: Instant::now(),
            told: Instant::now(),
            told_changes: 0,
        }
    }

    /// Follows until it is time to end.
    pub(super) async fn run(
        &mut self,
        source: &mut Source,
        until: Until,
        told: &CancellationToken,
    ) -> Result<(), MigrateError> {
        self.look(source).await?;
        tracing::info!(
            revision = self.replay.revision(),
            source_revision = self.source_revision,
            "following"
        );
        let target = match until {
            Until::Revision(revision) => Some(revision),
            Until::Synced => Some(self.source_revision),
            Until::Told => None,
        };
        loop {
            if target.is_some_and(|target| self.replay.revision() >= target) {
                return Ok(());
            }
            let came = tokio::select! { biased;
                // First: a source that never pauses must not hold the end up.
                () = told.cancelled() => break,
                came = self.follower.next(source, LOOK_INTERVAL) => came?,
            };
            self.apply(source, came, target.filter(|_| until != Until::Synced))
                .await?;
            if self.looked.elapsed() >= LOOK_INTERVAL {
                self.look(source).await?;
            }
        }
        self.look(source).await?;
        tracing::info!(
            revision = self.replay.revision(),
            source_revision = self.source_revision,
            "told to cut over"
        );
        let target = match until {
            Until::Revision(revision) => revision.min(self.source_revision),
            Until::Told | Until::Synced => self.source_revision,
        };
        self.catch_up(source, target).await
    }

    /// Compares leases until none of what happened meanwhile is missing; where the source stands then.
    pub(super) async fn settle(
        &mut self,
        source: &mut Source,
        until: Until,
    ) -> Result<i64, MigrateError> {
        let since = Instant::now();
        self.leases.compare(source).await?;
        self.leases.ask_again(source).await?;
        loop {
            self.look(source).await?;
            let is_behind = self.source_revision > self.replay.revision();
            if !is_behind || matches!(until, Until::Revision(_)) || since.elapsed() > SETTLE_MAX {
                return Ok(self.source_revision);
            }
            self.catch_up(source, self.source_revision).await?;
            self.leases.compare(source).await?;
        }
    }

    async fn catch_up(&mut self, source: &mut Source, target: i64) -> Result<(), MigrateError> {
        while self.replay.revision() < target {
            let came = self.follower.next(source, LOOK_INTERVAL).await?;
            self.apply(source, came, Some(target)).await?;
            if self.looked.elapsed() >= LOOK_INTERVAL {
                self.look(source).await?;
            }
        }
        Ok(())
    }

    /// Applies revisions, none after `last`. Those come again if they are wanted after all.
    async fn apply(
        &mut self,
        source: &mut Source,
        came: Vec<Changes>,
        last: Option<i64>,
    ) -> Result<(), MigrateError> {
        self.leases.learn(source, &came).await?;
        for changes in &came {
            if last.is_some_and(|last| changes.revision > last) {
                self.follower = Follower::new(changes.revision);
                break;
            }
            self.replay.apply(changes)?;
        }
        self.replay.write()?;
        failpoint::hit("migrate::applied").map_err(super::RestoreError::from)?;
        if self.told.elapsed() >= TELL_INTERVAL {
            self.tell()?;
        }
        Ok(())
    }

    /// Asks the source where it stands, and for what no watch tells.
    async fn look(&mut self, source: &mut Source) -> Result<(), MigrateError> {
        self.looked = Instant::now();
        self.source_revision = source.position().await?.revision;
        self.follower.notice(source, self.source_revision);
        let (now, _) = source.auth_revision().await?;
        if now != self.auth_revision {
            let before = self.auth_revision;
            return Err(MigrateError::AuthChanged { before, now });
        }
        if self.told.elapsed() >= TELL_INTERVAL {
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&mut self) -> Result<(), MigrateError> {
        self.making.flush()?;
        let revision = self.replay.revision();
        // It was asked a while ago.
        self.source_revision = self.source_revision.max(revision);
        let changes = self.replay.changes - self.told_changes;
        let seconds = self.told.elapsed().as_secs().max(1);
        tracing::info!(
            revision,
            source_revision = self.source_revision,
            lag = self.source_revision - revision,
            changes_per_s = changes / seconds,
            "following"
        );
        self.told = Instant::now();
        self.told_changes = self.replay.changes;
        Ok(())
    }
}

//! Tells streams that asked for a leader when there has been none for three election timeouts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::consensus::Status;
use crate::metrics::Metrics;

/// Follows who leads, until `stop`: `lost` turns true after `patience` without a leader, and false
/// when one is there. Counts leaders on the way.
pub(super) async fn run(
    mut statuses: watch::Receiver<Status>,
    metrics: Arc<Metrics>,
    lost: watch::Sender<bool>,
    patience: Duration,
    stop: CancellationToken,
) {
    let mut seen = None;
    loop {
        let (leader, since) = {
            let status = statuses.borrow_and_update();
            (status.leader, status.leaderless_since)
        };
        if leader.is_some() {
            if leader != seen {
                metrics.leader_changes.inc();
                seen = leader;
            }
            lost.send_if_modified(std::mem::take);
        }
        let is_waiting = since.is_some() && !*lost.borrow();
        let end = since.unwrap_or_else(Instant::now) + patience;
        // Shutdown first; then news, which may end the wait.
        tokio::select! { biased;
            () = stop.cancelled() => return,
            changed = statuses.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(end.into()), if is_waiting => {
                tracing::warn!("no leader for three election timeouts: ending streams that need one");
                lost.send_replace(true);
            }
        }
    }
}

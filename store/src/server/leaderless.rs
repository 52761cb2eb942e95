//! Tells streams that asked for a leader when there has been none for three election timeouts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::consensus::Consensus;
use crate::metrics::Metrics;

/// Follows who leads, until `stop`: `lost` turns true after `patience` without a leader, and false
/// when one is there. Counts leaders on the way.
pub(super) async fn run(
    consensus: Arc<dyn Consensus>,
    metrics: Arc<Metrics>,
    lost: watch::Sender<bool>,
    patience: Duration,
    stop: CancellationToken,
) {
    let mut statuses = consensus.subscribe();
    drop(consensus);
    let mut seen = None;
    let mut since = tokio::time::Instant::now();
    loop {
        let leader = statuses.borrow_and_update().leader;
        if leader.is_some() {
            if leader != seen {
                metrics.leader_changes.inc();
                seen = leader;
            }
            lost.send_if_modified(std::mem::take);
            since = tokio::time::Instant::now();
        }
        let is_waiting = leader.is_none() && !*lost.borrow();
        // Shutdown first; then news, which may end the wait.
        tokio::select! { biased;
            () = stop.cancelled() => return,
            changed = statuses.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(since + patience), if is_waiting => {
                tracing::warn!("no leader for three election timeouts: ending streams that need one");
                lost.send_replace(true);
            }
        }
    }
}

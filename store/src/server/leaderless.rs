//! Tells streams that asked for a leader when there has been none for three election timeouts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
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
    let mut since = None;
    loop {
        let leader = statuses.borrow_and_update().leader;
        since = leaderless_since(since, leader, Instant::now());
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
            () = tokio::time::sleep_until(end), if is_waiting => {
                tracing::warn!("no leader for three election timeouts: ending streams that need one");
                lost.send_replace(true);
            }
        }
    }
}

/// Since when nobody leads, if nobody does: what was known before, and who leads now.
fn leaderless_since(before: Option<Instant>, leader: Option<u64>, now: Instant) -> Option<Instant> {
    match leader {
        Some(_) => None,
        None => before.or(Some(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_leader_begins_with_its_loss() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let led = leaderless_since(None, Some(1), start);
        assert_eq!(led, None);
        let lost = leaderless_since(led, None, after(100));
        assert_eq!(lost, Some(after(100)));
        assert_eq!(leaderless_since(lost, None, after(101)), Some(after(100)));
        assert_eq!(leaderless_since(lost, Some(2), after(102)), None);
    }
}

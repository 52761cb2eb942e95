//! Discards old history without being asked, as `--auto-compaction-*` says. Every member looks, only
//! the leader acts: a compaction is a command like any other.

use std::collections::VecDeque;
use std::time::Duration;

use proto_etcd::etcdserverpb::{CompactionRequest, CompactionResponse, InternalRaftRequest};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::AutoCompaction;
use crate::rpc::Context;
use crate::rpc::status::Error;

/// How often a number of revisions is looked at; etcd's interval.
const REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// A period longer than this is looked at as often as this one.
const PERIOD_LOOKS_MAX: Duration = Duration::from_secs(3_600);
/// Looks in one period.
const LOOKS: u32 = 10;

/// The revisions seen at past looks, oldest first.
#[derive(Default)]
struct Past(VecDeque<(Instant, i64)>);

impl Past {
    /// Notes the present revision and returns the newest one that is at least `age` old.
    fn look(&mut self, now: Instant, revision: i64, age: Duration) -> Option<i64> {
        self.0.push_back((now, revision));
        let mut old = None;
        while let Some((at, revision)) = self.0.front().copied() {
            if now.saturating_duration_since(at) < age {
                break;
            }
            old = Some(revision);
            self.0.pop_front();
        }
        old
    }
}

/// Runs until `stop`.
pub(super) async fn run(context: &Context, mode: AutoCompaction, stop: &CancellationToken) {
    let interval = match mode {
        AutoCompaction::Off => return,
        AutoCompaction::Revision(_) => REVISION_INTERVAL,
        AutoCompaction::Periodic(period) => period.min(PERIOD_LOOKS_MAX) / LOOKS,
    };
    let mut past = Past::default();
    let mut timer = tokio::time::interval(interval.max(Duration::from_millis(1)));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! { biased;
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        let revision = context.view.revision();
        let upto = match mode {
            AutoCompaction::Off => return,
            AutoCompaction::Revision(keep) => Some(revision - keep),
            AutoCompaction::Periodic(period) => past.look(Instant::now(), revision, period),
        };
        let upto = upto.filter(|upto| *upto > 0 && *upto > context.view.compact_revision());
        if let Some(upto) = upto.filter(|_| context.consensus.status().is_leader()) {
            compact(context, upto).await;
        }
    }
}

async fn compact(context: &Context, revision: i64) {
    let request = CompactionRequest {
        revision,
        physical: false,
    };
    let request = InternalRaftRequest {
        compaction: Some(request),
        ..Default::default()
    };
    match context.propose::<CompactionResponse>(request).await {
        Ok(_) | Err(Error::Compacted) => tracing::info!(revision, "completed auto compaction"),
        Err(error) => tracing::warn!(revision, error = %error, "failed auto compaction"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Past;

    #[test]
    fn only_what_is_old_enough_goes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut past = Past::default();
        let age = Duration::from_secs(10);
        assert_eq!(past.look(at(0), 5, age), None);
        assert_eq!(past.look(at(5), 7, age), None);
        assert_eq!(past.look(at(10), 9, age), Some(5));
        assert_eq!(past.look(at(12), 9, age), None);
        assert_eq!(past.look(at(30), 11, age), Some(9));
    }
}

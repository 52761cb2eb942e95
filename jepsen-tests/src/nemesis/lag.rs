//! Leaves a member so far behind that only a snapshot brings it back: by a partition, or by its death;
//! in the latter case it or the leader is killed again while the snapshot may be on its way.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::{Instant, sleep};

use crate::target::{Cluster, Rules};
use crate::wire::log_index;

/// Flags that make members cut their logs after so few entries, and keep so few of them.
pub(crate) const SNAPSHOT_ENTRIES: u64 = 100;
pub(crate) const CATCH_UP_ENTRIES: u64 = 50;
/// More than a member's log can hold then, twice.
const BEHIND_ENTRIES: u64 = 2 * (SNAPSHOT_ENTRIES + CATCH_UP_ENTRIES);
/// Clients that write little do not get there.
const BEHIND_TIME_MAX: Duration = Duration::from_secs(25);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Who is killed while a snapshot may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Receiver,
    Sender,
}

/// Cuts the member off until the others are far ahead. How far.
pub(super) async fn cut_off(cluster: &Cluster, one: usize) -> Result<u64> {
    let others: Vec<usize> = (0..cluster.members().len())
        .filter(|at| *at != one)
        .collect();
    let mut rules = Rules::default();
    rules.cut(&[one], &others);
    cluster.change_links(|now| now.hold_as(&rules)).await?;
    let ahead = get_ahead(cluster, &others).await;
    // Undone here too if nothing came of it: an error undoes nothing.
    if ahead.is_err() {
        cluster.change_links(Rules::heal).await?;
    }
    ahead
}

/// Kills the member until the others are far ahead, and starts it; then kills again. Who was killed.
pub(super) async fn crash(
    cluster: &Cluster,
    one: usize,
    victim: Victim,
    after: Duration,
) -> Result<Vec<usize>> {
    let member = &cluster.members()[one];
    if !member.kill() {
        return Err(anyhow!("{} does not run", member.name));
    }
    let others: Vec<usize> = (0..cluster.members().len())
        .filter(|at| *at != one)
        .collect();
    let ahead = get_ahead(cluster, &others).await;
    member.start()?;
    ahead?;
    sleep(after).await;
    let at = match victim {
        Victim::Receiver => one,
        Victim::Sender => cluster.leader().await.context("nobody leads now")?,
    };
    let killed = cluster.members()[at].kill();
    Ok(killed.then_some(at).into_iter().collect())
}

async fn get_ahead(cluster: &Cluster, others: &[usize]) -> Result<u64> {
    let begin = index(cluster, others).await.context("nobody answers")?;
    let until = Instant::now() + BEHIND_TIME_MAX;
    loop {
        let now = index(cluster, others).await.unwrap_or(begin);
        let ahead = now.saturating_sub(begin);
        if ahead >= BEHIND_ENTRIES {
            return Ok(ahead);
        }
        if Instant::now() > until {
            return Err(anyhow!("only {ahead} entries in time"));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// How far the furthest of these is.
async fn index(cluster: &Cluster, of: &[usize]) -> Option<u64> {
    let mut furthest = None;
    for at in of {
        let index = log_index(&cluster.members()[*at].url).await;
        furthest = furthest.max(index);
    }
    furthest
}

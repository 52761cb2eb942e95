//! Every member of the store is killed at once while clients write. After the restart nothing that
//! was acknowledged may be missing, and a watcher that lived through it saw everything once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use base::Tasks;
use testkit::{Cluster, Shape};

use crate::history::History;
use crate::workload::Store;

const ROUNDS: usize = 3;
const WRITERS: usize = 8;
/// Acknowledged writes between two kills.
const WRITES_EACH: usize = 300;

/// Runs the scenario.
pub(super) async fn run(binary: PathBuf) -> Result<History> {
    let history = History::default();
    let cluster = Cluster::start_by(binary, Shape::STORE)?;
    let store = Store::new(&cluster, &history)?;
    let watching = Tasks::new("watch");
    store.spawn_watcher(&watching);
    let writing = Tasks::new("write");
    store.spawn(&writing, WRITERS);
    for round in 1..=ROUNDS {
        wait_for_writes(&history, WRITES_EACH).await?;
        history.nemesis("kill", format!("all members, round {round}"));
        cluster.kill(None)?;
        cluster.restart_all()?;
    }
    wait_for_writes(&history, WRITES_EACH).await?;
    ensure!(
        writing.shutdown(Duration::from_secs(10)).await,
        "the writers did not end"
    );
    super::settle(&history, async || {
        store.read_final().await.map(|keys| keys.len())
    })
    .await?;
    watching.shutdown(Duration::from_secs(5)).await;
    Ok(history)
}

async fn wait_for_writes(history: &History, count: usize) -> Result<()> {
    let wanted = history.acknowledged() + count;
    testkit::poll(60, "enough acknowledged writes", async || {
        match history.acknowledged() {
            now if now >= wanted => Ok(()),
            now => Err(format!("{now} of {wanted}")),
        }
    })
    .await
}

//! One part of the plane after another is killed under a steady writer and a watcher: the store's
//! leader, an api-server, the leading scheduler, the leading controllers. Each is started again
//! before the next.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::Tasks;
use testkit::{Cluster, Shape};

use crate::edn::Value;
use crate::history::History;
use crate::workload::Plane;

const WRITERS: usize = 4;
/// Longer than a lease of the leader election and its retries (15 s + 2 s).
const RECOVERY_SECONDS: u64 = 45;

/// Runs the scenario.
pub(super) async fn run(binary: PathBuf) -> Result<History> {
    let history = History::default();
    let cluster = Cluster::start_by(binary, Shape::PLANE)?;
    let plane = Plane::new(&cluster, &history).await?;
    let watching = Tasks::new("watch");
    plane.spawn_watcher(&watching).await?;
    let writing = Tasks::new("write");
    plane.spawn(&writing, WRITERS);
    progress(&history).await?;
    for kind in ["store", "apiserver", "scheduler", "controllers"] {
        let victim = victim(&cluster, kind).await?;
        history.nemesis("kill", format!("{victim}, the leading {kind}"));
        cluster.kill(Some(&victim))?;
        progress(&history)
            .await
            .with_context(|| format!("after the kill of {victim}"))?;
        cluster.restart(&victim)?;
    }
    progress(&history).await?;
    ensure!(
        writing.shutdown(Duration::from_secs(20)).await,
        "the writers did not end"
    );
    super::settle(&history, async || plane.read_final().await).await?;
    watching.shutdown(Duration::from_secs(5)).await;
    Ok(history)
}

/// The leader of `kind`; of the api-servers, which all lead, the first.
async fn victim(cluster: &Cluster, kind: &str) -> Result<String> {
    if kind == "apiserver" {
        return Ok("apiserver-0".to_owned());
    }
    testkit::poll(
        RECOVERY_SECONDS,
        &format!("a leading {kind}"),
        async || match cluster.leader(kind).map_err(|error| error.to_string())? {
            Some(leader) => Ok(leader.name),
            None => Err("nobody leads".to_owned()),
        },
    )
    .await
}

/// Until the writers, the scheduler and the controllers have all got on from here.
async fn progress(history: &History) -> Result<()> {
    let since = history.now_ns();
    let writes = history.acknowledged() + 20;
    testkit::poll(RECOVERY_SECONDS, "the plane to go on", async || {
        let reacted = |component: &str| history.has_done("react", &Value::text(component), since);
        let (scheduler, controllers) = (reacted("scheduler"), reacted("controllers"));
        if history.acknowledged() >= writes && scheduler && controllers {
            return Ok(());
        }
        Err(format!(
            "writes {}, scheduler {scheduler}, controllers {controllers}",
            history.acknowledged()
        ))
    })
    .await
}

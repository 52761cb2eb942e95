//! What a real node needs beside its processes: a container runtime that is ready, with the node's
//! own images and a network, before the kubelet starts; and an end that takes the pods along.
//!
//! Everything lies in the cluster's folder, and the tables of the network carry the cluster's id:
//! never the system's containerd, and never another cluster's pods.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use node::bundle::{self, Bundle, Programs};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::process::Process;
use super::ready::Ready;
use super::spec::{Component, Kind, RealNode, Spec};

/// The name of the runtime, and of its folder below the cluster's.
pub(crate) const RUNTIME: &str = "runtime-0";
/// Pods get 5 s to end, many at a time; what is left then is ended by force.
const STOP_TIME_MAX: Duration = Duration::from_secs(45);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl RealNode {
    /// Its container runtime in the cluster at `dir`.
    pub(crate) fn bundle(&self, dir: &Path) -> Result<Bundle> {
        let pod_cidr = self.pod_cidr.parse();
        Ok(Bundle {
            directory: dir.join(RUNTIME),
            pod_cidr: pod_cidr.with_context(|| format!("{} is no range", self.pod_cidr))?,
            programs: Programs::default(),
        })
    }

    /// The table in which the proxy keeps its rules.
    pub(crate) fn proxy_table(&self) -> String {
        format!("keelson-proxy-{}", self.id)
    }
}

/// Writes the runtime's configuration; an error if this machine lacks what it needs.
pub(crate) fn prepare(dir: &Path, node: &RealNode) -> Result<()> {
    let written = node.bundle(dir)?.write();
    written.context("a real node cannot run here (`--hollow 1` starts one that only reports)")
}

/// Starts the runtime, and returns when it can take pods.
pub(crate) async fn start(dir: &Path, spec: &Spec, ready: &Ready<'_>) -> Result<()> {
    let Some(node) = &spec.real_node else {
        return Ok(());
    };
    prepare(dir, node)?;
    let bundle = node.bundle(dir)?;
    for runtime in spec.of(Kind::Runtime) {
        Process::of(dir, runtime).start(runtime)?;
    }
    ready.runtime(&bundle).await?;
    bundle
        .import_images()
        .await
        .context("give the container runtime the node's own images")?;
    bundle::set_up_network(&node.id, bundle.pod_cidr)
        .await
        .context("set up the pods' network")
}

/// Ends the runtime with all pods, and takes the network away. Only files are left: the next start
/// finds the pods as after a start of the machine.
pub(crate) async fn end(dir: &Path, spec: &Spec, runtime: &Component) -> Result<()> {
    let process = Process::of(dir, runtime);
    let Some(node) = &spec.real_node else {
        return process.stop();
    };
    let bundle = node.bundle(dir)?;
    if let Err(error) = stop_pods(&process, runtime, &bundle).await {
        let error = format!("{error:#}");
        tracing::warn!(error, "pods not stopped by the runtime, killing them");
    }
    process.stop()?;
    bundle.sweep().await.context("kill the pods")?;
    bundle::remove_table(&node.proxy_table()).await?;
    Ok(bundle::tear_down_network(&node.id, bundle.pod_cidr).await?)
}

/// Stops the pods by the runtime. One that was killed is started for it, because only a runtime
/// gives back the addresses and ports of its pods.
async fn stop_pods(process: &Process, runtime: &Component, bundle: &Bundle) -> Result<()> {
    if process.pid().is_none() && !bundle.has_pods() {
        return Ok(());
    }
    process.start(runtime)?;
    // A paused runtime would not answer.
    process.signal(Signal::CONT)?;
    let stopped = timeout(STOP_TIME_MAX, async {
        while !bundle.is_ready().await {
            if process.pid().is_none() {
                bail!("{} has ended", runtime.name);
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(bundle.stop_pods().await?)
    });
    stopped
        .await
        .with_context(|| format!("not done within {STOP_TIME_MAX:?}"))?
}

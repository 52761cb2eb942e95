//! Waits until a started cluster is of use: the store has a leader, every api-server is ready, the
//! container runtime answers, every node reports. A component that ends meanwhile is an error with
//! the end of its log.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use node::bundle::Bundle;
use tokio::time::{sleep, timeout};

use super::process::{Process, State};
use super::spec::{Component, Kind, Spec};
use super::status;

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Whoever does not answer within this time is asked again.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
const LOG_TAIL_LINES: usize = 12;

/// Watches one start.
pub(crate) struct Ready<'a> {
    dir: &'a Path,
    spec: &'a Spec,
    end: Instant,
}

impl<'a> Ready<'a> {
    /// Gives up `time` from now.
    pub(crate) fn within(dir: &'a Path, spec: &'a Spec, time: Duration) -> Self {
        Self {
            dir,
            spec,
            end: Instant::now() + time,
        }
    }

    /// Until every member of the store answers and one of them leads.
    pub(crate) async fn stores(&self) -> Result<()> {
        let tls = status::store_tls(self.dir)?;
        loop {
            let mut answers = Vec::new();
            for store in self.spec.of(Kind::Store) {
                let asked = timeout(
                    Duration::from_secs(1),
                    status::ask_store(store, tls.clone()),
                );
                answers.push(asked.await.ok().and_then(Result::ok));
            }
            if answers.iter().all(Option::is_some) && answers.contains(&Some(true)) {
                return Ok(());
            }
            self.pause(&[Kind::Store], "the store to have a leader")
                .await?;
        }
    }

    /// Until each api-server says that it is ready.
    pub(crate) async fn apiservers(&self) -> Result<()> {
        for server in self.spec.of(Kind::Apiserver) {
            while !self.is_ready(server).await {
                self.pause(&[Kind::Apiserver], &format!("{} to be ready", server.name))
                    .await?;
            }
        }
        Ok(())
    }

    async fn is_ready(&self, server: &Component) -> bool {
        let alone = Spec::new(vec![server.clone()]);
        let Ok(client) = status::admin(self.dir, &alone).await else {
            return false;
        };
        let Ok(request) = http_get("/readyz") else {
            return false;
        };
        let asked = timeout(ANSWER_TIME_MAX, client.request_text(request)).await;
        matches!(asked, Ok(Ok(_)))
    }

    /// Until the container runtime answers, with its network.
    pub(crate) async fn runtime(&self, bundle: &Bundle) -> Result<()> {
        while !matches!(timeout(ANSWER_TIME_MAX, bundle.is_ready()).await, Ok(true)) {
            self.pause(&[Kind::Runtime], "the container runtime to be ready")
                .await?;
        }
        Ok(())
    }

    /// Until every node is there and ready.
    pub(crate) async fn nodes(&self) -> Result<()> {
        let kubelets: Vec<_> = self.spec.of(Kind::Kubelet).collect();
        if kubelets.is_empty() {
            return Ok(());
        }
        let nodes = Api::<Node>::all(status::admin(self.dir, self.spec).await?);
        loop {
            let everything = ListParams::default();
            let asked = timeout(ANSWER_TIME_MAX, nodes.list(&everything));
            if let Ok(Ok(list)) = asked.await
                && kubelets.iter().all(|kubelet| {
                    let began = Process::of(self.dir, kubelet).began();
                    is_ready(&list.items, &kubelet.name, began.unwrap_or(UNIX_EPOCH))
                })
            {
                return Ok(());
            }
            self.pause(
                &[Kind::Kubelet, Kind::Runtime, Kind::Proxy],
                "the nodes to be ready",
            )
            .await?;
        }
    }

    /// Waits a moment, unless the time is over or a component of one of `kinds` has ended.
    async fn pause(&self, kinds: &[Kind], what: &str) -> Result<()> {
        let all = kinds.iter().flat_map(|kind| self.spec.of(*kind));
        let all: Vec<_> = all
            .map(|component| (component, Process::of(self.dir, component)))
            .collect();
        for (component, process) in &all {
            if process.state() == State::Stopped {
                bail!("{} has ended; {}", component.name, last_words(process));
            }
        }
        if Instant::now() > self.end {
            let last_words = all.first().map(|(_, process)| last_words(process));
            bail!(
                "timed out waiting for {what}; the logs are in {}; {}",
                self.dir.join("logs").display(),
                last_words.unwrap_or_default()
            );
        }
        sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

/// Whether the node called `name` has said that it is ready, and has said so since `began`: what is
/// still there from before the last end of the cluster does not count.
fn is_ready(nodes: &[Node], name: &str, began: SystemTime) -> bool {
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The API's times are in whole seconds.
    let began = i64::try_from(began.as_secs()).unwrap_or(i64::MAX);
    let named = nodes
        .iter()
        .filter(|node| node.metadata.name.as_deref() == Some(name));
    let conditions = named
        .filter_map(|node| node.status.as_ref()?.conditions.as_ref())
        .flatten();
    conditions
        .filter(|condition| condition.type_ == "Ready" && condition.status == "True")
        .filter_map(|condition| condition.last_heartbeat_time.as_ref())
        .any(|said| said.0.as_second() >= began)
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

fn last_words(process: &Process) -> String {
    let log = process.log();
    format!("the end of {}:\n{}", log.display(), tail(log))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use k8s_openapi::api::core::v1::Node;
    use serde_json::json;

    use super::is_ready;

    #[test]
    fn only_what_a_node_said_since_its_start_counts() {
        let node = |status: &str, said: &str| -> Node {
            let ready = json!({"type": "Ready", "status": status, "lastHeartbeatTime": said});
            let node = json!({"metadata": {"name": "node-0"}, "status": {"conditions": [ready]}});
            serde_json::from_value(node).unwrap()
        };
        let began = UNIX_EPOCH + Duration::from_millis(10_900);
        let is_ready = |name: &str, node: Node| is_ready(&[node], name, began);
        assert!(is_ready("node-0", node("True", "1970-01-01T00:00:10Z")));
        assert!(!is_ready("node-1", node("True", "1970-01-01T00:00:10Z")));
        assert!(!is_ready("node-0", node("True", "1970-01-01T00:00:09Z")));
        assert!(!is_ready("node-0", node("False", "1970-01-01T00:00:11Z")));
    }
}

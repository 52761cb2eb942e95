//! Waits until a started cluster is of use: the store has a leader, every api-server is ready,
//! every node reports. A component that ends meanwhile is an error with the end of its log.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};
use tokio::time::{sleep, timeout};

use super::process::{Process, State};
use super::spec::{Component, Kind, Spec};
use super::status;

const LOOK_AGAIN: Duration = Duration::from_millis(100);
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
            self.pause(Kind::Store, "the store to have a leader")
                .await?;
        }
    }

    /// Until each api-server says that it is ready.
    pub(crate) async fn apiservers(&self) -> Result<()> {
        for server in self.spec.of(Kind::Apiserver) {
            while !self.is_ready(server).await {
                self.pause(Kind::Apiserver, &format!("{} to be ready", server.name))
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
        let asked = timeout(Duration::from_secs(2), client.request_text(request)).await;
        matches!(asked, Ok(Ok(_)))
    }

    /// Until every node is there and ready.
    pub(crate) async fn nodes(&self) -> Result<()> {
        let wanted = self.spec.of(Kind::Kubelet).count();
        if wanted == 0 {
            return Ok(());
        }
        let nodes = Api::<Node>::all(status::admin(self.dir, self.spec).await?);
        loop {
            let list = timeout(Duration::from_secs(2), nodes.list(&ListParams::default())).await;
            if let Ok(Ok(list)) = list
                && list.items.iter().filter(|node| is_ready(node)).count() >= wanted
            {
                return Ok(());
            }
            self.pause(Kind::Kubelet, "the nodes to be ready").await?;
        }
    }

    /// Waits a moment, unless the time is over or a component of `kind` has ended.
    async fn pause(&self, kind: Kind, what: &str) -> Result<()> {
        for component in self.spec.of(kind) {
            let process = Process::of(self.dir, component);
            if process.state() == State::Stopped {
                bail!(
                    "{} has ended; the end of {}:\n{}",
                    component.name,
                    process.log().display(),
                    tail(process.log())
                );
            }
        }
        if Instant::now() > self.end {
            bail!(
                "timed out waiting for {what}; the logs are in {}",
                self.dir.join("logs").display()
            );
        }
        sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

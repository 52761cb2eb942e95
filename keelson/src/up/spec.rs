//! What a local cluster is made of, kept in `cluster.json` so that every later command and start
//! finds the same components on the same ports.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The form of `cluster.json`.
const VERSION: u32 = 1;

/// A local cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The form of this file.
    pub(crate) version: u32,
    /// In the order of starting.
    pub(crate) components: Vec<Component>,
    /// What a node that runs containers has beside its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) real_node: Option<RealNode>,
    /// The first of its ports, if the user chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base_port: Option<u16>,
}

/// What a real node has beside its processes, and what outlives them: its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RealNode {
    /// Tells the tables of this cluster's network from any other's on the machine.
    pub(crate) id: String,
    /// The addresses of its pods.
    pub(crate) pod_cidr: String,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A member of the store.
    Store,
    /// An api-server.
    Apiserver,
    /// A controller manager.
    Controllers,
    /// A cloud controller manager.
    CloudControllers,
    /// A scheduler.
    Scheduler,
    /// The container runtime of a real node.
    Runtime,
    /// The agent of a node.
    Kubelet,
    /// The service proxy of a real node.
    Proxy,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Component {
    /// Such as `store-0`; unique in the cluster.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Another program than this binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<PathBuf>,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Where it serves.
    pub(crate) urls: Vec<String>,
    /// A node that only reports.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hollow: bool,
}

impl Spec {
    /// A cluster of `components`.
    pub(crate) fn new(components: Vec<Component>) -> Self {
        Self {
            version: VERSION,
            components,
            real_node: None,
            base_port: None,
        }
    }

    /// The components of one kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Component> {
        self.components
            .iter()
            .filter(move |component| component.kind == kind)
    }

    /// The component called `name`, or all for none.
    pub(crate) fn select(&self, name: Option<&str>) -> Result<Vec<&Component>> {
        let Some(name) = name else {
            return Ok(self.components.iter().collect());
        };
        let found: Vec<_> = self.components.iter().filter(|c| c.name == name).collect();
        if found.is_empty() {
            let names: Vec<_> = self.components.iter().map(|c| c.name.as_str()).collect();
            bail!(
                "there is no component {name}; this cluster has {}",
                names.join(", ")
            );
        }
        Ok(found)
    }

    /// Reads the cluster of `dir`; none if no cluster was ever started there.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("cluster.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let spec: Self = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged; restore it, or start afresh in another --data-dir",
                path.display()
            )
        })?;
        if spec.version != VERSION {
            bail!(
                "{} has version {}, this binary reads {VERSION}",
                path.display(),
                spec.version
            );
        }
        Ok(Some(spec))
    }

    /// Reads the cluster of `dir`, which must have been started once.
    pub(crate) fn require(dir: &Path) -> Result<Self> {
        Self::load(dir)?.with_context(|| {
            format!(
                "no cluster was started in {}; name its folder with --data-dir",
                dir.display()
            )
        })
    }

    /// Writes the cluster in one step.
    pub(crate) fn save(&self, dir: &Path) -> Result<()> {
        let partial = dir.join("cluster.json.partial");
        fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {}", partial.display()))?;
        fs::rename(&partial, dir.join("cluster.json")).context("keep cluster.json")
    }
}

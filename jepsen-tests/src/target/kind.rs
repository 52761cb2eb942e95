//! What is tested: a binary that we start, or a cluster of somebody else's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::cluster::{Cluster, Disks, Program};

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// This binary's store.
    Ours,
    /// A real etcd: `etcd` in the folder `KEELSON_PEERS_BIN`, or on PATH.
    Etcd,
    /// A running cluster, by `--endpoints`. Its processes are not ours to break.
    Endpoints,
}

/// How members that are ours reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// On the loopback, each behind a proxy that knows who calls.
    #[default]
    Proxies,
    /// Each in a network namespace of its own, with its own address.
    Namespaces,
}

impl Network {
    /// As `--network` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxies => "proxies",
            Self::Namespaces => "namespaces",
        }
    }
}

/// Servers that answer.
pub(crate) struct Target {
    /// A client URL for each member.
    pub(crate) urls: Vec<String>,
    /// What every key of this run begins with.
    pub(crate) prefix: String,
    /// The processes, if they are ours to break.
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// What they are processes of.
    pub(crate) program: Option<Program>,
}

impl Target {
    /// Starts `members` processes of `program`.
    pub(crate) async fn start(
        program: Program,
        members: usize,
        on: Disks,
        network: Network,
    ) -> Result<Self> {
        let cluster = Cluster::start(program.clone(), members, on, network).await?;
        Ok(Self {
            urls: cluster.urls(),
            prefix: "jepsen/".to_owned(),
            cluster: Some(Arc::new(cluster)),
            program: Some(program),
        })
    }

    /// A cluster that is there already. What was written to it before does not disturb: the keys of
    /// each run begin with a prefix of its own.
    pub(crate) fn others(urls: &[String]) -> Result<Self> {
        ensure!(
            !urls.is_empty(),
            "--target endpoints needs --endpoints http://HOST:PORT,…"
        );
        for url in urls {
            ensure!(
                url.starts_with("http://"),
                "the endpoint {url} must begin with http://: clients of these workloads speak no TLS"
            );
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            urls: urls.to_vec(),
            prefix: format!("jepsen-{}/", now.as_nanos()),
            cluster: None,
            program: None,
        })
    }
}

impl Kind {
    /// As `--target` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Etcd => "etcd",
            Self::Endpoints => "endpoints",
        }
    }

    /// The program to start; nothing where none is to be started. `etcd` is looked for where the
    /// tests' peers are, and then on PATH; `binary` is the one with our store.
    pub(crate) fn program(self, binary: PathBuf) -> Result<Option<Program>> {
        match self {
            Self::Endpoints => Ok(None),
            Self::Ours => Ok(Some(Program {
                path: binary,
                first: vec!["store".to_owned()],
                flags: Vec::new(),
                clock: None,
                boots: None,
                pki: None,
            })),
            Self::Etcd => {
                let path = etcd().context(
                    "--target etcd needs a real etcd: put `etcd` on PATH, or its folder into KEELSON_PEERS_BIN",
                )?;
                Ok(Some(Program {
                    path,
                    first: Vec::new(),
                    flags: Vec::new(),
                    clock: None,
                    boots: None,
                    pki: None,
                }))
            }
        }
    }
}

fn etcd() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let peers = std::env::var_os("KEELSON_PEERS_BIN").map(PathBuf::from);
    let folders = peers.into_iter().chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join("etcd"))
        .find(|file| file.is_file())
}

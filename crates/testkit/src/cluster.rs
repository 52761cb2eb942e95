//! One cluster, from `keelson up --detach` to `keelson down`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};
use client::{Client, ConnectOptions};
use serde::Deserialize;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::programs;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Members of the store.
    pub stores: u16,
    /// Api-servers; none starts a store alone.
    pub apiservers: u16,
    /// Controller managers.
    pub controllers: u16,
    /// Schedulers.
    pub schedulers: u16,
    /// Hollow nodes; none leaves it to `up`, which starts a real one for root.
    pub hollow: Option<u16>,
}

impl Shape {
    /// Three members of the store and nothing else.
    pub const STORE: Self = Self {
        stores: 3,
        apiservers: 0,
        controllers: 0,
        schedulers: 0,
        hollow: Some(0),
    };
    /// The whole plane, with two of everything but the store.
    pub const PLANE: Self = Self {
        stores: 3,
        apiservers: 2,
        controllers: 2,
        schedulers: 2,
        hollow: Some(2),
    };
    /// One of everything, with a node that runs containers. Needs root.
    pub const REAL_NODE: Self = Self {
        stores: 1,
        apiservers: 1,
        controllers: 1,
        schedulers: 1,
        hollow: None,
    };
}

/// A component as `keelson status -o json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Component {
    /// Such as `store-0`.
    pub name: String,
    /// Such as `store`.
    pub kind: String,
    /// Its process, if it lives.
    pub pid: Option<i32>,
    /// `running`, `paused` or `stopped`.
    pub state: String,
    /// Whether it leads, where that is known.
    pub leader: Option<bool>,
    /// Where it serves.
    pub urls: Vec<String>,
}

/// A running cluster in a temporary folder. Dropping it ends every process.
#[derive(Debug)]
pub struct Cluster {
    binary: PathBuf,
    dir: TempDir,
}

impl Cluster {
    /// Starts one by the binary under test and waits until it is ready.
    pub fn start(shape: Shape) -> Result<Self> {
        Self::start_by(programs::keelson()?, shape)
    }

    /// Starts one by `binary` and waits until it is ready.
    pub fn start_by(binary: PathBuf, shape: Shape) -> Result<Self> {
        let cluster = Self {
            binary,
            dir: tempfile::tempdir().context("make a folder")?,
        };
        let counts = [
            ("--stores", Some(shape.stores)),
            ("--apiservers", Some(shape.apiservers)),
            ("--controllers", Some(shape.controllers)),
            ("--schedulers", Some(shape.schedulers)),
            ("--hollow", shape.hollow),
        ];
        let flags = counts.map(|(flag, count)| count.map(|count| format!("{flag}={count}")));
        let flags: Vec<String> = flags.into_iter().flatten().collect();
        let mut args = vec!["up", "--detach"];
        args.extend(flags.iter().map(String::as_str));
        cluster.keelson(&args)?;
        Ok(cluster)
    }

    /// Its folder, as `keelson up` lays it out.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command of the binary on this cluster and returns what it printed.
    pub fn keelson(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--data-dir").arg(self.dir());
        printed(&mut command)
    }

    /// Every component now.
    pub fn status(&self) -> Result<Vec<Component>> {
        let text = self.keelson(&["status", "-o", "json"])?;
        serde_json::from_str(&text).context("read the status")
    }

    /// The component of `kind` that leads, if that is known now.
    pub fn leader(&self, kind: &str) -> Result<Option<Component>> {
        let components = self.status()?.into_iter();
        Ok(components
            .into_iter()
            .find(|c| c.kind == kind && c.leader == Some(true)))
    }

    /// SIGKILL to one component, or to all of them.
    pub fn kill(&self, name: Option<&str>) -> Result<()> {
        let mut args = vec!["kill"];
        args.extend(name);
        self.keelson(&args).map(|_| ())
    }

    /// Starts what is not running, and waits until the cluster is ready.
    pub fn restart_all(&self) -> Result<()> {
        self.keelson(&["up", "--detach"]).map(|_| ())
    }

    /// Starts one component again.
    pub fn restart(&self, name: &str) -> Result<()> {
        self.keelson(&["restart", name]).map(|_| ())
    }

    /// Runs the real kubectl as the administrator. The output is returned whatever the outcome.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output> {
        let mut command = Command::new(programs::peer("kubectl")?);
        command
            .args(args)
            .env("KUBECONFIG", self.dir().join("kubeconfig"))
            .env("HOME", self.dir());
        command.output().context("start kubectl")
    }

    /// Runs the real etcdctl on all members. The output is returned whatever the outcome.
    pub fn etcdctl<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Output> {
        let pki = self.dir().join("pki");
        let mut command = Command::new(programs::peer("etcdctl")?);
        command
            .args(args)
            .env("ETCDCTL_ENDPOINTS", self.urls("store")?.join(","))
            .env("ETCDCTL_CACERT", pki.join("ca.crt"))
            .env("ETCDCTL_CERT", pki.join("apiserver-etcd-client.crt"))
            .env("ETCDCTL_KEY", pki.join("apiserver-etcd-client.key"));
        command.output().context("start etcdctl")
    }

    /// Where the components of `kind` serve.
    pub fn urls(&self, kind: &str) -> Result<Vec<String>> {
        let components = self.status()?.into_iter().filter(|c| c.kind == kind);
        Ok(components.flat_map(|component| component.urls).collect())
    }

    /// A channel to one member of the store that connects when it is first used.
    pub fn store_channel(&self, url: &str) -> Result<Channel> {
        let read =
            |file: &str| std::fs::read(self.dir().join("pki").join(file)).context(file.to_owned());
        let identity = Identity::from_pem(
            read("apiserver-etcd-client.crt")?,
            read("apiserver-etcd-client.key")?,
        );
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read("ca.crt")?))
            .identity(identity);
        Ok(Endpoint::from_shared(url.to_owned())?
            .tls_config(tls)?
            .connect_lazy())
    }

    /// A client of all api-servers, as the administrator.
    pub async fn client(&self) -> Result<Client> {
        let options = ConnectOptions {
            kubeconfig: Some(self.dir().join("kubeconfig")),
            servers: self.urls("apiserver")?,
            user_agent: "testkit".into(),
        };
        Ok(client::connect(&options).await?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Kill first: a cluster under test may be unable to end in order, and its state is thrown away.
        let _ = self.keelson(&["kill"]);
        // Then in order: the pods of a real node outlive its processes.
        let _ = self.keelson(&["down"]);
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

impl Cluster {
    /// The end of every log, for a failed test's output.
    #[expect(
        clippy::print_stderr,
        reason = "a failed test must show what its cluster said"
    )]
    fn print_logs(&self) {
        let logs = std::fs::read_dir(self.dir().join("logs"))
            .into_iter()
            .flatten()
            .flatten();
        for log in logs {
            let text = std::fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- {} ---\n{end}", log.file_name().to_string_lossy());
        }
    }
}

/// What a command printed; an error with its last words unless it succeeds.
fn printed(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

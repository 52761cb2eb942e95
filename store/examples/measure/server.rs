//! A server process with etcd's flags, its time and its memory.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

/// One member of a cluster: a program, its ports and its folder.
pub(crate) struct Server {
    pub(crate) name: String,
    program: String,
    dir: TempDir,
    client: u16,
    peer: u16,
    child: Option<Child>,
}

impl Server {
    /// A member that is not started yet, with a fresh folder on the disk of the other temporary files.
    pub(crate) fn new(name: &str, program: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            dir: tempfile::tempdir()?,
            client: base::ports::free_one()?,
            peer: base::ports::free_one()?,
            child: None,
        })
    }

    /// A connection of its own, made when it is first used.
    pub(crate) fn channel(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(self.client_url())?.connect_lazy())
    }

    fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }

    pub(crate) fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer)
    }

    /// `NAME=URL`, as `--initial-cluster` lists it.
    pub(crate) fn place(&self) -> String {
        format!("{}={}", self.name, self.peer_url())
    }

    /// Starts the process and returns at once.
    pub(crate) fn spawn(&mut self, initial_cluster: &str, more: &[&str]) -> Result<()> {
        let (client, peer) = (self.client_url(), self.peer_url());
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))?;
        let child = Command::new(&self.program)
            .args(["--name", &self.name, "--initial-cluster", initial_cluster])
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--log-level=warn", "--data-dir"])
            .arg(self.data())
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.program))?;
        self.child = Some(child);
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let id = child.id().context("the member has ended")?;
            let id = rustix::process::Pid::from_raw(i32::try_from(id)?).context("a process")?;
            rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
            child.wait().await?;
        }
        Ok(())
    }

    /// What it holds in memory now, in MiB.
    pub(crate) fn rss_mib(&self) -> Result<f64> {
        self.status_mib("VmRSS:")
    }

    /// The most that it held since the last call of [`Self::forget_peak`], in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        self.status_mib("VmHWM:")
    }

    /// From here on the peak is counted anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()?), "5")?;
        Ok(())
    }

    /// What its folder takes on the disk, in MiB.
    #[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
    pub(crate) fn disk_mib(&self) -> Result<f64> {
        Ok(blocks(&self.data())? as f64 * 512.0 / 1024.0 / 1024.0)
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn id(&self) -> Result<u32> {
        let id = self.child.as_ref().and_then(Child::id);
        id.with_context(|| format!("{} has ended", self.name))
    }

    fn status_mib(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.context("no such line")?.parse::<f64>()? / 1024.0)
    }
}

/// Blocks of 512 bytes below a folder. A file that goes away meanwhile takes none.
fn blocks(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(data) if data.is_dir() => sum += blocks(&entry.path())?,
            Ok(data) => sum += data.blocks(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sum)
}

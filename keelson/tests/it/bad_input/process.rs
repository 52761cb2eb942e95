//! Processes under test: run to their end, which must come soon, or left running until dropped.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// How long a process may take to say no, or to become ready.
const SECONDS: u64 = 30;

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit status, as a shell tells it: 128 and the signal for one that ended it.
    pub(super) status: i32,
    /// Everything that it printed, quotes in JSON as they were before.
    pub(super) text: String,
}

impl Ended {
    /// Fails unless it ended with `status` and said `words`.
    pub(super) fn says(&self, status: i32, words: &str) -> Result<()> {
        ensure!(
            self.status == status && self.text.contains(words),
            "wanted {status} and {words:?}, got {}: {}",
            self.status,
            self.text
        );
        Ok(())
    }
}

/// A process. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    out: NamedTempFile,
}

/// The binary under test with `args`.
pub(super) fn keelson<S: AsRef<str>>(args: &[S]) -> Result<Command> {
    let mut command = Command::new(testkit::keelson()?);
    command.args(args.iter().map(AsRef::as_ref));
    Ok(command)
}

/// Runs the binary under test with `args` until it ends.
pub(super) fn refused<S: AsRef<str>>(args: &[S]) -> Result<Ended> {
    Running::start(&mut keelson(args)?)?.end()
}

impl Running {
    /// Starts a process whose outputs are kept.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let out = NamedTempFile::new()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.as_file().try_clone()?)
            .stderr(out.as_file().try_clone()?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self { child, out })
    }

    /// Everything printed so far.
    pub(super) fn text(&self) -> String {
        let bytes = std::fs::read(self.out.path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace("\\\"", "\"")
    }

    /// Waits until it has said `words`.
    pub(super) fn wait_for(&mut self, words: &str) -> Result<()> {
        let mut ended = None;
        let said = testkit::poll_blocking(SECONDS, || {
            // Before the look at the text: the last words come before the end.
            ended = self.child.try_wait().ok().flatten();
            self.text().contains(words) || ended.is_some()
        });
        ensure!(
            said && self.text().contains(words),
            "it never said {words:?} (ended: {ended:?}): {}",
            self.text()
        );
        Ok(())
    }

    /// Waits for its end, which must come by itself.
    pub(super) fn end(mut self) -> Result<Ended> {
        let mut status: Option<ExitStatus> = None;
        testkit::poll_blocking(SECONDS, || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        let text = self.text();
        let Some(status) = status else {
            bail!("it goes on after {SECONDS} s: {text}");
        };
        let signal = status.signal().map(|signal| 128 + signal);
        let status = status.code().or(signal).context("it has not ended")?;
        Ok(Ended { status, text })
    }

    /// Asks it to end in order, which it must.
    pub(super) fn stop(self) -> Result<Ended> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    Ok(base::ports::free_one()?)
}

/// A member of a store on its own, with flags that etcd takes as well.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The flags.
    pub(super) args: Vec<String>,
    /// Where clients reach it.
    pub(super) url: String,
}

impl Member {
    /// A member in `dir` on free ports.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let (peer, client) = (free_port()?, free_port()?);
        let (peer, url) = (
            format!("http://127.0.0.1:{peer}"),
            format!("http://127.0.0.1:{client}"),
        );
        let args = vec![
            "--name=m".to_owned(),
            format!("--data-dir={}", dir.display()),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=m={peer}"),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
        ];
        Ok(Self { args, url })
    }

    /// The same with further flags, of which the last counts.
    pub(super) fn with(mut self, more: &[&str]) -> Self {
        self.args.extend(more.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// The command that makes it a member of our store.
    pub(super) fn of_ours(&self) -> Result<Command> {
        let mut command = keelson(&["store"])?;
        command.args(&self.args);
        Ok(command)
    }

    /// The command that makes it the real etcd.
    pub(super) fn of_etcd(&self) -> Result<Command> {
        let mut command = Command::new(testkit::peer("etcd")?);
        command.args(&self.args);
        Ok(command)
    }

    /// Starts it by `command` and waits until it serves.
    pub(super) fn serve(command: &mut Command) -> Result<Running> {
        let mut running = Running::start(command)?;
        running.wait_for("ready to serve client requests")?;
        Ok(running)
    }

    /// Runs the real etcdctl against it.
    pub(super) fn etcdctl(&self, args: &[&str]) -> Result<Ended> {
        let mut command = Command::new(testkit::peer("etcdctl")?);
        command.env("ETCDCTL_ENDPOINTS", &self.url).args(args);
        Running::start(&mut command)?.end()
    }
}

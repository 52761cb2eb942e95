//! One member: a process that is started, killed, stopped and let go on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::guard::Guard;

/// A member that has not ended by then is killed.
const END_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a member is started.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// How a member belongs to its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Seat {
    /// As it was started first.
    #[default]
    Given,
    /// Not at all: it is not started.
    Out,
    /// With these flags after its own, the last of which count.
    With(Vec<String>),
}

/// A member, running or not.
#[derive(Debug)]
pub(crate) struct Member {
    /// Such as `n1`.
    pub(crate) name: String,
    /// Where clients reach it.
    pub(crate) url: String,
    /// Where its peers reach it.
    pub(crate) peer_url: String,
    /// Where its state is.
    pub(crate) data: PathBuf,
    /// What it says.
    pub(super) log: PathBuf,
    pub(super) recipe: Recipe,
    running: Mutex<Option<Running>>,
    deaths: Mutex<Vec<String>>,
    seat: Mutex<Seat>,
    /// Whether it may end by itself.
    is_leaving: AtomicBool,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Whether it was told to end.
    is_ending: bool,
    // After the child: it must not outlive its guard.
    _guard: Guard,
}

impl Member {
    pub(super) fn new(
        name: String,
        (url, peer_url): (String, String),
        dir: &Path,
        recipe: Recipe,
    ) -> Self {
        Self {
            data: dir.join(&name),
            log: dir.join(format!("{name}.log")),
            name,
            url,
            peer_url,
            recipe,
            running: Mutex::new(None),
            deaths: Mutex::default(),
            seat: Mutex::default(),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// Starts it, unless it runs or is no member.
    pub(crate) fn start(&self) -> Result<()> {
        self.look();
        let more = match &*self.seat.lock() {
            Seat::Out => return Ok(()),
            Seat::Given => Vec::new(),
            Seat::With(flags) => flags.clone(),
        };
        let mut running = self.running.lock();
        if running.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        let program = self.recipe.program.display();
        let mut child = Command::new(&self.recipe.program)
            .args(self.recipe.args.iter().chain(&more))
            .envs(self.recipe.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        match Guard::of(child.id()) {
            Ok(guard) => {
                *running = Some(Running {
                    child,
                    is_ending: false,
                    _guard: guard,
                });
                Ok(())
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error).context("start /bin/sh, which ends members with this process")
            }
        }
    }

    /// SIGKILL, and waits for the end. False if it did not run.
    pub(crate) fn kill(&self) -> bool {
        self.look();
        let Some(mut running) = self.running.lock().take() else {
            return false;
        };
        let _ = running.child.kill();
        let _ = running.child.wait();
        true
    }

    /// It is about to be removed, and may end by itself; or not, after all.
    pub(crate) fn set_leaving(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::Relaxed);
    }

    /// Ends it and keeps it from being started: it is no member any more.
    pub(crate) fn leave(&self) {
        *self.seat.lock() = Seat::Out;
        self.set_leaving(true);
        self.kill();
    }

    /// Whether it is no member.
    pub(crate) fn is_out(&self) -> bool {
        *self.seat.lock() == Seat::Out
    }

    /// Starts it as a new member without any data, with these flags after its own.
    pub(crate) fn join(&self, flags: Vec<String>) -> Result<()> {
        self.kill();
        if self.data.exists() {
            let shown = self.data.display();
            fs::remove_dir_all(&self.data).with_context(|| format!("remove {shown}"))?;
        }
        self.start_with(flags)
    }

    /// Starts it, now and later, with these flags after its own.
    pub(crate) fn start_with(&self, flags: Vec<String>) -> Result<()> {
        *self.seat.lock() = Seat::With(flags);
        self.set_leaving(false);
        self.start()
    }

    /// SIGTERM, and waits; a member that does not end is killed. False if it had to be.
    pub(crate) async fn end(&self) -> bool {
        if let Some(running) = self.running.lock().as_mut() {
            running.is_ending = true;
        }
        self.signal(Signal::TERM);
        let end = Instant::now() + END_TIME_MAX;
        while Instant::now() < end {
            self.look();
            if !self.is_started() {
                return true;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.kill();
        false
    }

    /// SIGSTOP. False if it does not run.
    pub(crate) fn pause(&self) -> bool {
        self.signal(Signal::STOP)
    }

    /// SIGCONT. False if it does not run.
    pub(crate) fn resume(&self) -> bool {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> bool {
        let running = self.running.lock();
        // The child is not waited for as long as it stands here, so nobody else has its number.
        running
            .as_ref()
            .is_some_and(|running| kill_process(Pid::from_child(&running.child), signal).is_ok())
    }

    /// Looks whether it has ended by itself, and remembers it.
    pub(crate) fn look(&self) {
        let mut running = self.running.lock();
        let Some(now) = running.as_mut() else { return };
        if let Ok(Some(status)) = now.child.try_wait() {
            if !now.is_ending && !self.is_leaving.load(Ordering::Relaxed) {
                let told = format!("{} ended by itself: {status}", self.name);
                self.deaths.lock().push(told);
            }
            *running = None;
        }
    }

    /// Each time that it ended though nobody told it to.
    pub(crate) fn deaths(&self) -> Vec<String> {
        self.look();
        self.deaths.lock().clone()
    }

    /// Its process, if it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.running
            .lock()
            .as_ref()
            .map(|running| running.child.id())
    }

    /// The most memory that its process has had so far.
    pub(crate) fn memory_bytes_max(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        kib.checked_mul(1024)
    }

    /// Whether it was started and not ended by us.
    pub(crate) fn is_started(&self) -> bool {
        self.running.lock().is_some()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

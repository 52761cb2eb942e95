//! One member: a process that is started, killed, stopped and let go on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
}

/// A member, running or not.
#[derive(Debug)]
pub(crate) struct Member {
    /// Such as `n1`.
    pub(crate) name: String,
    /// Where clients reach it.
    pub(crate) url: String,
    /// Where its state is.
    pub(crate) data: PathBuf,
    /// What it says.
    pub(super) log: PathBuf,
    pub(super) recipe: Recipe,
    running: Mutex<Option<Running>>,
    deaths: Mutex<Vec<String>>,
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
    pub(super) fn new(name: String, url: String, dir: &Path, recipe: Recipe) -> Self {
        Self {
            data: dir.join(&name),
            log: dir.join(format!("{name}.log")),
            name,
            url,
            recipe,
            running: Mutex::new(None),
            deaths: Mutex::default(),
        }
    }

    /// Starts it, unless it runs.
    pub(crate) fn start(&self) -> Result<()> {
        self.look();
        let mut running = self.running.lock();
        if running.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("open {}", self.log.display()))?;
        let program = self.recipe.program.display();
        let mut child = Command::new(&self.recipe.program)
            .args(&self.recipe.args)
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
            if !now.is_ending {
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
    pub(super) fn pid(&self) -> Option<u32> {
        self.running
            .lock()
            .as_ref()
            .map(|running| running.child.id())
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

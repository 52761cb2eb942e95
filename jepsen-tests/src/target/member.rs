//! One member: a process that is started, killed, stopped and let go on.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};

use super::clock;
use super::guard::Guard;
use crate::disk::{Disk, Mounted};

/// A member that has not ended by then is killed.
const END_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How a member is started.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    /// For gofail's orders.
    pub(super) orders: SocketAddr,
    /// Words before the program that make it run in its own network namespace, if it has one.
    pub(super) inside: Vec<String>,
    /// What the beginnings of its monotonic clock follow from, if each start has another.
    pub(super) boots: Option<u64>,
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
    /// Where a build for tests listens for gofail's orders.
    pub(crate) orders: SocketAddr,
    /// What it says.
    pub(super) log: PathBuf,
    pub(super) recipe: Recipe,
    running: Mutex<Option<Running>>,
    deaths: Mutex<Vec<String>>,
    seat: Mutex<Seat>,
    /// How often it was started.
    starts: AtomicU64,
    /// Whether its removal was asked for, so that it may end by itself.
    is_leaving: AtomicBool,
    /// Whether it is new and has not come to serve: it may refuse to start.
    is_joining: AtomicBool,
    /// Faults of its disk for which it may rightly end by itself.
    excuses: AtomicUsize,
    // After the process: nothing of it may be in use when it is taken off.
    disk: Option<Mounted>,
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
    /// A member whose state is below `dir`, on a disk of its own there if it has one.
    pub(super) fn new(
        (name, url, peer_url): (String, String, String),
        dir: &Path,
        recipe: Recipe,
        disk: Option<Mounted>,
    ) -> Self {
        Self {
            data: data(dir, &name, disk.is_some()),
            log: dir.join(format!("{name}.log")),
            name,
            url,
            peer_url,
            orders: recipe.orders,
            recipe,
            running: Mutex::new(None),
            deaths: Mutex::default(),
            seat: Mutex::default(),
            starts: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            is_joining: AtomicBool::new(false),
            excuses: AtomicUsize::new(0),
            disk,
        }
    }

    /// Its disk, if it has one of its own.
    pub(crate) fn disk(&self) -> Result<&Disk> {
        let disk = self.disk.as_ref().context("it has no disk of its own")?;
        Ok(&*disk.disk)
    }

    /// From now on an end by itself is no failure: something is done to it that excuses one.
    pub(crate) fn excuse(&self) {
        self.look();
        self.excuses.fetch_add(1, Ordering::Relaxed);
    }

    /// What excused an end is over. Whether it had ended was looked at before.
    pub(crate) fn expect(&self) {
        self.look();
        self.excuses.fetch_sub(1, Ordering::Relaxed);
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
        let mut child = self
            .command()
            .args(self.recipe.args.iter().chain(&more))
            .envs(self.recipe.env.iter().cloned())
            .env("GOFAIL_HTTP", self.orders.to_string())
            // Peers' addresses are of this machine alone, whatever it asks others through.
            .envs(["NO_PROXY", "no_proxy"].map(|name| (name, "*")))
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

    /// The program, in surroundings of its own as far as it has any. Each word before it ends by
    /// becoming the next, so that the process is the member.
    fn command(&self) -> Command {
        let mut words = self.recipe.inside.clone();
        if let Some(seed) = self.recipe.boots {
            let start = self.starts.fetch_add(1, Ordering::Relaxed);
            let mut chance = StdRng::seed_from_u64(seed.wrapping_add(start << 32));
            words.extend(clock::another_boot(chance.random()));
        }
        match words.split_first() {
            None => Command::new(&self.recipe.program),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(&self.recipe.program);
                command
            }
        }
    }

    /// SIGKILL, and waits for the end. False if it did not run.
    pub(crate) fn kill(&self) -> bool {
        self.kill_and(|| {})
    }

    /// The same, and does `more` before anybody can start it again.
    pub(crate) fn kill_and(&self, more: impl FnOnce()) -> bool {
        self.look();
        let mut place = self.running.lock();
        let Some(mut running) = place.take() else {
            return false;
        };
        let _ = running.child.kill();
        let _ = running.child.wait();
        more();
        true
    }

    /// Whether its removal is about to be asked for, so that it may end by itself from now on. What was
    /// said before.
    pub(crate) fn set_leaving(&self, is_leaving: bool) -> bool {
        self.is_leaving.swap(is_leaving, Ordering::Relaxed)
    }

    /// It has come to serve, if it was new. One whose removal is in doubt may still end.
    pub(crate) fn has_joined(&self) {
        self.is_joining.store(false, Ordering::Relaxed);
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

    /// Starts it as a new member without any data, with these flags after its own. It may end by itself
    /// until [`Self::has_joined`].
    pub(crate) fn join(&self, flags: Vec<String>) -> Result<()> {
        self.kill();
        if self.data.exists() {
            let shown = self.data.display();
            fs::remove_dir_all(&self.data).with_context(|| format!("remove {shown}"))?;
        }
        self.is_joining.store(true, Ordering::Relaxed);
        // Whoever was asked to leave was another one.
        self.set_leaving(false);
        self.start_with(flags)
    }

    /// Starts it unless it runs, now and later, with these flags after its own.
    pub(crate) fn start_with(&self, flags: Vec<String>) -> Result<()> {
        *self.seat.lock() = Seat::With(flags);
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
            let is_excused = self.is_leaving.load(Ordering::Relaxed)
                || self.is_joining.load(Ordering::Relaxed)
                || self.excuses.load(Ordering::Relaxed) > 0;
            if !now.is_ending && !is_excused {
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

/// Where a member's state is.
pub(super) fn data(dir: &Path, name: &str, has_disk: bool) -> PathBuf {
    match has_disk {
        // The disk's own first folder is the file system's, not the member's.
        true => dir.join(format!("{name}-disk")).join("data"),
        false => dir.join(name),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Starts a member that ends by itself at once, and waits for that.
    fn run_out(member: &Member) {
        member.start().unwrap();
        let ended = testkit::poll_blocking(20, || {
            member.look();
            !member.is_started()
        });
        assert!(ended);
    }

    #[test]
    fn who_joins_or_is_in_doubt_to_have_left_may_end_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe {
            program: "/bin/true".into(),
            args: Vec::new(),
            env: Vec::new(),
            orders: (Ipv4Addr::LOCALHOST, 1).into(),
            inside: Vec::new(),
            boots: None,
        };
        let who = ["n1", "", ""].map(str::to_owned);
        let member = Member::new(who.into(), dir.path(), recipe, None);
        run_out(&member);
        assert_eq!(member.deaths().len(), 1);
        assert!(!member.set_leaving(true));
        run_out(&member);
        // Its removal was never answered: that it serves proves nothing.
        member.has_joined();
        run_out(&member);
        assert_eq!(member.deaths().len(), 1);
        member.join(Vec::new()).unwrap();
        run_out(&member);
        assert_eq!(member.deaths().len(), 1);
        member.has_joined();
        run_out(&member);
        assert_eq!(member.deaths().len(), 2, "a member again");
    }
}

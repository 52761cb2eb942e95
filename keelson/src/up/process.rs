//! The process of one component: starting it, finding it again, and ending it.
//!
//! A process is known by its id and its start time together, so that a reused id is never taken
//! for ours.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::spec::Component;

/// How long a component may take to end after SIGTERM before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(15);

/// How a component's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Alive.
    Running,
    /// Stopped by SIGSTOP.
    Paused,
    /// Not there.
    Stopped,
}

/// What was written down when the process began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Record {
    pid: i32,
    start_ticks: u64,
}

/// The files of one component's process below the cluster's folder.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    record: PathBuf,
    log: PathBuf,
}

impl Process {
    /// The process of `component` in the cluster at `dir`.
    pub(crate) fn of(dir: &Path, component: &Component) -> Self {
        Self {
            record: dir.join("run").join(format!("{}.json", component.name)),
            log: dir.join("logs").join(format!("{}.log", component.name)),
        }
    }

    /// Where it writes what it has to say.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the process, apart from the terminal's signals. Does nothing if it is there.
    pub(crate) fn start(&self, component: &Component) -> Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        let log = self.open_log()?;
        let program = match &component.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().context("find this binary")?,
        };
        let child = Command::new(&program)
            .args(&component.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {} ({})", component.name, program.display()))?;
        let pid = i32::try_from(child.id()).context("process id")?;
        let Stat { start_ticks, .. } =
            stat(pid).with_context(|| format!("{} ended at once", component.name))?;
        write_record(&self.record, Record { pid, start_ticks })
    }

    /// Its process id, if it lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.find().map(|(pid, _)| pid)
    }

    /// When it was started last; none if it never was.
    pub(crate) fn began(&self) -> Option<SystemTime> {
        fs::metadata(&self.record).ok()?.modified().ok()
    }

    /// How it is.
    pub(crate) fn state(&self) -> State {
        match self.find() {
            None => State::Stopped,
            Some((_, 'T' | 't')) => State::Paused,
            Some(_) => State::Running,
        }
    }

    /// Sends a signal; false if it is not there.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(pid) = self.pid().and_then(Pid::from_raw) else {
            return Ok(false);
        };
        match kill_process(pid, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("signal process {pid:?}")),
        }
    }

    /// Ends it: SIGTERM, and SIGKILL after a while. Returns when it is gone.
    pub(crate) fn stop(&self) -> Result<()> {
        // A paused process does not see SIGTERM before it goes on.
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)?;
        if !self.gone_within(STOP_TIME_MAX) {
            self.kill()?;
        }
        Ok(())
    }

    /// Ends it at once, without a chance to do anything. Returns when it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if !self.gone_within(STOP_TIME_MAX) {
            bail!("the process in {} does not end", self.record.display());
        }
        Ok(())
    }

    fn gone_within(&self, time: Duration) -> bool {
        let started = Instant::now();
        while self.pid().is_some() {
            if started.elapsed() > time {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Id and state letter of the recorded process, if it is still that one.
    fn find(&self) -> Option<(i32, char)> {
        let record: Record = serde_json::from_slice(&fs::read(&self.record).ok()?).ok()?;
        let stat = stat(record.pid)?;
        // A zombie has ended, and its parent has not looked yet; but while a thread of it is still held up,
        // say by a sync, its ports and files are not free.
        let is_gone = matches!(stat.state, 'Z' | 'X') && stat.threads <= 1;
        (stat.start_ticks == record.start_ticks && !is_gone).then_some((record.pid, stat.state))
    }

    fn open_log(&self) -> Result<File> {
        for file in [&self.log, &self.record] {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            }
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        log.with_context(|| format!("open {}", self.log.display()))
    }
}

fn write_record(path: &Path, record: Record) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(&record)?)?;
    fs::rename(&partial, path).with_context(|| format!("write {}", path.display()))
}

/// What `/proc/PID/stat` says of a process.
struct Stat {
    state: char,
    threads: u64,
    /// Since the machine's start.
    start_ticks: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        threads: fields.nth(16)?.parse().ok()?,
        start_ticks: fields.nth(1)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::process::Signal;

    use super::{Process, State};
    use crate::up::spec::{Component, Kind};

    fn sleeper() -> Component {
        Component {
            name: "sleeper".into(),
            kind: Kind::Runtime,
            program: Some(PathBuf::from("/bin/sleep")),
            args: vec!["600".into()],
            urls: Vec::new(),
            hollow: false,
        }
    }

    /// Its first thread ends at once, the other one stays.
    const HELD_UP: &str = "#include <pthread.h>\n#include <unistd.h>\n\
        static void *stay(void *none) { for (;;) pause(); return none; }\n\
        int main(void) { pthread_t other; pthread_create(&other, 0, stay, 0); pthread_exit(0); }\n";

    #[test]
    fn a_process_is_there_until_its_last_thread_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (source, program) = (dir.path().join("held.c"), dir.path().join("held"));
        std::fs::write(&source, HELD_UP).unwrap();
        let mut cc = std::process::Command::new("cc");
        cc.arg("-pthread").arg("-o").args([&program, &source]);
        assert!(cc.status().unwrap().success());
        let component = Component {
            program: Some(program),
            args: Vec::new(),
            ..sleeper()
        };
        let process = Process::of(dir.path(), &component);
        process.start(&component).unwrap();
        let pid = process.pid().unwrap();
        let is_zombie = || super::stat(pid).is_some_and(|stat| stat.state == 'Z');
        assert!(testkit::poll_blocking(5, is_zombie));
        assert_eq!(process.pid(), Some(pid));
        process.kill().unwrap();
        assert_eq!(process.pid(), None);
    }

    #[test]
    fn a_process_is_started_once_paused_found_again_and_ended() {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::of(dir.path(), &sleeper());
        assert_eq!(process.state(), State::Stopped);
        assert_eq!(process.began(), None);
        process.start(&sleeper()).unwrap();
        assert!(process.began().is_some());
        let pid = process.pid().unwrap();
        process.start(&sleeper()).unwrap();
        assert_eq!(Process::of(dir.path(), &sleeper()).pid(), Some(pid));
        process.signal(Signal::STOP).unwrap();
        assert!(testkit::poll_blocking(5, || process.state() == State::Paused));
        process.stop().unwrap();
        assert_eq!(process.state(), State::Stopped);
        assert!(!process.signal(Signal::TERM).unwrap());
    }
}

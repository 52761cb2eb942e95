//! Mounts a disk, and takes it off again whatever happens: by itself when it is dropped, by a guard
//! when this process is killed, and by the next run where even that failed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::io::Errno;

use super::Disk;
use super::served::Served;
use crate::target::Guard;

/// As `/proc/self/mountinfo` names our disks.
const SOURCE: &str = "keelson-jepsen-disk";
const DEVICE: &str = "/dev/fuse";
const MOUNTS: &str = "/proc/self/mountinfo";
/// Operations at once. One that is slow leaves the others to a reader.
const THREADS: usize = 4;

/// A disk that processes can use.
pub(crate) struct Mounted {
    pub(crate) disk: Arc<Disk>,
    at: PathBuf,
    // None once it is being taken off.
    session: Option<fuser::BackgroundSession>,
    // After the session: it must not outlive its guard.
    _guard: Guard,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "disk at {}", self.at.display())
    }
}

impl Mounted {
    /// Mounts an empty disk on the folder `at`, which is made.
    pub(crate) fn new(at: &Path) -> Result<Self> {
        let shown = at.display();
        fs::create_dir(at).with_context(|| format!("make {shown}"))?;
        let disk = Arc::new(Disk::new());
        let guard = Guard::of_mount(at).context("start /bin/sh, which takes the disk off")?;
        let mut config = fuser::Config::default();
        config.mount_options = vec![fuser::MountOption::FSName(SOURCE.to_owned())];
        config.n_threads = Some(THREADS);
        let session = fuser::spawn_mount(Served::new(disk.clone()), at, &config)
            .with_context(|| format!("mount a disk on {shown}"))?;
        Ok(Self {
            disk,
            at: at.to_owned(),
            session: Some(session),
            _guard: guard,
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a file that is still open somewhere keeps nobody waiting.
        unmount(&self.at);
        drop(self.session.take());
    }
}

fn unmount(at: &Path) {
    // One that stays is found by the next run.
    let _ = Command::new("umount")
        .arg("-l")
        .arg(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// What this machine lacks for it.
pub(crate) fn why_not() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("a disk of each member's own needs root");
    }
    let device = File::options().read(true).write(true).open(DEVICE);
    device
        .is_err()
        .then_some("a disk of each member's own needs /dev/fuse, which cannot be opened")
}

/// Takes off the disks of runs that were killed. Those of runs that go on answer, and stay.
pub(crate) fn remove_stale() {
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    for at in ours(&mounts) {
        if rustix::fs::statfs(&at).is_err_and(|error| error == Errno::NOTCONN) {
            unmount(&at);
        }
    }
}

/// Where our disks are mounted, by the kernel's list.
pub(super) fn ours(mounts: &str) -> Vec<PathBuf> {
    let place = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let is_ours = source.split(' ').nth(1) == Some(SOURCE);
        let place = mount.split(' ').nth(4)?.replace("\\040", " ");
        is_ours.then(|| PathBuf::from(place))
    };
    mounts.lines().filter_map(place).collect()
}

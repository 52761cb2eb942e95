//! Leaves a member a small part of a processor, by a control group of its own: version 1's `cpu`
//! controller, as root.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::target::Member;

const ROOT: &str = "/sys/fs/cgroup/cpu";
const PERIOD_US: u32 = 100_000;

/// A group that one process is in. Dropping it sets the process free.
#[derive(Debug)]
pub(super) struct Group {
    path: PathBuf,
}

impl Group {
    /// Leaves `member` so many of each hundred milliseconds of one processor.
    pub(super) fn of(member: &Member, share_ms: u32) -> Result<Self> {
        let pid = member.pid().context("it does not run")?;
        let name = format!("jepsen-{}-{}", std::process::id(), member.name);
        let path = Path::new(ROOT).join(name);
        let shown = path.display();
        fs::create_dir(&path).with_context(|| format!("create {shown}"))?;
        let group = Self { path };
        group.write("cpu.cfs_period_us", PERIOD_US)?;
        group.write("cpu.cfs_quota_us", share_ms * 1_000)?;
        group.write("cgroup.procs", pid)?;
        Ok(group)
    }

    fn write(&self, file: &str, value: u32) -> Result<()> {
        let path = self.path.join(file);
        let shown = path.display();
        fs::write(&path, value.to_string()).with_context(|| format!("write {shown}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let procs = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            // One that has ended meanwhile has left the group too.
            let _ = fs::write(Path::new(ROOT).join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Why this machine cannot do it.
pub(super) fn why_not() -> Option<&'static str> {
    let probe = Path::new(ROOT).join(format!("jepsen-{}-probe", std::process::id()));
    let made = fs::create_dir(&probe).is_ok() && probe.join("cpu.cfs_quota_us").exists();
    let _ = fs::remove_dir(&probe);
    (!made)
        .then_some("there is no control group of version 1 for processors, or no right to make one")
}

//! Ends a member, and takes its disk off, when this process ends, however it ends: even SIGKILL leaves
//! neither behind.
//!
//! A shell waits for the end of its input, whose other end only this process has. No signal of the
//! terminal ends the shell before it has done its work.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const KILL: &str = r#"trap "" INT TERM HUP QUIT; read -r _; kill -9 "$1" 2>/dev/null"#;
const UNMOUNT: &str = r#"trap "" INT TERM HUP QUIT; read -r _; umount -l "$1" 2>/dev/null"#;

/// The shell. Dropping it ends it without harm to what it guards.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    /// A guard of the process `pid`.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        Self::start(KILL, pid.to_string().as_ref())
    }

    /// A guard of what is mounted on a folder.
    pub(crate) fn of_mount(at: &Path) -> io::Result<Self> {
        Self::start(UNMOUNT, at.as_os_str())
    }

    fn start(script: &str, what: &OsStr) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, "guard"])
            .arg(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

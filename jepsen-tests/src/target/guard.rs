//! Ends a member when this process ends, however it ends: even SIGKILL leaves no member behind.
//!
//! A shell waits for the end of its input, whose other end only this process has. No signal of the
//! terminal ends the shell before it has done its work.

use std::io;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"trap "" INT TERM HUP QUIT; read -r _; kill -9 "$1" 2>/dev/null"#;

/// The shell. Dropping it ends it without harm to the member.
#[derive(Debug)]
pub(super) struct Guard(Child);

impl Guard {
    /// A guard of the process `pid`.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "guard", &pid.to_string()])
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

//! Debian packages: finds out which are missing and installs them as root or by sudo.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::command;

/// What building needs beside a Rust toolchain and a C linker.
pub(crate) const BUILD: &[&str] = &["g++", "libclang-dev"];
/// What a real node needs.
pub(crate) const NODE: &[&str] = &[
    "busybox-static",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "nftables",
    "runc",
];

/// Packages are missing and nothing here may install them. Ends the process with status 2.
#[derive(Debug)]
pub(crate) struct Missing(Vec<String>);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "these packages are missing and neither root nor sudo is at hand; install them and try again:\n  apt-get install {}",
            self.0.join(" ")
        )
    }
}

impl std::error::Error for Missing {}

/// True for the superuser.
pub(crate) fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// Installs those of `packages` that are not there.
pub(crate) fn ensure(packages: &[&str]) -> Result<()> {
    let missing: Vec<String> = packages
        .iter()
        .filter(|p| !is_installed(p))
        .map(|p| (*p).to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(prefix) = elevation() else {
        return Err(Missing(missing).into());
    };
    eprintln!("installing {}", missing.join(" "));
    command::run(&mut apt_get(&prefix, &["update", "-q"]))?;
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(missing.iter().map(String::as_str));
    command::run(&mut apt_get(&prefix, &args))
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// The words before `apt-get`: none for root, `sudo -n` where that works, otherwise nothing can be installed.
fn elevation() -> Option<Vec<&'static str>> {
    if is_root() {
        return Some(Vec::new());
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success())
        .then(|| vec!["sudo", "-n"])
}

fn apt_get(prefix: &[&str], args: &[&str]) -> Command {
    let mut words = prefix.iter().copied().chain(["apt-get"]);
    let mut command = Command::new(words.next().unwrap_or("apt-get"));
    command
        .args(words)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

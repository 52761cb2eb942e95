//! One network namespace, and commands in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// Says that it is in the namespace, and stays until the other end of its input is closed. No signal of
/// the terminal ends it before.
const KEEP: &str = r#"trap "" INT TERM HUP QUIT; echo; read -r _"#;
/// What a network of ours is made of.
const TRY: &str = "ip link add name bridge0 type bridge \
    && ip link add name a type veth peer name b && nft add table ip jepsen";
const TOOLS: [&str; 4] = ["ip", "nft", "unshare", "nsenter"];

/// A namespace. It is there as long as this is, or a process that was started in it.
#[derive(Debug)]
pub(super) struct Space(Child);

impl Space {
    /// A new one, with nothing in it.
    pub(super) fn new() -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "/bin/sh", "-c", KEEP, "keeper"]);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut space = Self(command.spawn().context("start unshare")?);
        let out = space.0.stdout.take().context("unshare has no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        if line.is_empty() {
            bail!("make a network namespace: {}", said(&mut space.0));
        }
        Ok(space)
    }

    /// Words before a command that make it run here.
    pub(super) fn enter(&self) -> Vec<String> {
        vec![
            "nsenter".to_owned(),
            format!("--net=/proc/{}/ns/net", self.0.id()),
        ]
    }

    /// The process by which the kernel knows it.
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Makes interfaces: a line for each step, as `ip -batch` takes it.
    pub(super) fn ip(&self, steps: &[String]) -> Result<()> {
        let words = [&self.enter()[..], &["ip", "-batch", "-"].map(str::to_owned)].concat();
        Tool::start(&words, &steps.join("\n"))?.end()
    }

    /// Starts to change the rules, all at once.
    pub(super) fn nft(&self, script: &str) -> Result<Tool> {
        let words = [&self.enter()[..], &["nft", "-f", "-"].map(str::to_owned)].concat();
        Tool::start(&words, script)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that runs.
pub(super) struct Tool {
    told: String,
    child: Child,
}

impl Tool {
    /// Starts it with what it reads.
    pub(super) fn start(words: &[String], input: &str) -> Result<Self> {
        let (program, args) = words.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C").stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.with_context(|| format!("start {program}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that has ended already says why.
            let _ = stdin.write_all(input.as_bytes());
            let _ = stdin.write_all(b"\n");
        }
        let told = words.join(" ");
        Ok(Self { told, child })
    }

    /// Waits for it; an error with what it said if it failed.
    pub(super) fn end(mut self) -> Result<()> {
        let said = said(&mut self.child);
        let status = self.child.wait().context("wait for a command")?;
        if !status.success() {
            bail!("{}: {}", self.told, said.trim());
        }
        Ok(())
    }
}

/// What it writes to its standard error, to the end.
fn said(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        // Bytes that are no text tell nothing.
        let _ = stderr.read_to_string(&mut text);
    }
    text
}

/// What this machine lacks for it.
pub(crate) fn why_not() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there =
        |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    if !TOOLS.iter().all(|tool| is_there(tool)) {
        return Some("network namespaces need `ip`, `nft`, `unshare` and `nsenter` on PATH");
    }
    let words = ["unshare", "--net", "/bin/sh", "-c", TRY].map(str::to_owned);
    let tried = Tool::start(&words, "").and_then(Tool::end);
    tried
        .is_err()
        .then_some("the kernel lets us have no network namespace with a bridge and nftables")
}

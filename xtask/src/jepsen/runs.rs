//! One run of `keelson jepsen run`, watched while it goes on.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The variable that plants a fault, in a build that has them.
const VARIABLE: &str = "KEELSON_PLANTED";
/// Before the line that says what was found.
const FOUND: &str = "VIOLATED: ";
const UNJUDGED: &str = "could not judge: ";

/// What to run.
pub(super) struct Run<'a> {
    pub(super) scenario: &'a str,
    pub(super) seed: u64,
    /// What is planted in the store.
    pub(super) fault: Option<&'a str>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Valid,
    Violated,
    /// It proved nothing.
    Unjudged,
}

impl Status {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Violated => "VIOLATED",
            Self::Unjudged => "not judged",
        }
    }
}

/// What came of it.
pub(super) struct Ended {
    pub(super) status: Status,
    /// The anomalies, or why there is no verdict.
    pub(super) findings: String,
    pub(super) took: Duration,
}

/// Runs them by one binary, each for the same time.
pub(super) struct Runner {
    binary: PathBuf,
    time: String,
}

impl Runner {
    pub(super) fn new(binary: PathBuf, time: &str) -> Self {
        let time = time.to_owned();
        Self { binary, time }
    }

    /// Runs one and passes on what it says, line by line.
    pub(super) fn run(&self, run: &Run<'_>) -> Result<Ended> {
        let started = Instant::now();
        let mut command = Command::new(&self.binary);
        command
            .args(["jepsen", "run", "--scenario", run.scenario])
            .args(["--seed", &run.seed.to_string()])
            .env_remove(VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        // Two scenarios have a length of their own, and ignore this.
        command.args(["--time", &self.time]);
        if let Some(fault) = run.fault {
            command.env(VARIABLE, fault);
        }
        let start = || format!("start {}", self.binary.display());
        let mut child = command.spawn().with_context(start)?;
        let said = child.stdout.take().context("read what it says")?;
        let mut findings = Vec::new();
        for line in BufReader::new(said).lines() {
            let line = line.context("read what it says")?;
            eprintln!("    {line}");
            let told = line
                .strip_prefix(FOUND)
                .or_else(|| line.strip_prefix(UNJUDGED));
            findings.extend(told.map(str::to_owned));
        }
        let status = child.wait().context("wait for its end")?;
        let status = match status.code() {
            Some(0) => Status::Valid,
            Some(1) => Status::Violated,
            Some(2) => Status::Unjudged,
            _ => bail!("`keelson jepsen run` ended by {status}"),
        };
        let took = started.elapsed();
        eprintln!("  {} after {} s", status.told(), took.as_secs());
        Ok(Ended {
            status,
            findings: findings.join("; "),
            took,
        })
    }
}

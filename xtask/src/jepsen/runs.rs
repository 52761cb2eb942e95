//! One run of `keelson jepsen run`, watched while it goes on, and what it said of itself.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The variable that plants a fault, in a build that has them.
const VARIABLE: &str = "KEELSON_PLANTED";
/// Before the line that says what was found.
const FOUND: &str = "VIOLATED: ";
const UNJUDGED: &str = "could not judge: ";
/// Before the command that a run says when it begins.
const BEGUN: &str = "keelson jepsen run ";
/// Before the last line of a run that came to no judgement.
const ERROR: &str = "error: ";

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
    /// It refused to begin: what it was to run on has no such fault.
    Refused,
}

impl Status {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Violated => "VIOLATED",
            Self::Unjudged => "not judged",
            Self::Refused => "not run",
        }
    }
}

/// What came of it.
pub(super) struct Ended {
    pub(super) status: Status,
    /// The anomalies, or why there is no verdict.
    pub(super) findings: String,
    /// Operations judged.
    pub(super) operations: u64,
    /// Faults injected.
    pub(super) faults: u64,
    pub(super) took: Duration,
}

/// Runs them by one binary, each for the same time.
pub(super) struct Runner {
    binary: PathBuf,
    time: String,
    /// As `--target` takes it; ours where it is missing.
    target: Option<String>,
}

impl Runner {
    pub(super) fn new(binary: PathBuf, time: &str) -> Self {
        Self {
            binary,
            time: time.to_owned(),
            target: None,
        }
    }

    /// The same on servers of another kind.
    pub(super) fn on(self, target: Option<String>) -> Self {
        Self { target, ..self }
    }

    /// Whether the servers are not ours.
    pub(super) fn is_others(&self) -> bool {
        self.target
            .as_deref()
            .is_some_and(|target| target != "ours")
    }

    /// What repeats a run, for whoever reads of it.
    pub(super) fn told(&self, scenario: &str) -> String {
        let mut told = format!("--scenario {scenario} --time {}", self.time);
        if let Some(target) = &self.target {
            told.push_str(&format!(" --target {target}"));
        }
        told
    }

    /// Runs one and passes on what it says, line by line.
    pub(super) fn run(&self, run: &Run<'_>) -> Result<Ended> {
        let started = Instant::now();
        let mut child = self.start(run)?;
        let errors = child.stderr.take().map(pass_on);
        let said = child.stdout.take().context("read what it says")?;
        let mut told = Told::default();
        for line in BufReader::new(said).lines() {
            let line = line.context("read what it says")?;
            eprintln!("    {line}");
            told.hear(&line);
        }
        let status = child.wait().context("wait for its end")?;
        let error = errors.and_then(|errors| errors.join().ok().flatten());
        told.findings.extend(error);
        let status = match status.code() {
            Some(0) => Status::Valid,
            Some(1) => Status::Violated,
            Some(2) if told.is_begun => Status::Unjudged,
            Some(2) => Status::Refused,
            _ => bail!("`keelson jepsen run` ended by {status}"),
        };
        let took = started.elapsed();
        eprintln!("  {} after {} s", status.told(), took.as_secs());
        Ok(Ended {
            status,
            findings: told.findings.join("; "),
            operations: told.operations,
            faults: told.faults,
            took,
        })
    }

    fn start(&self, run: &Run<'_>) -> Result<Child> {
        let mut command = Command::new(&self.binary);
        command
            .args(["jepsen", "run", "--scenario", run.scenario])
            .args(["--seed", &run.seed.to_string()])
            .env_remove(VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Two scenarios have a length of their own, and ignore this.
        command.args(["--time", &self.time]);
        if let Some(target) = &self.target {
            command.args(["--target", target]);
        }
        if let Some(fault) = run.fault {
            command.env(VARIABLE, fault);
        }
        let start = || format!("start {}", self.binary.display());
        command.spawn().with_context(start)
    }
}

/// Passes on what it says of its errors; its last, if it ended by one.
fn pass_on(errors: ChildStderr) -> JoinHandle<Option<String>> {
    thread::spawn(move || {
        let mut last = None;
        // Not by lines: a log may hold what is no text.
        let mut lines = BufReader::new(errors);
        let mut line = Vec::new();
        while let Ok(1..) = lines.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            eprintln!("    {text}");
            last = text.strip_prefix(ERROR).map(str::to_owned).or(last);
            line.clear();
        }
        last
    })
}

/// What a run says of itself, of all its workloads together.
#[derive(Default)]
struct Told {
    findings: Vec<String>,
    operations: u64,
    faults: u64,
    /// Whether it said what it does; one that is refused does not.
    is_begun: bool,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let told = line
            .strip_prefix(FOUND)
            .or_else(|| line.strip_prefix(UNJUDGED));
        self.findings.extend(told.map(str::to_owned));
        self.is_begun |= line.starts_with(BEGUN);
        let mut words = line.split_whitespace();
        let Some(Ok(count)) = words.next().map(str::parse::<u64>) else {
            return;
        };
        match words.next() {
            Some("times") => self.faults += count,
            Some("operations") => {
                // "N operations acknowledged, N refused, N of unknown outcome"
                let others = words.filter_map(|word| word.parse::<u64>().ok());
                self.operations += count + others.sum::<u64>();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn what_a_run_says_is_counted() {
        let mut told = Told::default();
        told.hear("on the loopback behind proxies: the nemesis delay needs proxies");
        assert!(!told.is_begun);
        for line in [
            "keelson jepsen run --workload set --nemesis kill --time 10s",
            "    3 times kill leader",
            "   12 times partition halves",
            "  480 ms at most nobody was served though a majority was there, in 9 s",
            "workload set",
            "1200 operations acknowledged, 30 refused, 4 of unknown outcome",
            "VIOLATED: lost (2 times)",
            "100 operations acknowledged, 0 refused, 0 of unknown outcome",
            "valid: every promise was kept",
        ] {
            told.hear(line);
        }
        assert!(told.is_begun);
        assert_eq!((told.faults, told.operations), (15, 1334));
        assert_eq!(told.findings, ["lost (2 times)"]);
    }
}

//! `cargo xtask jepsen`: breaks real clusters by the built binary's own `keelson jepsen run`, one
//! run after another, and counts what passed.

mod planted;
mod runs;

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{ArgGroup, Args};

use crate::{command, setup, up};
use runs::{Run, Runner, Status};

/// What is asked for.
#[derive(Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct Asked {
    /// The quick set: at most five minutes.
    #[arg(long, group = "which")]
    quick: bool,
    /// Every scenario of `keelson jepsen list` that this machine can run: an hour and more.
    #[arg(long, group = "which")]
    all: bool,
    /// Builds a store with faults planted in it, and proves that each is caught, and that the same run
    /// without the fault is not.
    #[arg(long, group = "which")]
    planted: bool,
    /// With --planted: only these faults.
    #[arg(
        long,
        value_delimiter = ',',
        requires = "planted",
        value_name = "FAULT"
    )]
    fault: Vec<String>,
    /// What all chance follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long each workload runs under faults, as `keelson jepsen run --time` takes it.
    #[arg(long)]
    time: Option<String>,
}

/// Of the quick set, each under faults for [`QUICK_TIME`]; with its start, recovery and judgement a
/// run takes twice that.
const QUICK: &[&str] = &[
    "register",
    "append",
    "set",
    "serializable",
    "watch",
    "lease",
    "lock",
    "crash-in-apply",
];
const QUICK_TIME: &str = "12s";
const TIME: &str = "60s";

/// Runs it; an error if anything failed.
pub(crate) fn run(asked: &Asked) -> Result<()> {
    setup::build_only(false)?;
    let started = Instant::now();
    let (passed, failed) = if asked.planted {
        let binary = up::build_with("planted")?;
        let time = asked.time.as_deref().unwrap_or(planted::TIME);
        let runner = Runner::new(binary, time);
        planted::run(&runner, asked.seed, &asked.fault)?
    } else {
        let binary = up::build()?;
        let names = match asked.quick {
            true => QUICK.iter().map(|name| (*name).to_owned()).collect(),
            false => runnable(&command::output(
                Command::new(&binary).args(["jepsen", "list"]),
            )?),
        };
        ensure!(!names.is_empty(), "no scenario can be run on this machine");
        let default = if asked.quick { QUICK_TIME } else { TIME };
        let time = asked.time.as_deref().unwrap_or(default);
        sound(&Runner::new(binary, time), &names, asked.seed)?
    };
    eprintln!("[{:>4} s] done", started.elapsed().as_secs());
    print(&format!("{passed} passed, {failed} failed\n"))?;
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Each scenario must be judged, and valid.
fn sound(runner: &Runner, names: &[String], seed: u64) -> Result<(usize, usize)> {
    let mut ended = Vec::new();
    for (number, name) in names.iter().enumerate() {
        eprintln!("({} of {}) {name}", number + 1, names.len());
        let run = Run {
            scenario: name,
            seed,
            fault: None,
        };
        ended.push((name, runner.run(&run)?));
    }
    let mut table = String::new();
    for (name, run) in &ended {
        table.push_str(&format!(
            "{name:<18} {:<12} {:>4} s  {}\n",
            run.status.told(),
            run.took.as_secs(),
            run.findings
        ));
    }
    print(&table)?;
    let passed = ended.iter().filter(|(_, run)| run.status == Status::Valid);
    let passed = passed.count();
    Ok((passed, ended.len() - passed))
}

/// The names of those that `keelson jepsen list` says run here.
fn runnable(list: &str) -> Vec<String> {
    let here = list.lines().filter(|line| line.ends_with(": runs here"));
    // The first word is the number.
    here.filter_map(|line| line.split_whitespace().nth(1))
        .map(str::to_owned)
        .collect()
}

/// To standard output, for whoever reads it by program.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("print the outcome")
}

#[cfg(test)]
mod tests {
    use super::runnable;

    #[test]
    fn only_what_runs_here_is_run() {
        let list = " 1  register          versioned registers; needs processes of ours: runs here\n \
                    2  quota             full: runs here and there; not yet: it needs a load\n\
                    23  full-disk         no space; needs a disk: not here, this is not root\n";
        assert_eq!(runnable(list), ["register"]);
    }
}

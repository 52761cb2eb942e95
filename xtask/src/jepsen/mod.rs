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
use runs::{Ended, Run, Runner, Status};

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
    /// With --quick and --all: how many seeds each scenario is run with, from --seed on.
    #[arg(long, default_value_t = 1, conflicts_with = "planted", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// With --quick and --all: only these scenarios.
    #[arg(
        long,
        value_delimiter = ',',
        conflicts_with = "planted",
        value_name = "NAME"
    )]
    scenario: Vec<String>,
    /// With --quick and --all: `etcd` breaks the real one in place of ours, and tells which scenarios
    /// need ours.
    #[arg(long, conflicts_with = "planted", value_parser = ["ours", "etcd"])]
    target: Option<String>,
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
        let mut names: Vec<String> = match asked.quick {
            true => QUICK.iter().map(|name| (*name).to_owned()).collect(),
            false => runnable(&command::output(
                Command::new(&binary).args(["jepsen", "list"]),
            )?),
        };
        ensure!(!names.is_empty(), "no scenario can be run on this machine");
        only(&mut names, &asked.scenario)?;
        let default = if asked.quick { QUICK_TIME } else { TIME };
        let time = asked.time.as_deref().unwrap_or(default);
        let runner = Runner::new(binary, time).on(asked.target.clone());
        sound(&runner, &names, asked.seed, asked.seeds)?
    };
    eprintln!("[{:>4} s] done", started.elapsed().as_secs());
    print(&format!("{passed} passed, {failed} failed\n"))?;
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Leaves those that were asked for, if any were.
fn only(names: &mut Vec<String>, asked: &[String]) -> Result<()> {
    for name in asked {
        if !names.contains(name) {
            bail!(
                "the scenario {name} is not among those of this set that run here: {}",
                names.join(", ")
            );
        }
    }
    if !asked.is_empty() {
        names.retain(|name| asked.contains(name));
    }
    Ok(())
}

/// Each scenario must be judged, and valid, with each seed. How many were, and how many were not.
/// What a real etcd has no faults for, and refuses, counts as neither; but something must be judged.
fn sound(runner: &Runner, names: &[String], first: u64, seeds: u64) -> Result<(usize, usize)> {
    let mut table = String::from(
        "| `keelson jepsen run` | seeds | operations | faults | seconds | verdict |\n|---|---|---|---|---|---|\n",
    );
    let (mut passed, mut failed) = (0, 0);
    for (number, name) in names.iter().enumerate() {
        let mut row = Row::default();
        for seed in first..first.saturating_add(seeds) {
            eprintln!("({} of {}) {name}, seed {seed}", number + 1, names.len());
            let ended = runner.run(&Run {
                scenario: name,
                seed,
                fault: None,
            })?;
            let is_refused = ended.status == Status::Refused;
            row.ended.push((seed, ended));
            // It would be for each seed.
            if is_refused {
                break;
            }
        }
        if row.is(Status::Valid) {
            passed += 1;
        } else if !(row.is(Status::Refused) && runner.is_others()) {
            failed += 1;
        }
        table.push_str(&row.text(&runner.told(name)));
    }
    print(&table)?;
    ensure!(passed + failed > 0, "nothing was run");
    Ok((passed, failed))
}

/// What came of a scenario, with all its seeds.
#[derive(Default)]
struct Row {
    ended: Vec<(u64, Ended)>,
}

impl Row {
    fn is(&self, status: Status) -> bool {
        self.ended.iter().all(|(_, ended)| ended.status == status)
    }

    fn text(&self, told: &str) -> String {
        let seeds = match (self.ended.first(), self.ended.last()) {
            (Some((first, _)), Some((last, _))) if first != last => format!("{first} to {last}"),
            (Some((seed, _)), _) => seed.to_string(),
            _ => String::new(),
        };
        let sum =
            |of: fn(&Ended) -> u64| self.ended.iter().map(|(_, ended)| of(ended)).sum::<u64>();
        let verdict = if self.is(Status::Valid) {
            Status::Valid.told().to_owned()
        } else {
            let others = self
                .ended
                .iter()
                .filter(|(_, ended)| ended.status != Status::Valid);
            let each = others.map(|(seed, ended)| {
                format!("seed {seed} {}: {}", ended.status.told(), ended.findings)
            });
            each.collect::<Vec<_>>().join("; ")
        };
        format!(
            "| `{told}` | {seeds} | {} | {} | {} | {verdict} |\n",
            sum(|ended| ended.operations),
            sum(|ended| ended.faults),
            sum(|ended| ended.took.as_secs()),
        )
    }
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

//! `keelson jepsen`: lists the scenarios, runs one, judges a history again.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its user"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::check::{self, Verdict};
use crate::{history, scenarios};

/// The command's arguments.
#[derive(Args, Clone, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// One numbered line for each scenario.
    List,
    /// Runs a scenario on a cluster of its own. Status 0: valid, 1: violated, 2: could not judge.
    Run {
        /// Its name, from `list`.
        #[arg(long)]
        scenario: String,
        /// Keep the history in this file, one JSON object a line.
        #[arg(long, value_name = "FILE")]
        history: Option<PathBuf>,
    },
    /// Judges a history that `run --history` kept.
    Check {
        /// The file.
        history: PathBuf,
    },
}

/// Runs the command.
pub async fn run(command: Command) -> ExitCode {
    let outcome = match command.action {
        Action::List => Ok(list()),
        Action::Run { scenario, history } => run_scenario(&scenario, history.as_deref()).await,
        Action::Check { history } => judge(&history),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn list() -> ExitCode {
    for (number, scenario) in scenarios::all().iter().enumerate() {
        println!("{:>2}  {:<16} {}", number + 1, scenario.name, scenario.what);
    }
    ExitCode::SUCCESS
}

async fn run_scenario(name: &str, keep: Option<&Path>) -> Result<ExitCode> {
    let scenario = scenarios::find(name).with_context(|| {
        format!("there is no scenario {name}; `keelson jepsen list` shows them")
    })?;
    let report = scenario
        .run(std::env::current_exe().context("find this binary")?)
        .await?;
    if let Some(path) = keep {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        report.history.write(std::io::BufWriter::new(file))?;
    }
    print!("{}", report.text());
    Ok(exit(&report.verdict))
}

fn judge(path: &Path) -> Result<ExitCode> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let verdict = check::check(&history::read(BufReader::new(file))?);
    match &verdict {
        Verdict::Valid => println!("valid: every promise was kept"),
        Verdict::Unknown(why) => println!("could not judge: {why}"),
        Verdict::Violated(violations) => violations.iter().for_each(|line| println!("{line}")),
    }
    Ok(exit(&verdict))
}

fn exit(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Violated(_) => ExitCode::FAILURE,
        Verdict::Unknown(_) => ExitCode::from(2),
    }
}

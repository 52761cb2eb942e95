//! `keelson jepsen`: lists the scenarios, runs one, judges a history again.
#![expect(clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod list;
mod run;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::check::{self, Judgement, Model, Options, Verdict, Workload};
use crate::history::{self, Event};
use crate::{report, show};
use run::Run;

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
    /// Breaks a cluster on purpose. Status 0: valid, 1: violated, 2: could not judge.
    Run(Run),
    /// Does again what a report's folder describes.
    Replay {
        /// The folder, as `run --report` wrote it.
        folder: PathBuf,
        /// Write a report of the new run into this folder.
        #[arg(long, value_name = "DIR")]
        report: Option<PathBuf>,
    },
    /// Judges a history that `run` kept, or one of Jepsen's. Status 0: valid, 1: violated, 2: could
    /// not judge.
    Check(Check),
}

#[derive(Args, Clone, Debug)]
struct Check {
    /// A history.edn of Jepsen's, one operation a line or a vector of them, or one of ours.
    history: PathBuf,
    /// What it is about; told from its operations where this is missing.
    #[arg(long)]
    workload: Option<Workload>,
    /// What its transactions were promised.
    #[arg(long, default_value = "strict-serializable")]
    model: Model,
    /// How to print the verdict.
    #[arg(short, long, default_value = "text")]
    output: Output,
    /// Write a report into this folder too.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// Runs the command.
pub async fn run(command: Command) -> ExitCode {
    let outcome = match command.action {
        Action::List => Ok(list::list()),
        Action::Run(run) => run::run(&run).await,
        Action::Replay { folder, report } => run::replay(&folder, report.as_deref()).await,
        Action::Check(check) => judge(&check),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn judge(check: &Check) -> Result<ExitCode> {
    let path = check.history.display();
    let events = read_history(&check.history).with_context(|| format!("read {path}"))?;
    let options = Options {
        workload: check.workload,
        model: check.model,
    };
    let judgement = check::judge(&events, options);
    if let Some(folder) = &check.report {
        write_report(folder, &path.to_string(), &events, &judgement)?;
    }
    match check.output {
        Output::Text => say(&show::text(&judgement)),
        Output::Json => say(&format!("{:#}\n", show::json(&judgement))),
    }
    Ok(exit(&judgement.verdict))
}

fn read_history(path: &Path) -> Result<Vec<Event>> {
    let max = history::BYTES_MAX;
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    ensure!(
        u64::try_from(bytes.len()).is_ok_and(|length| length <= max),
        "it is longer than {max} bytes, the most that is judged at once"
    );
    Ok(history::read(&bytes)?)
}

fn write_history(path: &Path, events: &[Event]) -> Result<()> {
    let shown = path.display();
    let file = File::create(path).with_context(|| format!("create {shown}"))?;
    let mut to = BufWriter::new(file);
    let written = match path.extension() {
        Some(extension) if extension == "edn" => history::write_edn(events, &mut to),
        _ => history::write_json(events, &mut to),
    };
    written.with_context(|| format!("write {shown}"))
}

fn write_report(folder: &Path, title: &str, events: &[Event], judgement: &Judgement) -> Result<()> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("create {shown}"))?;
    write_history(&folder.join("history.edn"), events)?;
    write_history(&folder.join("history.jsonl"), events)?;
    let page = folder.join("index.html");
    fs::write(&page, report::page(title, events, judgement))
        .with_context(|| format!("write {}", page.display()))
}

/// Prints. A reader that has gone (`| head`) has seen enough: the exit status still tells the rest.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn exit(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Violated(_) => ExitCode::FAILURE,
        Verdict::Unknown(_) => ExitCode::from(2),
    }
}

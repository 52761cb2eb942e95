//! `keelson jepsen run` and `replay`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use super::{exit, say, write_history, write_report};
use crate::check::{Verdict, Workload};
use crate::history::Event;
use crate::nemesis::Nemesis;
use crate::run::{self, Outcome, Spec};
use crate::scenarios::{self};
use crate::show;
use crate::target::{Kind, Network};

#[derive(Args, Clone, Debug)]
pub(super) struct Run {
    /// A scenario's name, from `list`: its workloads and faults.
    #[arg(long)]
    scenario: Option<String>,
    /// What clients do; with several, each has a cluster of its own, one after the other.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// What is done to the cluster, all at once.
    #[arg(long, value_delimiter = ',')]
    nemesis: Vec<Nemesis>,
    /// How long each workload runs under faults: seconds, or with a unit (90s, 10m, 2h).
    #[arg(long, default_value = "60s", value_parser = duration)]
    time: Duration,
    /// What all chance follows from; drawn and printed where it is missing.
    #[arg(long)]
    seed: Option<u64>,
    /// Which servers.
    #[arg(long, default_value = "ours")]
    target: Kind,
    /// How many of them: 1, 3, 5 or 7; a scenario has its own number.
    #[arg(long)]
    members: Option<usize>,
    /// How they reach each other: each in a network namespace, or on the loopback behind proxies. Where
    /// it is missing: namespaces, if this machine can and no nemesis needs proxies.
    #[arg(long)]
    network: Option<Network>,
    /// Client URLs of a running cluster, for `--target endpoints`.
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    endpoints: Vec<String>,
    /// Keep the history in this file: as EDN if it ends in .edn, else as JSON lines.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Write a report with the history into this folder; of several workloads, each into a folder
    /// of its name within.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// Seconds, or a number with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no time: say 30s, 10m or 2h");
    let (number, unit) = match text.find(|char: char| !char.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(each)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// Runs what was asked for.
pub(super) async fn run(asked: &Run) -> Result<ExitCode> {
    if let Some(scenario) = asked.scenario.as_deref().and_then(scenarios::find) {
        return run_old(scenario, asked).await;
    }
    let specs = specs(asked)?;
    let is_one = specs.len() == 1;
    ensure!(
        is_one || asked.history.is_none(),
        "--history keeps one history, and this is {} runs: use --report",
        specs.len()
    );
    let mut worst = ExitCode::SUCCESS;
    let mut is_violated = false;
    for spec in specs {
        let report = asked.report.as_ref().map(|folder| match is_one {
            true => folder.clone(),
            false => folder.join(spec.workload.name()),
        });
        let outcome = one(&spec, report.as_deref()).await?;
        if let Some(file) = &asked.history {
            write_history(file, &outcome.events)?;
        }
        let verdict = &outcome.judgement.verdict;
        // A broken promise outweighs a run that could not be judged.
        if *verdict != Verdict::Valid && !is_violated {
            worst = exit(verdict);
            is_violated = matches!(verdict, Verdict::Violated(_));
        }
    }
    Ok(worst)
}

/// Does again what a folder describes.
pub(super) async fn replay(folder: &Path, report: Option<&Path>) -> Result<ExitCode> {
    let spec = run::read_folder(folder)?;
    let outcome = one(&spec, report).await?;
    Ok(exit(&outcome.judgement.verdict))
}

async fn one(spec: &Spec, report: Option<&Path>) -> Result<Outcome> {
    // Whoever reads this by program knows by the command that the run was begun.
    spec.check()?;
    say(&format!("{}\n", spec.command()));
    let binary = std::env::current_exe().context("find this binary")?;
    let outcome = tokio::select! { biased;
        // What was started ends as everything here is dropped.
        _ = tokio::signal::ctrl_c() => bail!("interrupted: nothing was judged"),
        outcome = run::run(spec, binary) => outcome?,
    };
    if let Some(folder) = report {
        run::write_folder(folder, spec, &outcome)?;
        say(&format!("report in {}\n", folder.display()));
    }
    say(&text(&outcome));
    Ok(outcome)
}

/// For people.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (name, count) in &outcome.injected {
        let _ = writeln!(text, "{count:>5} times {name}");
    }
    if let Some((pause_ms, judged_ms)) = outcome.pause_ms {
        let _ = writeln!(
            text,
            "{pause_ms:>5} ms at most nobody was served though a majority was there, in {} s",
            judged_ms / 1_000
        );
    }
    text.push_str(&show::text(&outcome.judgement));
    text
}

async fn run_old(scenario: &scenarios::Scenario, asked: &Run) -> Result<ExitCode> {
    ensure!(
        asked.target == Kind::Ours && asked.workload.is_empty() && asked.nemesis.is_empty(),
        "the scenario {} has its own cluster, workload and faults: leave out --target, --workload and --nemesis",
        scenario.name
    );
    let binary = std::env::current_exe().context("find this binary")?;
    let report = scenario.run(binary).await?;
    let events: Vec<Event> = report.history.events();
    if let Some(path) = &asked.history {
        write_history(path, &events)?;
    }
    if let Some(folder) = &asked.report {
        write_report(folder, scenario.name, &events, &report.judgement)?;
    }
    say(&report.text());
    Ok(exit(report.verdict()))
}

/// One for each workload.
fn specs(asked: &Run) -> Result<Vec<Spec>> {
    let (mut workloads, mut nemesis, mut members) = (Vec::new(), Vec::new(), 3);
    if let Some(name) = &asked.scenario {
        let entry = scenarios::find_entry(name).with_context(|| {
            format!("there is no scenario {name}; `keelson jepsen list` shows them")
        })?;
        workloads.extend(entry.how.0);
        nemesis.extend(entry.how.1);
        members = entry.how.2;
    }
    if !asked.workload.is_empty() {
        workloads.clone_from(&asked.workload);
    }
    if !asked.nemesis.is_empty() {
        nemesis.clone_from(&asked.nemesis);
    }
    ensure!(
        !workloads.is_empty(),
        "say what to run: --scenario NAME, from `keelson jepsen list`, or --workload NAME"
    );
    nemesis.sort_unstable();
    nemesis.dedup();
    let (usual, why) = run::usual_network(asked.target, &nemesis);
    if asked.target == Kind::Endpoints {
        ensure!(
            asked.network.is_none(),
            "--network is for members that are started here, and not for --target endpoints"
        );
    } else if let (None, Some(why)) = (asked.network, why) {
        say(&format!("on the loopback behind proxies: {why}\n"));
    }
    let seed = asked.seed.unwrap_or_else(rand::random);
    let spec = |workload| Spec {
        workload,
        nemesis: nemesis.clone(),
        time_s: asked.time.as_secs(),
        seed,
        target: asked.target,
        members: asked.members.unwrap_or(members),
        endpoints: asked.endpoints.clone(),
        network: asked.network.unwrap_or(usual),
    };
    Ok(workloads.into_iter().map(spec).collect())
}

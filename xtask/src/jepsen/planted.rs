//! Faults planted in the store, and the scenarios that must catch each. A scenario proves something
//! only if the same run of the same build without the fault is valid.

use std::time::Duration;

use anyhow::{Result, bail};

use super::print;
use super::runs::{Run, Runner, Status};

/// How long each run is under faults.
pub(super) const TIME: &str = "20s";
/// Runs of one fault and scenario, each with a seed of its own.
const TRIES: u64 = 2;

/// Each fault with the scenarios that can see it, the best one first.
const FAULTS: &[(&str, &[&str])] = &[
    ("read-index-skipped", &["register", "set"]),
    ("fsync-skipped", &["unsynced-loss"]),
    ("applied-index-apart", &["crash-in-apply", "set", "append"]),
    ("watch-events-dropped", &["watch", "watch-starved"]),
    ("lease-not-extended", &["deposed-leader", "lease"]),
    ("vote-not-persisted", &["register", "append"]),
    ("deposed-leader-revokes", &["deposed-leader", "lease"]),
];

/// The run that caught a fault.
struct Caught {
    scenario: &'static str,
    seed: u64,
    findings: String,
    took: Duration,
    /// How the same run ended without the fault.
    control: Status,
}

/// Runs each fault, or those named, until it is caught. How many were, and how many were not.
pub(super) fn run(runner: &Runner, seed: u64, only: &[String]) -> Result<(usize, usize)> {
    for name in only {
        if !FAULTS.iter().any(|(known, _)| known == name) {
            let all: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
            bail!("there is no fault {name}: choose from {}", all.join(", "));
        }
    }
    let is_asked = |name: &str| only.is_empty() || only.iter().any(|asked| asked == name);
    let mut table = String::from(
        "| fault | caught by | seed | after | found | the same run without it |\n|---|---|---|---|---|---|\n",
    );
    let (mut passed, mut failed) = (0, 0);
    for (fault, scenarios) in FAULTS.iter().filter(|(name, _)| is_asked(name)) {
        let caught = catch(runner, fault, scenarios, seed)?;
        let line = match &caught {
            Some(caught) => format!(
                "| {fault} | {} | {} | {} s | {} | {} |\n",
                caught.scenario,
                caught.seed,
                caught.took.as_secs(),
                caught.findings,
                caught.control.told()
            ),
            None => format!(
                "| {fault} | NOT CAUGHT by {} | | | | |\n",
                scenarios.join(", ")
            ),
        };
        table.push_str(&line);
        match caught {
            Some(caught) if caught.control == Status::Valid => passed += 1,
            _ => failed += 1,
        }
    }
    print(&table)?;
    Ok((passed, failed))
}

/// The first run that catches the fault.
fn catch(
    runner: &Runner,
    fault: &'static str,
    scenarios: &[&'static str],
    seed: u64,
) -> Result<Option<Caught>> {
    for scenario in scenarios {
        for seed in seed..seed.saturating_add(TRIES) {
            eprintln!("{fault}: {scenario}, seed {seed}");
            let run = |fault| {
                runner.run(&Run {
                    scenario,
                    seed,
                    fault,
                })
            };
            let ended = run(Some(fault))?;
            if ended.status != Status::Violated {
                continue;
            }
            eprintln!("{fault}: the same without it");
            return Ok(Some(Caught {
                scenario,
                seed,
                findings: ended.findings,
                took: ended.took,
                control: run(None)?.status,
            }));
        }
    }
    Ok(None)
}

//! What can be done to a cluster: each scenario starts one, loads it, breaks it and has the history
//! judged.

mod catalog;
mod kill_all_stores;
mod plane_kills;

pub(crate) use catalog::{FORTY, find as find_entry};

use std::fmt::Write as _;
use std::path::PathBuf;
use std::pin::Pin;

use anyhow::Result;

use crate::check::{self, Judgement, Options, Pauses, Verdict, Workload};
use crate::history::{self, History};
use crate::show;

/// A run that gives its history.
type Running = Pin<Box<dyn Future<Output = Result<History>>>>;

/// Something that can be run by name.
pub struct Scenario {
    /// As `--scenario` takes it.
    pub name: &'static str,
    /// One line.
    pub what: &'static str,
    run: fn(PathBuf) -> Running,
}

const ALL: &[Scenario] = &[
    Scenario {
        name: "kill-all-stores",
        what: "kill -9 of every member of the store at once, again and again, under writes",
        run: |binary| Box::pin(kill_all_stores::run(binary)),
    },
    Scenario {
        name: "plane-kills",
        what: "kill -9 of each leading part of the plane in turn, under writers, a watcher and probes",
        run: |binary| Box::pin(plane_kills::run(binary)),
    },
];

/// Every scenario.
pub fn all() -> &'static [Scenario] {
    ALL
}

/// The scenario called `name`.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Runs it on clusters started by `binary`.
    pub async fn run(&self, binary: PathBuf) -> Result<Report> {
        let history = (self.run)(binary).await?;
        Ok(Report::of(history))
    }
}

/// What came of a run.
pub struct Report {
    /// What its clients saw.
    pub history: History,
    pub(crate) judgement: Judgement,
    pauses: Pauses,
}

impl Report {
    fn of(history: History) -> Self {
        let events = history.events();
        let options = Options {
            workload: Some(Workload::Puts),
            ..Options::default()
        };
        let ops = history::pair(&events).unwrap_or_default();
        Self {
            judgement: check::judge(&events, options),
            pauses: check::pauses(&events, &ops),
            history,
        }
    }

    /// What the history proves.
    pub fn verdict(&self) -> &Verdict {
        &self.judgement.verdict
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let faults = self.pauses.writes.len();
        let _ = writeln!(text, "{faults:>5} times kill");
        for (fault, ms) in &self.pauses.writes {
            let _ = writeln!(text, "{fault:<40} longest pause of writes {ms:>6} ms");
        }
        for (component, ms) in &self.pauses.reactions {
            let _ = writeln!(text, "{component:<40} longest reaction        {ms:>6} ms");
        }
        text.push_str(&show::text(&self.judgement));
        text
    }
}

/// Reads the final state, and waits until the watcher has seen as much as there is.
async fn settle(history: &History, read_final: impl AsyncFn() -> Result<usize>) -> Result<()> {
    let count = read_final().await?;
    // A watcher that misses something never gets there: the checker says what it missed.
    let _ = testkit::poll(20, "the watcher to see everything", async || {
        let seen = history.count(|event| event.f == "seen");
        if seen >= count {
            Ok(())
        } else {
            Err(format!("{seen} of {count}"))
        }
    })
    .await;
    Ok(())
}

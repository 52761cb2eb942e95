//! The folder of a report: what was run, what its clients saw, what members said, and one page.

use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{Outcome, Spec};
use crate::{history, report};

const FILE: &str = "run.json";
const VERSION: u32 = 1;
/// No run's description is longer.
const BYTES_MAX: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Recorded {
    version: u32,
    /// For people; `replay` goes by the rest.
    command: String,
    run: Spec,
}

/// Writes everything.
pub(crate) fn write(folder: &Path, spec: &Spec, outcome: &Outcome) -> Result<()> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("create {shown}"))?;
    let recorded = Recorded {
        version: VERSION,
        command: spec.command(),
        run: spec.clone(),
    };
    let text = serde_json::to_string_pretty(&recorded).context("describe the run")?;
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    put(FILE, &text)?;
    put("members.log", &outcome.logs)?;
    let page = report::page(&spec.command(), &outcome.events, &outcome.judgement);
    put("index.html", &page)?;
    let open = |name: &str| {
        let path = folder.join(name);
        let file = File::create(&path).with_context(|| format!("create {}", path.display()));
        file.map(BufWriter::new)
    };
    history::write_edn(&outcome.events, &mut open("history.edn")?)?;
    history::write_json(&outcome.events, &mut open("history.jsonl")?)?;
    Ok(())
}

/// What was run.
pub(crate) fn read(folder: &Path) -> Result<Spec> {
    let path = folder.join(FILE);
    let shown = path.display();
    let file = File::open(&path).with_context(|| {
        format!("open {shown}: `replay` takes a folder that `run --report` wrote")
    })?;
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("read {shown}"))?;
    let recorded: Recorded =
        serde_json::from_str(&text).with_context(|| format!("read {shown}"))?;
    ensure!(
        recorded.version == VERSION,
        "{shown} has version {}, and this build reads version {VERSION}",
        recorded.version
    );
    Ok(recorded.run)
}

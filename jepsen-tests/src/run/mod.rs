//! One run: a cluster, a workload, faults, and the judgement of what came of it.

mod agree;
mod folder;
mod probe;
mod spec;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};

pub(crate) use folder::{read as read_folder, write as write_folder};
pub use spec::{Spec, usual_network};

use crate::check::{self, Finding, Findings, Judgement, Options, Verdict, Workload};
use crate::history::{Event, History};
use crate::nemesis::{self, Injected, Nemesis};
use crate::target::{ClockLibrary, Pki, Target, has_boots};
use crate::workload;

/// After the last fault the clients go on for so long, so that the history shows the recovery.
const CALM: Duration = Duration::from_secs(2);
const PROBES_END: Duration = Duration::from_secs(5);

/// What came of a run.
pub struct Outcome {
    /// What its clients saw.
    pub events: Vec<Event>,
    /// What that proves.
    pub judgement: Judgement,
    /// How often each fault was done.
    pub injected: Injected,
    /// What the members said, by time.
    pub logs: String,
    /// The longest time in milliseconds that nobody was served though a majority was there, and for
    /// how long that was looked at; nothing where it was not.
    pub pause_ms: Option<(i64, i64)>,
}

/// Runs it. `binary` is the one with our store. An error means that there is nothing to judge.
pub async fn run(spec: &Spec, binary: PathBuf) -> Result<Outcome> {
    spec.check()?;
    let clock = match spec.nemesis.contains(&Nemesis::Clock) {
        true => Some(ClockLibrary::build()?),
        false => None,
    };
    let target = match spec.target.program(binary)? {
        Some(mut program) => {
            program.flags = spec.flags();
            if spec.workload == Workload::Tls {
                program.pki = Some(Arc::new(Pki::new()?));
            }
            program.boots = (clock.is_some() && has_boots()).then_some(spec.seed);
            program.clock = clock.as_ref().map(|library| library.path.clone());
            Target::start(program, spec.members, spec.disks(), spec.network).await?
        }
        None => Target::others(&spec.endpoints)?,
    };
    let target = Arc::new(target);
    let outcome = run_on(spec, &target).await;
    if let Some(cluster) = &target.cluster {
        let logs = cluster.logs();
        cluster.end().await;
        return outcome.map(|mut outcome| {
            judge_snapshots(spec, &logs, &mut outcome.judgement);
            Outcome { logs, ..outcome }
        });
    }
    outcome
}

/// A run that was to need snapshots proves nothing of them if none was sent.
fn judge_snapshots(spec: &Spec, logs: &str, judgement: &mut Judgement) {
    let is_wanted = spec.nemesis.iter().any(|nemesis| nemesis.needs_snapshots());
    // What ours says, and what etcd says.
    let is_sent = ["received a snapshot", "applied snapshot"]
        .iter()
        .any(|said| logs.contains(said));
    if is_wanted && !is_sent && judgement.verdict == Verdict::Valid {
        let why = "no member needed a snapshot: give it more --time".to_owned();
        judgement.verdict = Verdict::Unknown(why);
    }
}

async fn run_on(spec: &Spec, target: &Arc<Target>) -> Result<Outcome> {
    let history = History::default();
    let clients = workload::start(spec.workload, target, spec.seed, &history).await?;
    let probes = spec
        .is_probed()
        .then(|| probe::start(&target.urls, &history));
    let faults = nemesis::start(&spec.nemesis, target, spec.seed, &history);
    sleep_until(Instant::now() + Duration::from_secs(spec.time_s)).await;
    let injected = faults.end().await?;
    let mut found = Findings::default();
    let recovered = recover(spec, target, &history).await;
    let urls = match recovered {
        Ok(urls) => urls,
        Err(error) => {
            let what = format!("the cluster did not come back after the last fault: {error:#}");
            add(&mut found, "no-recovery", what);
            target.urls.clone()
        }
    };
    tokio::time::sleep(CALM).await;
    let availability = match &probes {
        Some(probes) => {
            probes.shutdown(PROBES_END).await;
            Some(check::availability(&history.events()))
        }
        None => None,
    };
    let finished = match found.is_empty() {
        true => match clients.finish(target, urls).await {
            Ok(urls) => {
                agree::check(target, &urls, &mut found).await;
                Ok(())
            }
            Err(error) => Err(error),
        },
        false => Ok(()),
    };
    deaths(spec, target, &mut found);
    let pause_ms = availability.map(|seen| {
        found.extend(seen.found);
        (seen.pause_ms_max, seen.judged_ms)
    });
    let events = history.events();
    let options = Options {
        workload: Some(spec.workload),
        ..Options::default()
    };
    let judgement = conclude(check::judge(&events, options), found, &injected, finished);
    Ok(Outcome {
        events,
        judgement,
        injected,
        logs: String::new(),
        pause_ms,
    })
}

fn add(found: &mut Findings, anomaly: &'static str, what: String) {
    found.add(anomaly, || Finding::new(anomaly, what, &[]));
}

/// Undoes everything that may be left, and waits. The members that answer again.
async fn recover(spec: &Spec, target: &Target, history: &History) -> Result<Vec<String>> {
    let Some(cluster) = &target.cluster else {
        return Ok(target.urls.clone());
    };
    cluster.mend().await?;
    if spec.nemesis.contains(&Nemesis::Membership) {
        nemesis::restore_members(cluster).await?;
    }
    history.note("harness", "mended", crate::edn::Value::Nil);
    if !spec.nemesis.iter().any(|nemesis| nemesis.harms_files()) {
        cluster.wait_ready().await?;
        return Ok(target.urls.clone());
    }
    // The last member's files were harmed: it may stay out.
    let others: Vec<String> = target.urls.iter().take(spec.members - 1).cloned().collect();
    for url in &others {
        testkit::poll(60, "an answer", async || crate::wire::probe(url).await).await?;
    }
    let harmed = target.urls.last().context("no member")?;
    let back = testkit::poll(15, "an answer", async || crate::wire::probe(harmed).await).await;
    Ok(if back.is_ok() {
        target.urls.clone()
    } else {
        others
    })
}

/// A member that ends though nobody told it to has failed, unless its files were harmed.
fn deaths(spec: &Spec, target: &Target, found: &mut Findings) {
    let members = target.cluster.iter().flat_map(|cluster| cluster.members());
    let may_end = spec.nemesis.iter().any(|nemesis| nemesis.harms_files());
    for (number, member) in members.enumerate() {
        if may_end && number + 1 == spec.members {
            continue;
        }
        for death in member.deaths() {
            add(found, "member-ended", death);
        }
    }
}

/// What the history proves, together with what was seen of the cluster. A run that did not do
/// what it was asked for proves nothing, unless it broke something all the same.
fn conclude(
    mut judgement: Judgement,
    found: Findings,
    injected: &Injected,
    finished: Result<()>,
) -> Judgement {
    let idle: Vec<&str> = injected
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(name, _)| *name)
        .collect();
    judgement.verdict = match judgement.verdict {
        Verdict::Violated(mut broken) => {
            broken.extend(found);
            Verdict::Violated(broken)
        }
        _ if !found.is_empty() => Verdict::Violated(found),
        Verdict::Unknown(why) => Verdict::Unknown(why),
        Verdict::Valid => match finished {
            Err(error) => Verdict::Unknown(format!("the last reads failed: {error:#}")),
            Ok(()) if !idle.is_empty() => Verdict::Unknown(format!(
                "nothing was injected by {}: give it more --time",
                idle.join(", ")
            )),
            Ok(()) => Verdict::Valid,
        },
    };
    judgement
}

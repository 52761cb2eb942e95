//! `keelson status|down|restart|kill|pause|resume`: steering a cluster that was started before.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::options::Target;
use super::process::Process;
use super::ready::Ready;
use super::spec::{Component, Kind, Spec};
use super::{real_node, show, status};

/// How long a container runtime that is started again may take to be ready.
const RUNTIME_TIME_MAX: Duration = Duration::from_secs(60);

/// What to do to the chosen components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// SIGTERM, then SIGKILL.
    Down,
    /// Down and up again.
    Restart,
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    Resume,
}

/// Does `act` to the components that `target` names; ending goes in the reverse order of starting.
pub(crate) fn act(act: Act, target: &Target) -> Result<()> {
    let dir = folder(&target.data_dir)?;
    let spec = Spec::require(&dir)?;
    let chosen = spec.select(target.name.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match act {
        Act::Down => runtime.block_on(down(&dir, &spec, &chosen)),
        Act::Restart => runtime.block_on(restart(&dir, &spec, &chosen)),
        // All at once: what is killed together must not have time to notice.
        Act::Kill => {
            for component in &chosen {
                Process::of(&dir, component).signal(Signal::KILL)?;
            }
            chosen
                .iter()
                .try_for_each(|component| Process::of(&dir, component).kill())
        }
        Act::Pause => signal(&dir, &chosen, Signal::STOP),
        Act::Resume => signal(&dir, &chosen, Signal::CONT),
    }
}

/// Ends components, the last started first. If that is the whole cluster, its pods end too, and its
/// network: they outlive the runtime, but nothing of a cluster that is down may run.
pub(crate) async fn down(dir: &Path, spec: &Spec, chosen: &[&Component]) -> Result<()> {
    let is_whole = chosen.len() == spec.components.len();
    let mut outcome = Ok(());
    for component in chosen.iter().rev() {
        let ended = match component.kind {
            Kind::Runtime if is_whole => real_node::end(dir, spec, component).await,
            _ => Process::of(dir, component).stop(),
        };
        // One that does not end must not keep the others running.
        outcome = outcome.and(ended.with_context(|| format!("stop {}", component.name)));
    }
    outcome
}

/// Ends components and starts them in order. Pods go on meanwhile: the runtime finds them again.
async fn restart(dir: &Path, spec: &Spec, chosen: &[&Component]) -> Result<()> {
    for component in chosen.iter().rev() {
        let stopped = Process::of(dir, component).stop();
        stopped.with_context(|| format!("stop {}", component.name))?;
    }
    for component in chosen {
        if component.kind == Kind::Runtime {
            let ready = Ready::within(dir, spec, RUNTIME_TIME_MAX);
            real_node::start(dir, spec, &ready).await?;
        } else {
            Process::of(dir, component).start(component)?;
        }
    }
    Ok(())
}

fn signal(dir: &Path, components: &[&Component], signal: Signal) -> Result<()> {
    for component in components {
        if !Process::of(dir, component).signal(signal)? {
            bail!(
                "{} is not running; `keelson restart {}` starts it",
                component.name,
                component.name
            );
        }
    }
    Ok(())
}

/// The status as a table, or as JSON for scripts.
pub(crate) async fn report(target: &Target, as_json: bool) -> Result<String> {
    let dir = folder(&target.data_dir)?;
    let spec = Spec::require(&dir)?;
    let chosen: Vec<String> = spec
        .select(target.name.as_deref())?
        .into_iter()
        .map(|c| c.name.clone())
        .collect();
    let mut rows = status::look(&dir, &spec).await;
    rows.retain(|row| chosen.contains(&row.name));
    if as_json {
        Ok(serde_json::to_string_pretty(&rows)?)
    } else {
        Ok(show::table(&rows))
    }
}

fn folder(dir: &Path) -> Result<std::path::PathBuf> {
    dir.canonicalize()
        .with_context(|| format!("the folder {} cannot be read", dir.display()))
}

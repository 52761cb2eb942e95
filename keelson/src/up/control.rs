//! `keelson status|down|restart|kill|pause|resume`: steering a cluster that was started before.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::options::Target;
use super::process::Process;
use super::spec::{Component, Spec};
use super::{show, status};

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
    match act {
        Act::Down => down(&dir, &chosen),
        Act::Restart => {
            down(&dir, &chosen)?;
            chosen
                .iter()
                .try_for_each(|component| Process::of(&dir, component).start(component))
        }
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

/// Ends components, the last started first.
pub(crate) fn down(dir: &Path, components: &[&Component]) -> Result<()> {
    for component in components.iter().rev() {
        Process::of(dir, component)
            .stop()
            .with_context(|| format!("stop {}", component.name))?;
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

//! When which fault was on, from what the nemesis noted.
//!
//! Jepsen's nemeses name what they begin and end (`:start-partition`, `:stop-partition`), or do a
//! thing and undo it (`:kill`, `:start`; `:pause`, `:resume`); ours do the latter too.

use crate::edn::Value;
use crate::history::{Event, Process};

/// A fault, from its beginning to its end in the history's positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) name: String,
    /// Position of the event that began it.
    pub(super) from: usize,
    /// Position of the event that ended it; none if nothing did.
    pub(super) to: Option<usize>,
}

/// What undoes a fault of another name.
const UNDONE_BY: [(&str, &[&str]); 6] = [
    ("kill", &["start", "restart"]),
    ("pause", &["resume"]),
    ("partition", &["heal", "recover"]),
    ("bump", &["reset"]),
    ("strobe", &["reset"]),
    ("skew", &["reset"]),
];

/// All faults, in their order.
pub(super) fn faults(events: &[Event]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if event.process != Process::Named("nemesis".into()) {
            continue;
        }
        let f = event.f.as_str();
        if let Some(undone) = undone(f) {
            let is_open =
                |fault: &&mut Fault| fault.to.is_none() && undone.contains(&base(&fault.name));
            faults
                .iter_mut()
                .filter(is_open)
                .for_each(|fault| fault.to = Some(at));
            continue;
        }
        // Jepsen notes a nemesis' operation when it begins and again when it is done.
        let is_on = |fault: &Fault| fault.to.is_none() && base(&fault.name) == begun(f);
        let is_repeated = faults.iter().any(is_on) && !is_told(event);
        if !is_repeated {
            faults.push(Fault {
                name: name(event),
                from: at,
                to: None,
            });
        }
    }
    faults
}

/// The faults that an operation of this name ends; nothing if it begins one.
fn undone(f: &str) -> Option<Vec<&str>> {
    if let Some(what) = f.strip_prefix("stop-").or_else(|| f.strip_prefix("heal-")) {
        return Some(vec![what]);
    }
    let undone: Vec<&str> = UNDONE_BY
        .iter()
        .filter(|(_, by)| by.contains(&f))
        .map(|(what, _)| *what)
        .collect();
    (!undone.is_empty()).then_some(undone)
}

fn begun(f: &str) -> &str {
    f.strip_prefix("start-").unwrap_or(f)
}

/// The name without whom it was done to.
fn base(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(base, _)| base)
}

/// Whether the event itself says to whom: ours do, and are noted once each.
fn is_told(event: &Event) -> bool {
    matches!(&event.value, Value::Text(to) if !to.is_empty())
}

fn name(event: &Event) -> String {
    match &event.value {
        Value::Text(to) if !to.is_empty() => format!("{} {to}", begun(&event.f)),
        _ => begun(&event.f).to_owned(),
    }
}

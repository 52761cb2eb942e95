//! Certificates: whoever has a good one is let in, on new connections and on old ones, whatever others
//! do; whoever has none, an old one, one of another authority or one that was revoked is not; and
//! nobody trusts members whose certificate has ended, since the new one counts at once.
//!
//! `:dial who` is a new connection with one request, `:old` a request on one that was there before.
//! The nemesis says what happens to certificates.

use std::collections::BTreeMap;

use super::{Error, Finding, Findings};
use crate::edn::Value;
use crate::history::{Event, Kind, Op, Process};

const REVOKED: &str = "revocation of ";
const ENDED: &str = "a certificate that has ended";
/// A file is there so soon after it is said that it will be.
const WRITTEN_NS: i64 = 1_000_000_000;

/// When something began and ended, as lines and as times; at its end it was certainly there.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: usize,
    from_ns: i64,
    to: usize,
}

/// Every broken promise.
pub(super) fn check(events: &[Event], ops: &[Op<'_>]) -> Result<Findings, Error> {
    let mut found = Findings::default();
    let mut revoked: BTreeMap<String, Window> = BTreeMap::new();
    let mut ended: Vec<Window> = Vec::new();
    for (told, window) in windows(events) {
        if let Some(who) = told.strip_prefix(REVOKED) {
            revoked.entry(who.to_owned()).or_insert(window);
        } else if told == ENDED {
            ended.push(window);
        }
    }
    let (mut good, mut bad) = (0, 0);
    for op in ops {
        let is_ok = op.kind == Kind::Ok;
        let may_fail = ended
            .iter()
            .any(|window| begin(op) < window.to && end(op) > window.from);
        match (op.f(), &op.invoked.value) {
            ("old", _) if !is_ok => {
                let what = "a connection that was there before is of no use any more";
                found.add("old-connection-lost", || {
                    Finding::new("old-connection-lost", what, &[op])
                });
            }
            ("old", _) => {}
            ("dial", Value::Text(who)) => {
                good += usize::from(is_ok);
                bad += usize::from(!is_ok);
                let right = Right::of(who, revoked.get(who), op);
                check_dial(op, right, may_fail, &mut found);
                check_ended(op, &ended, &mut found);
            }
            _ => return Err(Error::shape(op, "who dials")),
        }
    }
    if good == 0 || bad == 0 {
        return Err(Error::Nothing("nobody was let in, or nobody was not"));
    }
    Ok(found)
}

/// Whether somebody is to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Has,
    Lacks,
    /// Just being taken.
    Unclear,
}

impl Right {
    fn of(who: &str, revoked: Option<&Window>, op: &Op<'_>) -> Self {
        match (who, revoked) {
            ("expired" | "stranger" | "nobody", _) => Self::Lacks,
            (_, Some(window)) if begin(op) > window.to => Self::Lacks,
            (_, Some(window)) if end(op) > window.from => Self::Unclear,
            _ => Self::Has,
        }
    }
}

fn begin(op: &Op<'_>) -> usize {
    op.invoked.line
}

fn end(op: &Op<'_>) -> usize {
    op.completed.map_or(usize::MAX, |event| event.line)
}

fn check_dial(op: &Op<'_>, right: Right, may_fail: bool, found: &mut Findings) {
    let (anomaly, what) = match (right, op.kind == Kind::Ok) {
        (Right::Has, false) if !may_fail => (
            "refused-good",
            "was not let in with a good certificate".to_owned(),
        ),
        (Right::Lacks, true) => ("let-in", "was let in without the right to be".to_owned()),
        _ => return,
    };
    found.add(anomaly, || Finding::new(anomaly, what, &[op]));
}

/// Whoever is let in while the members' certificate has ended was shown another.
fn check_ended(op: &Op<'_>, ended: &[Window], found: &mut Findings) {
    let at = op.invoked.time_ns.unwrap_or(0);
    let is_in =
        |window: &Window| at > window.from_ns.saturating_add(WRITTEN_NS) && end(op) < window.to;
    if op.kind == Kind::Ok && ended.iter().any(is_in) {
        let what = "trusts members whose certificate has ended: they do not show it";
        found.add("old-certificate", || {
            Finding::new("old-certificate", what, &[op])
        });
    }
}

/// What was done to certificates, and when.
fn windows(events: &[Event]) -> Vec<(String, Window)> {
    let mut windows = Vec::new();
    let mut open: Option<(usize, i64)> = None;
    for event in events {
        if event.process != Process::Named("nemesis".to_owned()) {
            continue;
        }
        let Value::Text(told) = &event.value else {
            continue;
        };
        match (event.f.as_str(), open) {
            ("start-certificates", _) => open = Some((event.line, event.time_ns.unwrap_or(0))),
            ("stop-certificates", Some((from, from_ns))) => {
                let to = event.line;
                windows.push((told.clone(), Window { from, from_ns, to }));
                open = None;
            }
            _ => {}
        }
    }
    windows
}

//! Whether the cluster served as long as a majority of its members could: somebody is served again
//! within three elections after a fault that leaves a majority, and at any time when there is none.
//!
//! Somebody who asks each member again and again notes `:served member`. Faults are what the nemesis
//! notes; while more than one is active, or one that leaves no majority for certain, nothing is
//! judged, and after it nothing until somebody was served again.

use std::collections::BTreeSet;

use super::{Finding, Findings};
use crate::history::{Event, Process};

/// What is noted for each answer.
pub(crate) const SERVED: &str = "served";

const MS_NS: i64 = 1_000_000;
/// Three elections of a second each.
const WITHIN_MS: i64 = 3_000;
/// A leader that is cut off in one direction alone first has to find that out, and so do those who
/// hear of it; in a ring and at a bridge candidates meet.
const HALF_CUT_WITHIN_MS: i64 = 5_000;
/// How often members are asked, how long an answer may take, and a slow machine.
const SLACK_MS: i64 = 1_500;

/// What was seen of it.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// The longest time that nobody was served though a majority was there.
    pub(crate) pause_ms_max: i64,
    /// For how long that was judged.
    pub(crate) judged_ms: i64,
    pub(crate) found: Findings,
}

/// Judges it from what was noted.
pub(crate) fn availability(events: &[Event]) -> Availability {
    let mut watch = Watch {
        seen: Availability::default(),
        active: BTreeSet::new(),
        since: None,
        within_ms: WITHIN_MS,
    };
    for event in events {
        let (Process::Named(name), Some(at)) = (&event.process, event.time_ns) else {
            continue;
        };
        match (name.as_str(), event.f.as_str()) {
            (_, SERVED) => watch.served(at),
            ("nemesis", f) => watch.fault(f, &event.value.to_string(), at),
            // At the end members are asked no more.
            ("harness", _) => break,
            _ => {}
        }
    }
    watch.seen
}

struct Watch {
    seen: Availability,
    active: BTreeSet<String>,
    /// The last moment from which on somebody should have been served; none while nothing is judged.
    since: Option<i64>,
    within_ms: i64,
}

impl Watch {
    fn served(&mut self, at: i64) {
        self.pause_ends(at);
        let is_judged = self.active.len() <= 1 && !self.active.contains("");
        self.since = is_judged.then_some(at);
    }

    /// A time that was judged ends now.
    fn pause_ends(&mut self, at: i64) {
        let Some(since) = self.since else { return };
        let ms = (at - since) / MS_NS;
        self.seen.judged_ms += ms;
        self.seen.pause_ms_max = self.seen.pause_ms_max.max(ms);
        if ms > self.within_ms + SLACK_MS {
            let active: Vec<&str> = self.active.iter().map(String::as_str).collect();
            let under = match active[..] {
                [] => "no fault".to_owned(),
                _ => active.join(", "),
            };
            let what = format!(
                "nobody was served for {ms} ms, from {} s on, though a majority was there (under {under})",
                since / MS_NS / 1_000
            );
            self.seen
                .found
                .add("unavailable", || Finding::new("unavailable", what, &[]));
        }
    }

    fn fault(&mut self, f: &str, told: &str, at: i64) {
        let is_quick = self
            .since
            .is_none_or(|since| (at - since) / MS_NS <= self.within_ms + SLACK_MS);
        // A longer pause is told when it ends, or now.
        if !is_quick {
            self.pause_ends(at);
        }
        if let Some(name) = f.strip_prefix("start-") {
            if !leaves_majority(name, told) {
                self.active.insert(String::new());
            }
            self.active.insert(name.to_owned());
            let is_half_cut = ["one way", "ring", "bridge"];
            self.within_ms = match is_half_cut.iter().any(|cut| told.contains(cut)) {
                true => HALF_CUT_WITHIN_MS,
                false => WITHIN_MS,
            };
        } else if let Some(name) = f.strip_prefix("stop-") {
            self.active.remove(name);
            if self.active.len() == 1 && self.active.contains("") {
                self.active.clear();
            }
        }
        let is_judged = self.active.len() <= 1 && !self.active.contains("");
        // The time within which there must be an answer begins anew with each fault and its end.
        self.since = match (is_judged, self.since) {
            (true, Some(_)) => Some(at),
            _ => None,
        };
    }
}

/// Whether a fault leaves a majority of members running and in touch with each other.
fn leaves_majority(name: &str, told: &str) -> bool {
    let told = told.trim_start_matches('"');
    match name {
        "partition" => !told.contains("flapping"),
        "kill" | "pause" => ["the leader", "one", "a minority"]
            .iter()
            .any(|who| told.starts_with(who)),
        "restart" | "compact" | "defrag" | "clock" | "lag" => true,
        _ => false,
    }
}

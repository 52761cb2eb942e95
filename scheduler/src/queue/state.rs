//! The queue without its lock and its clock: every method is told the time.
//!
//! Invariant: a pod is in exactly one place; `entries` says which.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::framework::{EventSet, PodInfo};

/// The wait after the first failed try. Upstream's `podInitialBackoffSeconds`.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait. Upstream's `podMaxBackoffSeconds`.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A refused pod is tried again after this time even if nothing changed.
const UNSCHEDULABLE_MAX: Duration = Duration::from_secs(5 * 60);

/// The order of the active pods: rank, then arrival, then uid so that no two are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ActiveKey {
    rank: i64,
    since: Instant,
    uid: String,
}

#[derive(Clone, Debug)]
enum Place {
    Active(ActiveKey),
    Backoff(Instant),
    /// Refused, until one of the changes happens or the time has come.
    Unschedulable {
        until: Instant,
        wakes_on: EventSet,
    },
    /// Held back by a PreEnqueue plugin until the pod itself changes.
    Gated,
    /// Handed out; the changes that happened since are kept, because the try may not have seen them.
    InFlight {
        seen: EventSet,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    rank: i64,
    attempts: u32,
    place: Place,
}

/// A pod handed out to be scheduled.
#[derive(Clone, Debug)]
pub struct Popped {
    /// The pod.
    pub pod: Arc<PodInfo>,
    /// How many times it was tried, this one included.
    pub attempts: u32,
}

/// The queue. It is bounded by the pods that the api-server holds.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    entries: HashMap<String, Entry>,
    active: BTreeSet<ActiveKey>,
    backoff: BTreeSet<(Instant, String)>,
    /// Refused pods by the time at which they are tried anyway.
    unschedulable: BTreeSet<(Instant, String)>,
    in_flight: BTreeSet<String>,
}

/// Whether a PreEnqueue plugin holds the pod back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The pod may be tried.
    Open,
    /// The pod must not be tried.
    Closed,
}

impl QueueState {
    /// Takes a pod that is not assigned, new or changed.
    pub(super) fn set(&mut self, now: Instant, pod: Arc<PodInfo>, rank: i64, gate: Gate) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.entries.insert(
                uid.clone(),
                Entry {
                    pod,
                    rank,
                    attempts: 0,
                    place: Place::Gated,
                },
            );
            if gate == Gate::Open {
                self.activate(now, &uid);
            }
            return;
        };
        let changed = differs_for_scheduling(&entry.pod, &pod);
        (entry.pod, entry.rank) = (pod, rank);
        match (&mut entry.place, gate) {
            (Place::InFlight { seen }, _) if changed => *seen = *seen | EventSet::POD_UPDATE,
            (Place::InFlight { .. }, _) => {}
            (_, Gate::Closed) => self.displace(&uid, Place::Gated),
            (Place::Gated, Gate::Open) => self.activate(now, &uid),
            // The pod's own change may be what was missing.
            (Place::Unschedulable { .. }, Gate::Open) if changed => self.wake(now, &uid),
            (Place::Active(key), Gate::Open) if key.rank != rank => self.activate(now, &uid),
            _ => {}
        }
    }

    /// Drops a pod: it went away, or it is assigned.
    pub(super) fn remove(&mut self, uid: &str) {
        self.unlink(uid);
        self.entries.remove(uid);
    }

    /// The pod as it was last seen, if it is still waiting.
    pub(super) fn get(&self, uid: &str) -> Option<&Arc<PodInfo>> {
        self.entries.get(uid).map(|e| &e.pod)
    }

    /// Whether the pod is handed out.
    #[cfg(test)]
    pub(super) fn is_in_flight(&self, uid: &str) -> bool {
        self.in_flight.contains(uid)
    }

    /// The uids of all pods.
    pub(super) fn uids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Hands out the next pod.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Popped> {
        self.flush(now);
        let uid = self.active.first()?.uid.clone();
        self.displace(
            &uid,
            Place::InFlight {
                seen: EventSet::NONE,
            },
        );
        let entry = self.entries.get_mut(&uid)?;
        entry.attempts = entry.attempts.saturating_add(1);
        Some(Popped {
            pod: entry.pod.clone(),
            attempts: entry.attempts,
        })
    }

    /// Takes back a pod that could not be placed. It is tried again when one of `wakes_on` happens.
    pub(super) fn refused(&mut self, now: Instant, uid: &str, wakes_on: EventSet) {
        let Some(Entry {
            place: Place::InFlight { seen },
            ..
        }) = self.entries.get(uid)
        else {
            return;
        };
        // A change during the try counts: the try may have looked before it.
        if seen.intersects(wakes_on | EventSet::POD_UPDATE) {
            self.wake(now, uid);
        } else {
            self.displace(
                uid,
                Place::Unschedulable {
                    until: now + UNSCHEDULABLE_MAX,
                    wakes_on,
                },
            );
        }
    }

    /// Takes back a pod whose try failed for a reason that is not the pod's: it waits its backoff.
    pub(super) fn failed(&mut self, now: Instant, uid: &str) {
        if matches!(
            self.entries.get(uid),
            Some(Entry {
                place: Place::InFlight { .. },
                ..
            })
        ) {
            self.wake(now, uid);
        }
    }

    /// The cluster changed: the pods refused for what `event` can undo are tried again.
    pub(super) fn changed(&mut self, now: Instant, event: EventSet) {
        for uid in &self.in_flight {
            if let Some(Entry {
                place: Place::InFlight { seen },
                ..
            }) = self.entries.get_mut(uid)
            {
                *seen = *seen | event;
            }
        }
        let concerned = |uid: &&String| match self.entries.get(*uid).map(|e| &e.place) {
            Some(Place::Unschedulable { wakes_on, .. }) => wakes_on.intersects(event),
            _ => false,
        };
        let refused = self.unschedulable.iter().map(|(_, uid)| uid);
        let woken: Vec<String> = refused.filter(concerned).cloned().collect();
        for uid in woken {
            self.wake(now, &uid);
        }
    }

    /// When [`QueueState::pop`] may next have a pod to hand out, if nothing else happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let firsts = [self.backoff.first(), self.unschedulable.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    fn flush(&mut self, now: Instant) {
        let due = |set: &BTreeSet<(Instant, String)>| {
            set.iter()
                .take_while(|(at, _)| *at <= now)
                .map(|(_, uid)| uid.clone())
                .collect::<Vec<_>>()
        };
        for uid in due(&self.backoff)
            .into_iter()
            .chain(due(&self.unschedulable))
        {
            self.activate(now, &uid);
        }
    }

    /// Makes a refused pod wait the rest of its backoff, then be tried.
    fn wake(&mut self, now: Instant, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        let due = now + backoff(entry.attempts);
        let due = match entry.place {
            // The backoff runs from the refusal, of which `until` keeps the time.
            Place::Unschedulable { until, .. } => due
                .checked_sub(now + UNSCHEDULABLE_MAX - until)
                .unwrap_or(due),
            _ => due,
        };
        match due.cmp(&now) {
            Ordering::Greater => self.displace(uid, Place::Backoff(due)),
            _ => self.activate(now, uid),
        }
    }

    fn activate(&mut self, now: Instant, uid: &str) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        let since = match &entry.place {
            Place::Active(key) => key.since,
            _ => now,
        };
        let key = ActiveKey {
            rank: entry.rank,
            since,
            uid: uid.to_owned(),
        };
        self.displace(uid, Place::Active(key));
    }

    fn displace(&mut self, uid: &str, place: Place) {
        self.unlink(uid);
        match &place {
            Place::Active(key) => _ = self.active.insert(key.clone()),
            Place::Backoff(at) => _ = self.backoff.insert((*at, uid.to_owned())),
            Place::Unschedulable { until, .. } => {
                _ = self.unschedulable.insert((*until, uid.to_owned()))
            }
            Place::InFlight { .. } => _ = self.in_flight.insert(uid.to_owned()),
            Place::Gated => {}
        }
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.place = place;
        }
    }

    fn unlink(&mut self, uid: &str) {
        match self.entries.get(uid).map(|e| &e.place) {
            Some(Place::Active(key)) => _ = self.active.remove(key),
            Some(Place::Backoff(at)) => _ = self.backoff.remove(&(*at, uid.to_owned())),
            Some(Place::Unschedulable { until, .. }) => {
                _ = self.unschedulable.remove(&(*until, uid.to_owned()));
            }
            Some(Place::InFlight { .. }) => _ = self.in_flight.remove(uid),
            Some(Place::Gated) | None => {}
        }
    }
}

/// The wait after `attempts` failed tries.
fn backoff(attempts: u32) -> Duration {
    BACKOFF_FIRST
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(BACKOFF_MAX)
}

/// Whether a change of a pod can change where it fits. Its status is written by the scheduler
/// itself, and must not wake it.
fn differs_for_scheduling(old: &PodInfo, new: &PodInfo) -> bool {
    old.pod.spec != new.pod.spec
        || old.pod.metadata.labels != new.pod.metadata.labels
        || old.pod.metadata.annotations != new.pod.metadata.annotations
        || old.pod.metadata.deletion_timestamp != new.pod.metadata.deletion_timestamp
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Gate, QueueState};
    use crate::framework::EventSet;
    use crate::testing::pod_with_cpu;

    const SECOND: Duration = Duration::from_secs(1);

    fn add(queue: &mut QueueState, now: Instant, name: &str, rank: i64) -> String {
        let pod = pod_with_cpu(name, "1");
        let uid = pod.uid.clone();
        queue.set(now, pod, rank, Gate::Open);
        uid
    }

    fn pop(queue: &mut QueueState, now: Instant) -> Option<String> {
        queue.pop(now).map(|p| p.pod.name.clone())
    }

    #[test]
    fn hands_out_by_rank_then_arrival() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        add(&mut queue, now, "late", 0);
        add(&mut queue, now + SECOND, "later", 0);
        add(&mut queue, now + SECOND, "first", -5);
        let names: Vec<_> = std::iter::from_fn(|| pop(&mut queue, now)).collect();
        assert_eq!(names, ["first", "late", "later"]);
    }

    #[test]
    fn a_refused_pod_waits_for_the_change_that_helps() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        let uid = add(&mut queue, now, "p", 0);
        assert!(pop(&mut queue, now).is_some());
        queue.refused(now, &uid, EventSet::NODE_ADD);
        queue.changed(now + 5 * SECOND, EventSet::NODE_LABEL);
        assert_eq!(pop(&mut queue, now + 5 * SECOND), None);
        queue.changed(now + 6 * SECOND, EventSet::NODE_ADD);
        // The backoff of one second is over long since.
        assert_eq!(pop(&mut queue, now + 6 * SECOND).as_deref(), Some("p"));
    }

    #[test]
    fn a_change_during_the_try_is_not_lost() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        let uid = add(&mut queue, now, "p", 0);
        assert!(pop(&mut queue, now).is_some());
        queue.changed(now, EventSet::NODE_ADD);
        queue.refused(now, &uid, EventSet::NODE_ADD);
        assert_eq!(pop(&mut queue, now), None);
        assert_eq!(queue.next_due(), Some(now + SECOND));
        assert_eq!(pop(&mut queue, now + SECOND).as_deref(), Some("p"));
    }

    #[test]
    fn the_backoff_doubles_to_its_limit() {
        let (mut queue, mut now) = (QueueState::default(), Instant::now());
        let uid = add(&mut queue, now, "p", 0);
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert!(pop(&mut queue, now).is_some());
            queue.failed(now, &uid);
            assert_eq!(queue.next_due(), Some(now + seconds * SECOND));
            now += seconds * SECOND;
        }
    }

    #[test]
    fn a_refused_pod_is_tried_again_after_five_minutes() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        let uid = add(&mut queue, now, "p", 0);
        assert!(pop(&mut queue, now).is_some());
        queue.refused(now, &uid, EventSet::NONE);
        assert_eq!(pop(&mut queue, now + 299 * SECOND), None);
        assert!(pop(&mut queue, now + 300 * SECOND).is_some());
    }

    #[test]
    fn a_gated_pod_waits_for_its_gate() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        let pod = pod_with_cpu("p", "1");
        queue.set(now, pod.clone(), 0, Gate::Closed);
        queue.changed(now, EventSet::ALL);
        assert_eq!(pop(&mut queue, now), None);
        queue.set(now, pod, 0, Gate::Open);
        assert!(pop(&mut queue, now).is_some());
    }

    #[test]
    fn a_removed_pod_is_never_handed_out() {
        let (mut queue, now) = (QueueState::default(), Instant::now());
        let uid = add(&mut queue, now, "p", 0);
        queue.remove(&uid);
        assert_eq!(pop(&mut queue, now), None);
        queue.refused(now, &uid, EventSet::ALL);
        queue.failed(now, &uid);
        assert_eq!(queue.next_due(), None);
    }
}

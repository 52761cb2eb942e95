//! What a candidate does, given the lease it last saw: pure, no clock and no IO.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// What was last seen of the lease, and since when it has looked like that by our own clock.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) lease: Lease,
    pub(super) since: Instant,
}

impl Observed {
    /// Takes note of what the server answered; only a changed record restarts the wait.
    pub(super) fn update(current: Option<Self>, lease: Lease, now: Instant) -> Self {
        match current {
            Some(old) if old.lease.spec == lease.spec => Self {
                lease,
                since: old.since,
            },
            _ => Self { lease, since: now },
        }
    }
}

/// The name in the record; empty where nobody holds it.
pub(super) fn holder(lease: &Lease) -> &str {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Whether `identity` may write itself into the lease now. The holder's own clock plays no part: the record must
/// have stood unchanged for a whole lease duration by ours. The duration is the record's, as in client-go: its holder
/// may be configured otherwise than we are, and counts on its own. `default` stands in where the record names none.
pub(super) fn may_take(
    observed: &Observed,
    identity: &str,
    default: Duration,
    now: Instant,
) -> bool {
    let holder = holder(&observed.lease);
    let recorded = observed.lease.spec.as_ref().and_then(|spec| {
        let seconds = u64::try_from(spec.lease_duration_seconds?).ok()?;
        Some(Duration::from_secs(seconds))
    });
    holder.is_empty() || holder == identity || now >= observed.since + recorded.unwrap_or(default)
}

/// The record of `identity` as leader, following `old`.
pub(super) fn taken(
    old: Option<&LeaseSpec>,
    identity: &str,
    duration: Duration,
    now: MicroTime,
) -> LeaseSpec {
    let was_ours = old.is_some_and(|old| old.holder_identity.as_deref() == Some(identity));
    let transitions = old.and_then(|old| old.lease_transitions).unwrap_or(0);
    let acquired = old
        .and_then(|old| old.acquire_time.clone())
        .filter(|_| was_ours);
    let mut spec = old.cloned().unwrap_or_default();
    spec.holder_identity = Some(identity.to_owned());
    // Rounded up: others go by it, and must not come before we have stepped down.
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
    spec.acquire_time = Some(acquired.unwrap_or_else(|| now.clone()));
    spec.renew_time = Some(now);
    spec.lease_transitions = Some(if was_ours || old.is_none() {
        transitions
    } else {
        transitions.saturating_add(1)
    });
    spec
}

/// The record of a lease given up.
pub(super) fn released(old: &LeaseSpec, now: MicroTime) -> LeaseSpec {
    let mut spec = old.clone();
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.acquire_time = Some(now.clone());
    spec.renew_time = Some(now);
    spec
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::coordination::v1::Lease;
    use tokio::time::Instant;

    use super::{Observed, holder, may_take, released, taken};
    use crate::times::now_micro;

    const LEASE: Duration = Duration::from_secs(15);

    fn lease(spec: k8s_openapi::api::coordination::v1::LeaseSpec) -> Lease {
        Lease {
            spec: Some(spec),
            ..Lease::default()
        }
    }

    #[test]
    fn another_waits_a_whole_duration_by_its_own_clock() {
        let start = Instant::now();
        let seen = Observed::update(None, lease(taken(None, "a", LEASE, now_micro())), start);
        assert_eq!(holder(&seen.lease), "a");
        assert!(may_take(&seen, "a", LEASE, start));
        assert!(!may_take(
            &seen,
            "b",
            LEASE,
            start + Duration::from_secs(14)
        ));
        assert!(may_take(&seen, "b", LEASE, start + LEASE));
        // The same record seen again does not restart the wait; a renewed one does.
        let again = Observed::update(Some(seen.clone()), seen.lease.clone(), start + LEASE);
        assert!(may_take(&again, "b", LEASE, start + LEASE));
        let renewed = lease(taken(seen.lease.spec.as_ref(), "a", LEASE, now_micro()));
        let renewed = Observed::update(Some(again), renewed, start + LEASE);
        assert!(!may_take(&renewed, "b", LEASE, start + LEASE));
    }

    #[test]
    fn another_waits_for_the_duration_in_the_record() {
        let check = |recorded: Option<i32>, want_seconds: u64| {
            let mut spec = taken(None, "a", LEASE, now_micro());
            spec.lease_duration_seconds = recorded;
            let seen = Observed::update(None, lease(spec), Instant::now());
            let after = |seconds| seen.since + Duration::from_secs(seconds);
            assert!(!may_take(&seen, "b", LEASE, after(want_seconds - 1)));
            assert!(may_take(&seen, "b", LEASE, after(want_seconds)));
        };
        check(Some(60), 60);
        check(Some(5), 5);
        check(None, 15);
        let part = taken(None, "a", Duration::from_millis(1500), now_micro());
        assert_eq!(part.lease_duration_seconds, Some(2));
    }

    #[test]
    fn transitions_count_changes_of_holder() {
        let first = taken(None, "a", LEASE, now_micro());
        assert_eq!(first.lease_transitions, Some(0));
        let renewed = taken(Some(&first), "a", LEASE, now_micro());
        assert_eq!(renewed.lease_transitions, Some(0));
        assert_eq!(renewed.acquire_time, first.acquire_time);
        let second = taken(Some(&renewed), "b", LEASE, now_micro());
        assert_eq!(second.lease_transitions, Some(1));
        let free = released(&second, now_micro());
        assert_eq!(free.lease_transitions, Some(1));
        assert_eq!(free.lease_duration_seconds, Some(1));
        let seen = Observed::update(None, lease(free), Instant::now());
        assert!(may_take(&seen, "c", LEASE, seen.since));
    }
}

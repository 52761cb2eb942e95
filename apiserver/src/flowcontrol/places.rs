//! The places of each level, and what happens when they are all taken.

use std::sync::Arc;

use api_meta::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::level::{Asked, Level, Load};

/// When to come again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Upstream's shares of the default priority levels, of [`SHARES`] in all.
const LEADER_ELECTION_SHARES: usize = 10;
const NODE_HIGH_SHARES: usize = 40;
const SYSTEM_SHARES: usize = 30;
const WORKLOAD_HIGH_SHARES: usize = 40;
/// The shares of all levels, those of the workloads included (100, 20 and 5).
const SHARES: usize = 245;

const _: () = assert!(
    LEADER_ELECTION_SHARES + NODE_HIGH_SHARES + SYSTEM_SHARES + WORKLOAD_HIGH_SHARES + 125
        == SHARES
);

/// The places for requests in flight. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InFlight {
    leader_election: Arc<Semaphore>,
    node_high: Arc<Semaphore>,
    system: Arc<Semaphore>,
    workload_high: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _place: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// The two flags. Zero means no limit, as it does upstream, and then no level has one.
    pub fn new(reading_max: usize, writing_max: usize) -> Self {
        let places = |max: usize| {
            let max = if max == 0 { usize::MAX } else { max };
            Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)))
        };
        let is_limited = reading_max > 0 && writing_max > 0;
        let share = |shares: usize| {
            if !is_limited {
                return places(0);
            }
            let total = reading_max.saturating_add(writing_max);
            places((total.saturating_mul(shares) / SHARES).max(1))
        };
        Self {
            leader_election: share(LEADER_ELECTION_SHARES),
            node_high: share(NODE_HIGH_SHARES),
            system: share(SYSTEM_SHARES),
            workload_high: share(WORKLOAD_HIGH_SHARES),
            reading: places(reading_max),
            writing: places(writing_max),
        }
    }

    /// A place for the request, or 429 if all are taken that it may have.
    pub fn admit(&self, asked: &Asked<'_>) -> Result<Permit, Status> {
        let own = match Level::of(asked) {
            Level::Exempt => return Ok(Permit { _place: None }),
            Level::LeaderElection => Some(&self.leader_election),
            Level::NodeHigh => Some(&self.node_high),
            Level::System => Some(&self.system),
            Level::WorkloadHigh => Some(&self.workload_high),
            Level::Workload => None,
        };
        let shared = match asked.load {
            Load::Read => &self.reading,
            Load::Write | Load::Stream => &self.writing,
        };
        own.into_iter()
            .chain([shared])
            .find_map(|places| places.clone().try_acquire_owned().ok())
            .map(|place| Permit {
                _place: Some(place),
            })
            .ok_or_else(|| {
                Status::too_many_requests(
                    "Too many requests, please try again later.",
                    RETRY_AFTER_SECONDS,
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, InFlight, Load, Permit};
    use crate::authn::UserInfo;
    use crate::authn::user::NODES;

    /// Asks for a Lease, which is what decides on a leadership.
    fn admit(limits: &InFlight, user: &UserInfo, load: Load) -> Result<Permit, u16> {
        let asked = Asked {
            user,
            load,
            verb: if load == Load::Read { "get" } else { "update" },
            group: "coordination.k8s.io",
            resource: "leases",
            subresource: "",
            path: "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x",
        };
        limits.admit(&asked).map_err(|status| status.code)
    }

    fn node() -> UserInfo {
        UserInfo {
            groups: vec![NODES.to_owned()],
            ..UserInfo::default()
        }
    }

    fn scheduler() -> UserInfo {
        UserInfo {
            name: "system:kube-scheduler".to_owned(),
            ..UserInfo::default()
        }
    }

    #[test]
    fn a_full_house_refuses_all_but_masters_and_streams() {
        let limits = InFlight::new(2, 1);
        let user = UserInfo::default();
        let first = admit(&limits, &user, Load::Read).unwrap();
        let _second = admit(&limits, &user, Load::Read).unwrap();
        assert_eq!(admit(&limits, &user, Load::Read).unwrap_err(), 429);
        admit(&limits, &user, Load::Stream).unwrap();
        admit(&limits, &UserInfo::internal(), Load::Read).unwrap();
        // Writers have places of their own.
        let _writer = admit(&limits, &user, Load::Write).unwrap();
        assert_eq!(admit(&limits, &user, Load::Write).unwrap_err(), 429);
        drop(first);
        admit(&limits, &user, Load::Read).unwrap();
    }

    #[test]
    fn workloads_cannot_cost_a_leadership_or_a_heartbeat() {
        let limits = InFlight::new(400, 200);
        let user = UserInfo::default();
        let load = |load| std::iter::from_fn(move || Some(load));
        let held: Vec<Permit> = [Load::Read, Load::Write]
            .into_iter()
            .flat_map(|one| load(one).map_while(|load| admit(&limits, &user, load).ok()))
            .collect();
        assert_eq!(held.len(), 600);
        for (user, places) in [(scheduler(), 24), (node(), 97)] {
            let renewals = load(Load::Write).map_while(|load| admit(&limits, &user, load).ok());
            assert_eq!(renewals.collect::<Vec<_>>().len(), places);
        }
    }

    #[test]
    fn a_full_level_borrows_from_the_workloads_and_never_the_reverse() {
        let limits = InFlight::new(1, 1);
        let (user, node) = (UserInfo::default(), node());
        let _own = admit(&limits, &node, Load::Write).unwrap();
        let borrowed = admit(&limits, &node, Load::Write).unwrap();
        assert_eq!(admit(&limits, &node, Load::Write).unwrap_err(), 429);
        assert_eq!(admit(&limits, &user, Load::Write).unwrap_err(), 429);
        drop(borrowed);
        let _taken = admit(&limits, &user, Load::Write).unwrap();
        assert_eq!(admit(&limits, &user, Load::Write).unwrap_err(), 429);
    }

    #[test]
    fn without_a_limit_nobody_is_refused() {
        let limits = InFlight::new(0, 200);
        let held: Vec<_> = (0..1000)
            .map(|_| admit(&limits, &node(), Load::Write).unwrap())
            .collect();
        assert_eq!(held.len(), 1000);
    }
}

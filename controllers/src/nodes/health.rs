//! When each node was last heard of. Pure: the caller brings the clock.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// What a node writes to show that it lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pulse {
    /// The heartbeat of its Ready condition.
    pub(super) heartbeat: Option<Timestamp>,
    /// The renewal of its lease.
    pub(super) renewed: Option<Timestamp>,
}

/// The memory of all nodes. A new leader begins with an empty one: every node gets its whole grace again.
#[derive(Debug, Default)]
pub(super) struct Health {
    seen: HashMap<String, (Pulse, Instant)>,
}

impl Health {
    /// Takes note of a node's pulse; for how long it has not changed.
    pub(super) fn silence(&mut self, node: &str, pulse: Pulse, now: Instant) -> Duration {
        match self.seen.get(node) {
            Some((known, since)) if *known == pulse => now.duration_since(*since),
            _ => {
                self.seen.insert(node.to_owned(), (pulse, now));
                Duration::ZERO
            }
        }
    }

    /// Whether the node is known.
    pub(super) fn knows(&self, node: &str) -> bool {
        self.seen.contains_key(node)
    }

    /// The node is gone.
    pub(super) fn forget(&mut self, node: &str) -> bool {
        self.seen.remove(node).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::{Health, Pulse};

    #[test]
    fn any_change_is_a_sign_of_life() {
        let (mut health, start) = (Health::default(), Instant::now());
        let at = |second: i64| Pulse {
            heartbeat: None,
            renewed: Timestamp::from_second(second).ok(),
        };
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(health.silence("n", at(1), start), Duration::ZERO);
        assert_eq!(
            health.silence("n", at(1), after(30)),
            Duration::from_secs(30)
        );
        // The node's clock does not matter, only that it wrote.
        assert_eq!(health.silence("n", at(0), after(31)), Duration::ZERO);
        assert_eq!(
            health.silence("n", at(0), after(91)),
            Duration::from_secs(60)
        );
        assert!(health.forget("n"));
        assert!(!health.knows("n"));
    }
}

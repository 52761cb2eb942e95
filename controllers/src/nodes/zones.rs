//! How fast nodes of a zone may be given up: slower the more of it is silent, and not at all when every zone is, because
//! then it is likelier that we are the ones who are cut off. Pure: the caller brings the clock.

use std::collections::HashMap;

use tokio::time::Instant;

/// In a zone with at least this part of its nodes lost, and more than two, eviction slows down.
const UNHEALTHY_PART: f64 = 0.55;
/// Zones of up to this many nodes stop evicting then; larger ones go on slowly.
const LARGE_ZONE: usize = 50;
const SLOW_RATE: f64 = 0.01;

/// A zone's nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) ready: usize,
    pub(super) lost: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The pace of each zone.
#[derive(Debug)]
pub(super) struct Zones {
    rate: f64,
    buckets: HashMap<String, Bucket>,
}

impl Zones {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            buckets: HashMap::new(),
        }
    }

    /// Whether a node of the zone may be given up now; at most one at a time.
    pub(super) fn admit(
        &mut self,
        zone: &str,
        counts: &HashMap<String, Count>,
        now: Instant,
    ) -> bool {
        let rate = rate(self.rate, counts.get(zone).copied().unwrap_or_default());
        let bucket = self.buckets.entry(zone.to_owned()).or_insert(Bucket {
            tokens: 1.0,
            at: now,
        });
        bucket.tokens =
            (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * rate).min(1.0);
        bucket.at = now;
        if is_all_lost(counts) || rate <= 0.0 || bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

/// Whether no node anywhere is ready.
pub(super) fn is_all_lost(counts: &HashMap<String, Count>) -> bool {
    counts.values().all(|count| count.ready == 0)
}

fn rate(normal: f64, count: Count) -> f64 {
    let all = count.ready + count.lost;
    #[expect(clippy::cast_precision_loss, reason = "numbers of nodes are small")]
    let part = count.lost as f64 / all.max(1) as f64;
    if count.ready == 0 || count.lost <= 2 || part < UNHEALTHY_PART {
        normal
    } else if all > LARGE_ZONE {
        SLOW_RATE
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Count, Zones, rate};

    #[test]
    fn large_losses_slow_down() {
        let check = |ready, lost| rate(0.1, Count { ready, lost });
        assert_eq!(check(9, 1), 0.1);
        assert_eq!(check(1, 2), 0.1);
        assert_eq!(check(4, 6), 0.0);
        assert_eq!(check(40, 60), 0.01);
        // A zone that is lost wholly, while others are not, is given up at the normal pace.
        assert_eq!(check(0, 10), 0.1);
    }

    #[test]
    fn one_node_at_a_time_and_none_when_all_are_lost() {
        let (mut zones, start) = (Zones::new(0.1), Instant::now());
        let mut counts = HashMap::from([("a".to_owned(), Count { ready: 5, lost: 2 })]);
        assert!(zones.admit("a", &counts, start));
        assert!(!zones.admit("a", &counts, start + Duration::from_secs(5)));
        assert!(zones.admit("a", &counts, start + Duration::from_secs(11)));
        counts.insert("a".to_owned(), Count { ready: 0, lost: 7 });
        assert!(!zones.admit("a", &counts, start + Duration::from_secs(60)));
    }
}

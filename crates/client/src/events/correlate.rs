//! Decides what becomes of an event: a new object, a higher count on an old one, or nothing. No IO.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::time::Instant;

/// Remembered series of each kind, as client-go's.
const SERIES_MAX: usize = 4096;
/// Different messages of one reason after which they are combined.
const SIMILAR_MAX: usize = 10;
const SIMILAR_WINDOW: Duration = Duration::from_secs(600);
/// Events at once about one object, then one in five minutes.
const BURST: f64 = 25.0;
const REFILL_PER_SECOND: f64 = 1.0 / 300.0;

/// What a caller reported.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) regarding: ObjectReference,
    pub(super) kind: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What to do about a report.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Too many about this object.
    Drop,
    /// Write a new event and remember its name under the series.
    Create { series: Series, message: String },
    /// The event `name` happened again.
    Count {
        series: Series,
        name: String,
        count: i32,
        first: Time,
        message: String,
    },
}

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    similar: Similar,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Similar {
    object: Object,
    kind: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Object {
    kind: String,
    namespace: String,
    name: String,
    uid: String,
    field: String,
}

#[derive(Debug)]
struct Recent {
    messages: HashSet<String>,
    last: Instant,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

#[derive(Clone, Debug)]
struct Written {
    name: String,
    count: i32,
    first: Time,
}

/// The memory of the last reports.
#[derive(Debug, Default)]
pub(super) struct Correlator {
    buckets: Bounded<Object, Bucket>,
    recent: Bounded<Similar, Recent>,
    written: Bounded<Series, Written>,
}

impl Correlator {
    pub(super) fn decide(&mut self, report: &Report, now: Instant) -> Verdict {
        let object = Object::of(&report.regarding);
        if !self.admit(&object, now) {
            return Verdict::Drop;
        }
        let similar = Similar {
            object,
            kind: report.kind,
            reason: report.reason.clone(),
        };
        let combined = self.is_flood(&similar, &report.message, now);
        let (message, key) = if combined {
            // One series for all of them, however their messages differ.
            (
                format!("(combined from similar events): {}", report.message),
                String::new(),
            )
        } else {
            (report.message.clone(), report.message.clone())
        };
        let series = Series {
            similar,
            message: key,
        };
        match self.written.get_mut(&series) {
            Some(written) => {
                written.count = written.count.saturating_add(1);
                let (name, count, first) =
                    (written.name.clone(), written.count, written.first.clone());
                Verdict::Count {
                    series,
                    name,
                    count,
                    first,
                    message,
                }
            }
            None => Verdict::Create { series, message },
        }
    }

    /// The event `name` stands for the series from now on.
    pub(super) fn wrote(&mut self, series: Series, name: String, count: i32, first: Time) {
        self.written.insert(series, Written { name, count, first });
    }

    /// The event of the series is gone on the server.
    pub(super) fn forget(&mut self, series: &Series) {
        self.written.remove(series);
    }

    fn admit(&mut self, object: &Object, now: Instant) -> bool {
        let Some(bucket) = self.buckets.get_mut(object) else {
            self.buckets.insert(
                object.clone(),
                Bucket {
                    tokens: BURST - 1.0,
                    at: now,
                },
            );
            return true;
        };
        let refill = now.duration_since(bucket.at).as_secs_f64() * REFILL_PER_SECOND;
        bucket.tokens = (bucket.tokens + refill).min(BURST);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    fn is_flood(&mut self, similar: &Similar, message: &str, now: Instant) -> bool {
        let fresh = |messages| Recent {
            messages,
            last: now,
        };
        match self.recent.get_mut(similar) {
            Some(recent) if now.duration_since(recent.last) <= SIMILAR_WINDOW => {
                recent.last = now;
                if recent.messages.len() < SIMILAR_MAX {
                    recent.messages.insert(message.to_owned());
                }
                recent.messages.len() >= SIMILAR_MAX
            }
            Some(recent) => {
                *recent = fresh(HashSet::from([message.to_owned()]));
                false
            }
            None => {
                self.recent
                    .insert(similar.clone(), fresh(HashSet::from([message.to_owned()])));
                false
            }
        }
    }
}

impl Object {
    fn of(reference: &ObjectReference) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            kind: text(&reference.kind),
            namespace: text(&reference.namespace),
            name: text(&reference.name),
            uid: text(&reference.uid),
            field: text(&reference.field_path),
        }
    }
}

/// A map that forgets what was inserted first once it is full.
#[derive(Debug)]
struct Bounded<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key)
    }

    fn insert(&mut self, key: K, value: V) {
        if self.map.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
            if self.order.len() > SERIES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, key: &K) {
        if self.map.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::ObjectReference;
    use tokio::time::Instant;

    use super::{Correlator, Report, Verdict};
    use crate::times::now;

    fn report(message: &str) -> Report {
        Report {
            regarding: ObjectReference {
                name: Some("p".into()),
                ..ObjectReference::default()
            },
            kind: "Normal",
            reason: "Killing".into(),
            message: message.into(),
        }
    }

    #[test]
    fn the_same_event_counts_up_and_floods_are_dropped() {
        let mut correlator = Correlator::default();
        let start = Instant::now();
        let Verdict::Create { series, .. } = correlator.decide(&report("m"), start) else {
            panic!("the first is created")
        };
        correlator.wrote(series, "p.1".into(), 1, now());
        for expected in 2..=25 {
            match correlator.decide(&report("m"), start) {
                Verdict::Count { name, count, .. } => {
                    assert_eq!((name.as_str(), count), ("p.1", expected));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(correlator.decide(&report("m"), start), Verdict::Drop);
        let later = start + Duration::from_secs(301);
        assert!(matches!(
            correlator.decide(&report("m"), later),
            Verdict::Count { .. }
        ));
    }

    #[test]
    fn many_messages_of_one_reason_are_combined() {
        let mut correlator = Correlator::default();
        let start = Instant::now();
        for n in 1..=12 {
            let verdict = correlator.decide(&report(&format!("m{n}")), start);
            let (message, is_count) = match verdict {
                Verdict::Create { series, message } => {
                    correlator.wrote(series, format!("p.{n}"), 1, now());
                    (message, false)
                }
                Verdict::Count { message, .. } => (message, true),
                Verdict::Drop => panic!("not yet a flood"),
            };
            assert_eq!(
                message.starts_with("(combined from similar events): "),
                n >= 10,
                "{n}"
            );
            assert_eq!(is_count, n > 10, "{n}");
        }
    }
}

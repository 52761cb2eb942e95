//! What the rooms below the services count of their own work. Handles only: a clone counts into the same
//! numbers. [`super::Metrics`] gives them out under etcd's names.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Everything that is counted below the services of one member.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Of the raft log.
    pub log: LogMeasures,
    /// Of the state machine.
    pub state: StateMeasures,
    /// Of the traffic with other members.
    pub peers: PeerMeasures,
    /// Leases that this member, leading, found to be over.
    pub leases_expired: Counter,
}

/// Times of something, in buckets that double.
#[derive(Clone, Debug)]
pub struct Times(pub(super) Histogram);

impl Times {
    /// `first` is the upper end of the first of `count` buckets, in the metric's unit.
    fn new(first: f64, count: u16) -> Self {
        Self(Histogram::new(exponential_buckets(first, 2.0, count)))
    }

    /// In seconds.
    pub(crate) fn since(&self, begun: Instant) {
        self.0.observe(begun.elapsed().as_secs_f64());
    }

    /// In milliseconds.
    pub(crate) fn ms(&self, took: Duration) {
        self.0.observe(took.as_secs_f64() * 1000.0);
    }
}

/// The log's writes.
#[derive(Clone, Debug)]
pub struct LogMeasures {
    pub(crate) syncs: Times,
    pub(crate) writes: Times,
    pub(crate) bytes: Gauge,
}

impl Default for LogMeasures {
    fn default() -> Self {
        Self {
            syncs: Times::new(0.001, 14),
            writes: Times::new(0.001, 14),
            bytes: Gauge::default(),
        }
    }
}

impl LogMeasures {
    /// A group is on the disk.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.bytes.inc_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

/// What an entry asked for, and whether it was done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Applied {
    pub(crate) version: &'static str,
    pub(crate) op: &'static str,
    pub(crate) success: &'static str,
}

type Applies = Family<Applied, Histogram, fn() -> Histogram>;

/// A label's word.
pub(super) fn word(is_success: bool) -> &'static str {
    if is_success { "true" } else { "false" }
}

/// For what mostly takes less than a millisecond: from 100 µs on, in seconds.
pub(super) fn short_times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 20))
}

/// The state machine's work.
#[derive(Clone, Debug)]
pub struct StateMeasures {
    pub(crate) commits: Times,
    pub(crate) defragments: Times,
    pub(super) defragmenting: Gauge,
    pub(crate) snapshots: Times,
    pub(crate) hashes: Times,
    pub(crate) hashes_at: Times,
    pub(super) applied: Applies,
    pub(super) slow: Counter,
    pub(crate) ranges: Counter,
    pub(super) puts: Counter,
    pub(super) deletes: Counter,
    pub(super) txns: Counter,
    pub(super) put_bytes: Gauge,
    pub(super) compacted_rows: Counter,
    pub(super) compaction_pieces: Times,
    pub(super) compactions: Times,
    pub(super) last_compaction: Gauge,
    pub(super) installing: Gauge,
}

impl Default for StateMeasures {
    fn default() -> Self {
        Self {
            commits: Times::new(0.001, 14),
            defragments: Times::new(0.1, 13),
            defragmenting: Gauge::default(),
            snapshots: Times::new(0.01, 17),
            hashes: Times::new(0.01, 15),
            hashes_at: Times::new(0.01, 15),
            applied: Family::new_with_constructor(short_times),
            slow: Counter::default(),
            ranges: Counter::default(),
            puts: Counter::default(),
            deletes: Counter::default(),
            txns: Counter::default(),
            put_bytes: Gauge::default(),
            compacted_rows: Counter::default(),
            compaction_pieces: Times::new(1.0, 13),
            compactions: Times::new(100.0, 14),
            last_compaction: Gauge::default(),
            installing: Gauge::default(),
        }
    }
}

/// An entry that takes longer is slow, as in etcd.
const SLOW_APPLY: Duration = Duration::from_millis(100);

/// How often an entry asked for each, also where nothing came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KvCalls {
    /// Ranges read.
    pub ranges: u64,
    /// Puts.
    pub puts: u64,
    /// Deletions of one range each, and of each key of a lease.
    pub deletes: u64,
    /// Bytes of keys and values put.
    pub put_bytes: u64,
}

/// Something is under way until this is dropped.
pub struct UnderWay<'a>(&'a Gauge);

impl<'a> UnderWay<'a> {
    pub(super) fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl StateMeasures {
    /// A snapshot of the leader is being taken over.
    pub(crate) fn installing(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.installing)
    }

    /// A defragmentation is under way.
    pub(crate) fn defragmenting(&self) -> UnderWay<'_> {
        UnderWay::begin(&self.defragmenting)
    }

    /// An entry asked for these.
    pub(crate) fn called(&self, calls: &KvCalls) {
        let KvCalls {
            ranges,
            puts,
            deletes,
            put_bytes,
        } = *calls;
        self.ranges.inc_by(ranges);
        self.puts.inc_by(puts);
        self.deletes.inc_by(deletes);
        if ranges + puts + deletes > 1 {
            self.txns.inc();
        }
        let bytes = i64::try_from(put_bytes).unwrap_or(i64::MAX);
        self.put_bytes.inc_by(bytes);
    }

    /// A piece of a compaction is done.
    pub(crate) fn collected(&self, rows: usize, took: Duration) {
        self.compacted_rows.inc_by(rows as u64);
        self.compaction_pieces.ms(took);
    }

    /// A compaction is done that took all its pieces and the rests between them.
    pub(crate) fn compacted(&self, took: Duration) {
        self.compactions.ms(took);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        self.last_compaction
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// An entry was applied.
    pub(crate) fn applied(&self, op: &'static str, is_success: bool, began: Instant) {
        let took = began.elapsed();
        let labels = Applied {
            version: "v3",
            op,
            success: word(is_success),
        };
        self.applied
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if took > SLOW_APPLY {
            self.slow.inc();
        }
    }
}

/// By member, named as etcd writes its id.
type ByPeer<M> = Family<Vec<(&'static str, String)>, M, fn() -> M>;

fn peer(label: &'static str, id: u64) -> Vec<(&'static str, String)> {
    vec![(label, format!("{id:x}"))]
}

fn round_trip() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 16))
}

/// The traffic with other members: entries and snapshots. Only members become labels.
#[derive(Clone, Debug)]
pub struct PeerMeasures {
    pub(super) sent: ByPeer<Counter>,
    pub(super) received: ByPeer<Counter>,
    pub(super) send_failures: ByPeer<Counter>,
    pub(super) receive_failures: ByPeer<Counter>,
    pub(super) round_trips: ByPeer<Histogram>,
    pub(crate) heartbeat_failures: Counter,
}

impl Default for PeerMeasures {
    fn default() -> Self {
        Self {
            sent: Family::new_with_constructor(Counter::default),
            received: Family::new_with_constructor(Counter::default),
            send_failures: Family::new_with_constructor(Counter::default),
            receive_failures: Family::new_with_constructor(Counter::default),
            round_trips: Family::new_with_constructor(round_trip),
            heartbeat_failures: Counter::default(),
        }
    }
}

impl PeerMeasures {
    /// Bytes sent to a member.
    pub(crate) fn sent(&self, to: u64) -> Counter {
        self.sent.get_or_create(&peer("To", to)).clone()
    }

    /// Bytes that came from a member.
    pub(crate) fn received(&self, from: u64) -> Counter {
        self.received.get_or_create(&peer("From", from)).clone()
    }

    /// Something could not be sent.
    pub(crate) fn failed_to_send(&self, to: u64) {
        self.send_failures.get_or_create(&peer("To", to)).inc();
    }

    /// Streams of a member that ended before they were received whole.
    pub(crate) fn receive_failures(&self, from: u64) -> Counter {
        let failures = &self.receive_failures;
        failures.get_or_create(&peer("From", from)).clone()
    }

    /// A member has answered a heartbeat.
    pub(crate) fn round_trip(&self, to: u64, begun: Instant) {
        let times = self.round_trips.get_or_create(&peer("To", to));
        times.observe(begun.elapsed().as_secs_f64());
    }
}

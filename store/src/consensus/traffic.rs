//! Counts what passes between this member and one that calls it; nothing of one that is no member.

use prometheus_client::metrics::counter::Counter;

use crate::metrics::PeerMeasures;

/// The counters of one member.
#[derive(Clone)]
pub(super) struct Traffic(Option<Counted>);

#[derive(Clone)]
struct Counted {
    received: Counter,
    sent: Counter,
    broken: Counter,
}

impl Traffic {
    /// With `member`; none is nobody's.
    pub(super) fn of(measures: &PeerMeasures, member: Option<u64>) -> Self {
        Self(member.map(|member| Counted {
            received: measures.received(member),
            sent: measures.sent(member),
            broken: measures.receive_failures(member),
        }))
    }

    /// So many bytes of a message.
    pub(super) fn came(&self, bytes: u64) {
        if let Some(counted) = &self.0 {
            counted.received.inc_by(bytes);
        }
    }

    /// So many bytes of an answer.
    pub(super) fn went(&self, bytes: u64) {
        if let Some(counted) = &self.0 {
            counted.sent.inc_by(bytes);
        }
    }

    /// A stream of the other member ended early.
    pub(super) fn broke(&self) {
        if let Some(counted) = &self.0 {
            counted.broken.inc();
        }
    }
}

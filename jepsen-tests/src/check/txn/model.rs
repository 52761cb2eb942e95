//! Which anomalies each consistency model forbids.

use clap::ValueEnum;
use serde::Serialize;

/// What transactions were promised; each promises all that those before it do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Writes are ordered.
    ReadUncommitted,
    /// Nothing is read of a transaction that failed, or before its end.
    ReadCommitted,
    /// Each reads one state, and no two that write the same overlap.
    SnapshotIsolation,
    /// As if one after another.
    Serializable,
    /// And each client's own in its order.
    StrongSessionSerializable,
    /// And each between its beginning and its end: what etcd promises.
    #[default]
    StrictSerializable,
}

impl Model {
    /// As `--model` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read-uncommitted",
            Self::ReadCommitted => "read-committed",
            Self::SnapshotIsolation => "snapshot-isolation",
            Self::Serializable => "serializable",
            Self::StrongSessionSerializable => "strong-session-serializable",
            Self::StrictSerializable => "strict-serializable",
        }
    }

    /// Whether the anomaly breaks the promise.
    pub(crate) fn forbids(self, anomaly: &str) -> bool {
        self >= least(anomaly)
    }
}

/// The weakest model that forbids the anomaly.
fn least(anomaly: &str) -> Model {
    match anomaly {
        _ if anomaly.ends_with("-realtime") => Model::StrictSerializable,
        _ if anomaly.ends_with("-process") => Model::StrongSessionSerializable,
        "G2-item" => Model::Serializable,
        "internal" | "lost-update" | "G-single" | "G-nonadjacent" => Model::SnapshotIsolation,
        "G1a" | "G1b" | "G1c" => Model::ReadCommitted,
        // G0, and what no store may do: dirty updates, duplicate and unwritten elements,
        // incompatible and cyclic version orders.
        _ => Model::ReadUncommitted,
    }
}

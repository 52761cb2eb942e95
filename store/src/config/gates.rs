//! `--feature-gates`: those of etcd's gates that change what this store does.

use super::flags::Values;
use super::text;

/// What the gates switch on; all off unless a user says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// `InitialCorruptCheck`: compare this member with the others before it serves clients, and end if it
    /// differs. Reads the whole history once at each start.
    pub initial_corrupt_check: bool,
    /// `CompactHashCheck`: compare all members at each compaction. Reads the whole history at each.
    pub compact_hash_check: bool,
    /// `LeaseCheckpoint`: keep what is left of long leases in the log, so that a new leader does not
    /// start them afresh. What is kept is always persisted, as in etcd from 3.6 on.
    pub lease_checkpoint: bool,
}

/// Gates whose meaning here is that of etcd; all of them alpha.
const HONOURED: [&str; 4] = [
    "InitialCorruptCheck",
    "CompactHashCheck",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
];
/// Gates that etcd has on, and that say how this store behaves anyhow.
const ON: [&str; 2] = ["FastLeaseKeepAlive", "TxnModeWriteWithSharedBuffer"];

impl Gates {
    /// Reads the flag, whose form has been checked.
    pub(super) fn read(
        values: &Values,
        warnings: &mut Vec<String>,
        faults: &mut Vec<String>,
    ) -> Self {
        let pairs: Vec<(String, bool)> = values
            .list("feature-gates")
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(gate, on)| (gate.trim().to_owned(), on.trim()))
            .filter_map(|(gate, on)| Some((gate, text::boolean(on).ok()?)))
            .collect();
        // A gate that is named twice keeps the last value.
        let given = |name: &str| {
            pairs
                .iter()
                .rev()
                .find(|(gate, _)| gate == name)
                .map(|(_, on)| *on)
        };
        let is_on = |name: &str| given(name).or(given("AllAlpha")).unwrap_or(false);
        for (gate, on) in &pairs {
            let is_all = gate.starts_with("All");
            let differs = *on != ON.contains(&gate.as_str());
            if !is_all && differs && !HONOURED.contains(&gate.as_str()) {
                warnings.push(format!("feature gate {gate}={on} has no effect"));
            }
        }
        if is_on("LeaseCheckpointPersist") && !is_on("LeaseCheckpoint") {
            faults.push(
                "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
                    .into(),
            );
        }
        Self {
            initial_corrupt_check: is_on("InitialCorruptCheck"),
            compact_hash_check: is_on("CompactHashCheck"),
            lease_checkpoint: is_on("LeaseCheckpoint"),
        }
    }
}

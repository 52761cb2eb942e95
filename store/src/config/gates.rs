//! `--feature-gates`: etcd's switches for parts of its own implementation (server/features), read with
//! its words, and what each means here.

use std::collections::BTreeMap;

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

impl Gates {
    /// Reads the flag's text, which has the right form.
    pub(super) fn of(text: &str) -> Self {
        let given = parse(text).unwrap_or_default();
        let is_on = |name: &str| is_alpha_on(&given, name);
        Self {
            initial_corrupt_check: is_on("InitialCorruptCheck"),
            compact_hash_check: is_on("CompactHashCheck"),
            lease_checkpoint: is_on("LeaseCheckpoint"),
        }
    }
}

/// Whether a gate that is off by default is on.
fn is_alpha_on(given: &BTreeMap<&'static str, bool>, name: &str) -> bool {
    let own = given.get(name).or(given.get("AllAlpha"));
    own.copied().unwrap_or_default()
}

struct Gate {
    name: &'static str,
    is_on: bool,
    /// Why it has no effect when it is not at its default; none if it has.
    why: Option<&'static str>,
}

const fn without_effect(name: &'static str, is_on: bool, why: &'static str) -> Gate {
    Gate {
        name,
        is_on,
        why: Some(why),
    }
}

const fn honoured(name: &'static str) -> Gate {
    Gate {
        name,
        is_on: false,
        why: None,
    }
}

/// The gates of etcd 3.7 and their defaults.
const GATES: &[Gate] = &[
    honoured("AllAlpha"),
    without_effect(
        "AllBeta",
        false,
        "the gates that it stands for have no effect",
    ),
    honoured("CompactHashCheck"),
    without_effect(
        "FastLeaseKeepAlive",
        true,
        "renewals never wait for the log to be applied",
    ),
    honoured("InitialCorruptCheck"),
    honoured("LeaseCheckpoint"),
    honoured("LeaseCheckpointPersist"),
    without_effect(
        "PriorityRequest",
        false,
        "overload is refused before the log, without priorities",
    ),
    without_effect(
        "SetMemberLocalAddr",
        false,
        "members are called from the address that the system chooses",
    ),
    without_effect(
        "StopGRPCServiceOnDefrag",
        false,
        "requests are served while space is given back",
    ),
    without_effect(
        "TxnModeWriteWithSharedBuffer",
        true,
        "transactions have no such buffer",
    ),
];

/// Reads `name=bool,…`; of a gate given twice the last one counts. The words are etcd's.
pub(super) fn parse(text: &str) -> Result<BTreeMap<&'static str, bool>, String> {
    let mut given = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (name, on) = match pair.split_once('=') {
            Some((name, on)) => (name.trim(), on.trim()),
            None => return Err(format!("missing bool value for {}", pair.trim())),
        };
        let on = text::boolean(on).map_err(|_| {
            format!(
                "invalid value of {name}={on}, err: strconv.ParseBool: parsing {on:?}: invalid syntax"
            )
        })?;
        let known = GATES.iter().find(|gate| gate.name == name);
        let known = known.ok_or_else(|| format!("unrecognized feature gate: {name}"))?;
        given.insert(known.name, on);
    }
    Ok(given)
}

/// What the gates of a text do not do, and what they contradict. The text has the right form.
pub(super) fn check(text: &str, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    let given = parse(text).unwrap_or_default();
    let is_on = |name: &str| is_alpha_on(&given, name);
    if is_on("LeaseCheckpointPersist") && !is_on("LeaseCheckpoint") {
        faults.push(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
                .into(),
        );
    }
    for gate in GATES {
        if let Some(on) = given.get(gate.name).filter(|on| **on != gate.is_on)
            && let Some(why) = gate.why
        {
            let name = gate.name;
            warnings.push(format!("--feature-gates={name}={on} has no effect: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gates, check, parse};

    #[test]
    fn words_are_etcds() {
        let words = |text: &str| parse(text).unwrap_err();
        assert_eq!(words("Foo=true"), "unrecognized feature gate: Foo");
        assert_eq!(words("AllBeta"), "missing bool value for AllBeta");
        assert_eq!(
            words("AllBeta=maybe"),
            "invalid value of AllBeta=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
        let both = parse("LeaseCheckpoint=true, LeaseCheckpoint = false,").unwrap();
        assert_eq!(
            both.into_iter().collect::<Vec<_>>(),
            [("LeaseCheckpoint", false)]
        );
    }

    #[test]
    fn what_is_not_at_its_default_is_said() {
        let of = |text: &str| {
            let (mut warnings, mut faults) = (Vec::new(), Vec::new());
            check(text, &mut warnings, &mut faults);
            (warnings.len(), faults.len())
        };
        assert_eq!(of(""), (0, 0));
        assert_eq!(of("FastLeaseKeepAlive=true,PriorityRequest=false"), (0, 0));
        assert_eq!(of("FastLeaseKeepAlive=false,CompactHashCheck=true"), (1, 0));
        assert_eq!(of("LeaseCheckpointPersist=true"), (0, 1));
        assert_eq!(
            of("LeaseCheckpointPersist=true,LeaseCheckpoint=true"),
            (0, 0)
        );
    }

    #[test]
    fn alpha_gates_follow_the_gate_of_all() {
        let all = Gates::of("AllAlpha=true,LeaseCheckpoint=false");
        assert!(all.initial_corrupt_check && all.compact_hash_check && !all.lease_checkpoint);
        assert_eq!(Gates::of("AllBeta=true"), Gates::default());
        assert!(Gates::of("CompactHashCheck=true").compact_hash_check);
    }
}

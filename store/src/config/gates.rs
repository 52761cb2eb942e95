//! `--feature-gates`: etcd's switches for parts of its own implementation (server/features), read with
//! its words, and what each means here.

use std::collections::BTreeMap;

use super::text;

/// Why a gate that is not at its default has no effect.
struct Gate {
    name: &'static str,
    is_on: bool,
    why: &'static str,
}

const fn gate(name: &'static str, is_on: bool, why: &'static str) -> Gate {
    Gate { name, is_on, why }
}

const COMPARE: &str = "members are not compared by themselves; compare them by HashKV";
const LEASES: &str = "a new leader gives every lease its whole time again";

/// The gates of etcd 3.7 and their defaults.
const GATES: &[Gate] = &[
    gate(
        "AllAlpha",
        false,
        "the gates that it stands for have no effect",
    ),
    gate(
        "AllBeta",
        false,
        "the gates that it stands for have no effect",
    ),
    gate("CompactHashCheck", false, COMPARE),
    gate(
        "FastLeaseKeepAlive",
        true,
        "renewals never wait for the log to be applied",
    ),
    gate("InitialCorruptCheck", false, COMPARE),
    gate("LeaseCheckpoint", false, LEASES),
    gate("LeaseCheckpointPersist", false, LEASES),
    gate(
        "PriorityRequest",
        false,
        "overload is refused before the log, without priorities",
    ),
    gate(
        "SetMemberLocalAddr",
        false,
        "members are called from the address that the system chooses",
    ),
    gate(
        "StopGRPCServiceOnDefrag",
        false,
        "requests are served while space is given back",
    ),
    gate(
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
    let is_on = |name: &str| given.get(name).copied().unwrap_or_default();
    let all = is_on("AllAlpha");
    let persist = given.get("LeaseCheckpointPersist").copied().unwrap_or(all);
    let checkpoint = given.get("LeaseCheckpoint").copied().unwrap_or(all);
    if persist && !checkpoint {
        faults.push(
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
                .into(),
        );
    }
    for gate in GATES {
        if let Some(on) = given.get(gate.name).filter(|on| **on != gate.is_on) {
            let Gate { name, why, .. } = gate;
            warnings.push(format!("--feature-gates={name}={on} has no effect: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{check, parse};

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
        assert_eq!(of("FastLeaseKeepAlive=false,CompactHashCheck=true"), (2, 0));
        assert_eq!(of("LeaseCheckpointPersist=true"), (1, 1));
        assert_eq!(
            of("LeaseCheckpointPersist=true,LeaseCheckpoint=true"),
            (2, 0)
        );
    }
}

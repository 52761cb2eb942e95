//! Reads a command line and an environment against the one table of flags below.
//!
//! A flag is `--name=value`, `--name value` or with one dash; a boolean needs no value. Each value
//! is checked for its form here; what values mean together is checked in `check.rs`.

use std::collections::BTreeMap;

use super::ConfigError;
use super::cluster::InitialCluster;
use super::text;
use super::url::Url;

mod clustering;
mod member;
mod operating;
mod security;

/// The form of a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Unsigned,
    Unsigned32,
    Signed,
    Duration,
    Text,
    List,
    Urls,
    Origins,
    Cluster,
    OneOf(&'static [&'static str]),
    Gates,
}

/// What the store does with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Honoured.
    Yes,
    /// Taken without effect and without harm, because of what is said.
    Warns(&'static str),
    /// Any value but the default would promise what the store does not do.
    Refuses(&'static str),
    /// An ancient flag that etcd itself ignores. Not in the help.
    Ignored,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: &'static str,
    pub(super) support: Support,
    pub(super) help: &'static str,
}

const MEMBER: &str = "Member";
const CLUSTER: &str = "Clustering";
const SECURITY: &str = "Security";
const AUTH: &str = "Auth";
const MONITOR: &str = "Profiling and monitoring";
const LOGGING: &str = "Logging";
const TRACING: &str = "Distributed tracing";
const FEATURES: &str = "Features";
const UNSAFE: &str = "Unsafe";

/// The order of the help.
pub(super) const GROUPS: &[&str] = &[
    MEMBER, CLUSTER, SECURITY, AUTH, MONITOR, LOGGING, TRACING, FEATURES, UNSAFE,
];

/// Every flag of etcd 3.7: the one list that parser, checks and help read.
pub(super) fn all() -> impl Iterator<Item = &'static Flag> {
    [
        member::FLAGS,
        clustering::FLAGS,
        security::FLAGS,
        operating::FLAGS,
    ]
    .into_iter()
    .flatten()
}

const fn flag(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    support: Support,
    help: &'static str,
) -> Flag {
    Flag {
        group,
        name,
        kind,
        default,
        support,
        help,
    }
}

const fn old(name: &'static str) -> Flag {
    Flag {
        group: "",
        name,
        kind: Kind::Text,
        default: "",
        support: Support::Ignored,
        help: "",
    }
}

/// The feature gates of etcd 3.7.
pub(super) const GATES: &[&str] = &[
    "AllAlpha",
    "AllBeta",
    "CompactHashCheck",
    "FastLeaseKeepAlive",
    "InitialCorruptCheck",
    "LeaseCheckpoint",
    "LeaseCheckpointPersist",
    "PriorityRequest",
    "SetMemberLocalAddr",
    "StopGRPCServiceOnDefrag",
    "TxnModeWriteWithSharedBuffer",
];

/// What a command line turned out to be.
pub(super) enum Parsed {
    Help,
    Version,
    Values(Values),
}

/// Flags and their texts, each checked for its form.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    given: BTreeMap<&'static str, String>,
    /// Words about the environment.
    pub(super) warnings: Vec<String>,
}

impl Values {
    /// Reads flags first, then fills what is missing from the environment.
    pub(super) fn parse<E>(args: &[String], env: E) -> Result<Parsed, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let mut values = Self::default();
        let mut rest = args.iter();
        let mut stray = None;
        while let Some(arg) = rest.next() {
            let Some(body) = flag_body(arg)? else {
                stray = (arg != "--")
                    .then(|| arg.clone())
                    .or_else(|| rest.next().cloned());
                break;
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            if matches!(name, "h" | "help") {
                return Ok(Parsed::Help);
            }
            let flag = find(name).ok_or_else(|| {
                ConfigError::Usage(format!("flag provided but not defined: -{name}"))
            })?;
            let value = match (inline, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Bool) => "true".into(),
                (None, _) => rest.next().cloned().ok_or_else(|| {
                    ConfigError::Usage(format!("flag needs an argument: -{name}"))
                })?,
            };
            check_form(flag, &value).map_err(|fault| {
                let what = if flag.kind == Kind::Bool {
                    "boolean value"
                } else {
                    "value"
                };
                let of = if flag.kind == Kind::Bool { "" } else { "flag " };
                ConfigError::Usage(format!("invalid {what} {value:?} for {of}-{name}: {fault}"))
            })?;
            values.given.insert(flag.name, value);
        }
        if let Some(stray) = stray {
            return Err(ConfigError::Invalid(vec![format!(
                "{stray:?} is not a valid flag"
            )]));
        }
        if values.flag("version") {
            return Ok(Parsed::Version);
        }
        values.add_environment(env)?;
        Ok(Parsed::Values(values))
    }

    fn add_environment<E>(&mut self, env: E) -> Result<(), ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let mut faults = Vec::new();
        for (key, value) in env {
            let Some(name) = key.strip_prefix("ETCD_") else {
                continue;
            };
            let name = name.to_ascii_lowercase().replace('_', "-");
            let Some(flag) = find(&name) else {
                if !matches!(name.as_str(), "verify" | "unsupported-arch") {
                    self.warnings
                        .push(format!("unrecognized environment variable {key}={value}"));
                }
                continue;
            };
            if self.given.contains_key(flag.name) {
                self.warnings
                    .push(format!("{key} is shadowed by the flag --{name}"));
                continue;
            }
            // As etcd does: an empty variable is an unset one.
            if value.is_empty() {
                continue;
            }
            match check_form(flag, &value) {
                Ok(()) => drop(self.given.insert(flag.name, value)),
                Err(fault) => faults.push(format!("invalid value {value:?} for {key}: {fault}")),
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(faults))
        }
    }

    /// Whether the user gave the flag.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The flag's text, or its default.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.given.get(name) {
            Some(value) => value,
            None => find(name).map_or("", |flag| flag.default),
        }
    }

    /// A boolean flag.
    pub(super) fn flag(&self, name: &str) -> bool {
        text::boolean(self.text(name)).unwrap_or_default()
    }

    /// An unsigned number.
    pub(super) fn unsigned(&self, name: &str) -> u64 {
        text::unsigned(self.text(name), u64::MAX).unwrap_or_default()
    }

    /// A number that fits memory.
    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.unsigned(name)).unwrap_or(usize::MAX)
    }

    /// A signed number.
    pub(super) fn signed(&self, name: &str) -> i64 {
        text::signed(self.text(name)).unwrap_or_default()
    }

    /// A duration.
    pub(super) fn duration(&self, name: &str) -> std::time::Duration {
        text::duration(self.text(name)).unwrap_or_default()
    }

    /// A list of words.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        text::list(self.text(name))
    }

    /// A list of URLs.
    pub(super) fn urls(&self, name: &str) -> Vec<Url> {
        Url::parse_list(self.text(name)).unwrap_or_default()
    }

    /// The flags given that [`Support`] warns of or refuses: the flag and why.
    pub(super) fn unsupported(&self) -> impl Iterator<Item = (&'static Flag, &str)> {
        all().filter_map(|flag| {
            let value = self.given.get(flag.name)?;
            (!same_value(flag, value)).then_some((flag, value.as_str()))
        })
    }
}

/// The part of an argument behind its dashes; none for something that is no flag.
fn flag_body(arg: &str) -> Result<Option<&str>, ConfigError> {
    let Some(body) = arg.strip_prefix('-').filter(|body| !body.is_empty()) else {
        return Ok(None);
    };
    let body = body.strip_prefix('-').unwrap_or(body);
    if body.is_empty() {
        return Ok(None);
    }
    if body.starts_with(['-', '=']) {
        return Err(ConfigError::Usage(format!("bad flag syntax: {arg}")));
    }
    Ok(Some(body))
}

fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.name == name)
}

/// Whether a value says the same as the flag's default.
fn same_value(flag: &Flag, value: &str) -> bool {
    match flag.kind {
        Kind::Bool => text::boolean(value) == text::boolean(flag.default),
        Kind::Duration => text::duration(value) == text::duration(flag.default),
        Kind::Unsigned | Kind::Unsigned32 => {
            text::unsigned(value, u64::MAX) == text::unsigned(flag.default, u64::MAX)
        }
        _ => value == flag.default,
    }
}

fn check_form(flag: &Flag, value: &str) -> Result<(), String> {
    match flag.kind {
        Kind::Bool => text::boolean(value).map(drop),
        Kind::Unsigned => text::unsigned(value, u64::MAX).map(drop),
        Kind::Unsigned32 => match text::unsigned(value, u64::from(u32::MAX)) {
            Ok(_) => Ok(()),
            // This one flag shows the words of the function that reads it.
            Err(why) => {
                let why = why.replace("parse error", "invalid syntax");
                Err(format!("strconv.ParseUint: parsing {value:?}: {why}"))
            }
        },
        Kind::Signed => text::signed(value).map(drop),
        Kind::Duration => text::duration(value).map(drop),
        Kind::Text | Kind::List => Ok(()),
        Kind::Urls => Url::parse_list(value)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::Origins if value == "*" => Ok(()),
        Kind::Origins => {
            let mut urls = value.split(',').map(Url::parse);
            urls.try_for_each(|url| url.map(drop).map_err(|error| error.to_string()))
        }
        Kind::Cluster => InitialCluster::parse(value)
            .map(drop)
            .map_err(|error| error.to_string()),
        Kind::OneOf(allowed) => {
            if allowed.contains(&value) {
                Ok(())
            } else {
                Err("invalid value".into())
            }
        }
        Kind::Gates => check_gates(value),
    }
}

fn check_gates(value: &str) -> Result<(), String> {
    for pair in text::list(value) {
        let Some((gate, on)) = pair.split_once('=') else {
            return Err(format!("missing bool value for {pair}"));
        };
        if !GATES.contains(&gate.trim()) {
            return Err(format!("unrecognized feature gate: {}", gate.trim()));
        }
        text::boolean(on.trim()).map_err(|_| {
            format!(
                "invalid value of {}={on}, err: strconv.ParseBool: parsing {on:?}: invalid syntax",
                gate.trim()
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, all, check_form};

    #[test]
    fn every_default_has_its_form_and_every_flag_its_group() {
        for flag in all() {
            let empty_allowed = flag.default.is_empty();
            assert!(
                empty_allowed || check_form(flag, flag.default).is_ok(),
                "{}",
                flag.name
            );
            assert!(
                flag.group.is_empty() || GROUPS.contains(&flag.group),
                "{}",
                flag.name
            );
            assert!(
                flag.group.is_empty() || !flag.help.is_empty(),
                "{}",
                flag.name
            );
        }
        let mut names: Vec<_> = all().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().count(), "a flag is listed twice");
    }
}

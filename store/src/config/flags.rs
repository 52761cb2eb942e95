//! The one table of flags, and the forms of their values. What values mean together is checked in
//! `check.rs`.

use super::cluster::InitialCluster;
use super::url::Url;
use super::{gates, text};

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

/// The flag of a name.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.name == name)
}

/// Whether a text has the form of the flag's values; else Go's words for what is wrong.
pub(super) fn check_form(flag: &Flag, value: &str) -> Result<(), String> {
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
        Kind::Gates => gates::parse(value).map(drop),
    }
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

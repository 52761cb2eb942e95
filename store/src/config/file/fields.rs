//! Which field of a configuration file means which flag.
//!
//! Most fields are at the top and have their flag's name. The rest is listed here by its path.

use crate::config::flags::{self, Kind, Support};

/// A field's flag and form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) flag: &'static str,
    pub(super) kind: Kind,
    /// The last part of its path.
    name: &'static str,
}

impl Field {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Lists that a file has as one text with commas.
    pub(super) fn is_comma_text(&self) -> bool {
        matches!(self.flag, "cors" | "host-whitelist")
    }
}

/// What a path in the file is.
pub(super) enum Place {
    Field(Field),
    Section,
    /// Known to etcd, without a meaning for a member.
    Ignored,
    Unknown,
}

/// Names common to both sides' sections; the peers' flags have the prefix `peer-`.
const SECTIONS: &[(&str, &str)] = &[
    ("client-transport-security/cert-file", "cert-file"),
    ("client-transport-security/key-file", "key-file"),
    (
        "client-transport-security/client-cert-file",
        "client-cert-file",
    ),
    (
        "client-transport-security/client-key-file",
        "client-key-file",
    ),
    (
        "client-transport-security/client-cert-auth",
        "client-cert-auth",
    ),
    (
        "client-transport-security/trusted-ca-file",
        "trusted-ca-file",
    ),
    ("client-transport-security/auto-tls", "auto-tls"),
    ("client-transport-security/allowed-cn", CLIENT_ALLOWED_CN),
    (
        "client-transport-security/allowed-hostname",
        "client-cert-allowed-hostname",
    ),
    ("peer-transport-security/cert-file", "peer-cert-file"),
    ("peer-transport-security/key-file", "peer-key-file"),
    (
        "peer-transport-security/client-cert-file",
        "peer-client-cert-file",
    ),
    (
        "peer-transport-security/client-key-file",
        "peer-client-key-file",
    ),
    (
        "peer-transport-security/client-cert-auth",
        "peer-client-cert-auth",
    ),
    (
        "peer-transport-security/trusted-ca-file",
        "peer-trusted-ca-file",
    ),
    ("peer-transport-security/auto-tls", "peer-auto-tls"),
    ("peer-transport-security/allowed-cn", "peer-cert-allowed-cn"),
    (
        "peer-transport-security/allowed-hostname",
        "peer-cert-allowed-hostname",
    ),
    (
        "peer-transport-security/skip-client-san-verification",
        "peer-skip-client-san-verification",
    ),
    ("socket-options/reuse-port", "socket-reuse-port"),
    ("socket-options/reuse-address", "socket-reuse-address"),
    ("discovery-config/token", "discovery-token"),
    ("discovery-config/client/endpoints", "discovery-endpoints"),
    (
        "discovery-config/client/dial-timeout",
        "discovery-dial-timeout",
    ),
    (
        "discovery-config/client/request-timeout",
        "discovery-request-timeout",
    ),
    (
        "discovery-config/client/keepalive-time",
        "discovery-keepalive-time",
    ),
    (
        "discovery-config/client/keepalive-timeout",
        "discovery-keepalive-timeout",
    ),
    ("discovery-config/client/secure/cert", "discovery-cert"),
    ("discovery-config/client/secure/key", "discovery-key"),
    ("discovery-config/client/secure/cacert", "discovery-cacert"),
    (
        "discovery-config/client/secure/insecure-transport",
        "discovery-insecure-transport",
    ),
    (
        "discovery-config/client/secure/insecure-skip-tls-verify",
        "discovery-insecure-skip-tls-verify",
    ),
    ("discovery-config/client/auth/username", "discovery-user"),
    (
        "discovery-config/client/auth/password",
        "discovery-password",
    ),
];

/// The one setting that only a file can give: common names of clients.
pub(in crate::config) const CLIENT_ALLOWED_CN: &str = "client-cert-allowed-cn";

/// Fields that etcd's sections have and its client side does not use.
const IGNORED: &[&str] = &["client-transport-security/skip-client-san-verification"];

/// Flags without a field: those of the command line itself, and those that etcd's file cannot set.
const FLAGS_ONLY: &[&str] = &[
    "config-file",
    "version",
    "raft-read-timeout",
    "raft-write-timeout",
    "discovery-fallback",
    "client-crl-file",
    "peer-crl-file",
];

/// Finds a path, lower case with slashes.
pub(super) fn find(path: &str) -> Place {
    if let Some((path, flag)) = SECTIONS.iter().find(|(known, _)| *known == path) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let kind = flags::find(flag).map_or(Kind::List, |flag| flag.kind);
        return Place::Field(Field { flag, kind, name });
    }
    if IGNORED.contains(&path) {
        return Place::Ignored;
    }
    let is_above = |known: &str| {
        known
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if SECTIONS.iter().any(|(known, _)| is_above(known)) {
        return Place::Section;
    }
    let is_in_section = |name: &str| SECTIONS.iter().any(|(_, flag)| *flag == name);
    match flags::find(path) {
        Some(flag)
            if flag.support != Support::Ignored
                && !FLAGS_ONLY.contains(&flag.name)
                && !is_in_section(flag.name) =>
        {
            Place::Field(Field {
                flag: flag.name,
                kind: flag.kind,
                name: flag.name,
            })
        }
        _ => Place::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{FLAGS_ONLY, SECTIONS};
    use crate::config::flags;

    #[test]
    fn every_name_in_the_lists_is_that_of_a_flag() {
        let listed = SECTIONS
            .iter()
            .map(|(_, flag)| *flag)
            .chain(FLAGS_ONLY.iter().copied());
        for name in listed.filter(|name| *name != super::CLIENT_ALLOWED_CN) {
            assert!(flags::find(name).is_some(), "{name}");
        }
    }
}

//! How to reach the source, and as whom: etcdctl's flags and its environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::config::{TlsFiles, Url, parse_duration};

/// Where systems keep the authorities that they trust, as Go's programs look for them.
const SYSTEM_CACERTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// See the module.
#[derive(Clone, Args)]
pub(crate) struct Access {
    /// Verify certificates of the source by this CA bundle (default: the system's)
    #[arg(long, env = "ETCDCTL_CACERT")]
    pub(super) cacert: Option<PathBuf>,
    /// The system's CA bundle, where Go's programs look for it by the same variable
    #[arg(long, env = "SSL_CERT_FILE", hide = true)]
    pub(super) system_cacert: Option<PathBuf>,
    /// Identify to the source by this TLS certificate file
    #[arg(long, env = "ETCDCTL_CERT", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// Its key file
    #[arg(long, env = "ETCDCTL_KEY", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// Skip server certificate verification (CAUTION: this option should be enabled only for testing purposes)
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub(super) insecure_skip_tls_verify: bool,
    /// username[:password] for authentication. Where users are on, it must have the role root
    #[arg(long, env = "ETCDCTL_USER", hide_env_values = true)]
    pub(super) user: Option<String>,
    /// Password for authentication (if this option is used, --user option shouldn't include password)
    #[arg(long, env = "ETCDCTL_PASSWORD", hide_env_values = true)]
    pub(super) password: Option<String>,
    /// Dial timeout for connections to the source
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(super) dial_timeout: Duration,
    /// Timeout of one question to the source (but for snapshots and hashes, which take as long as they
    /// take)
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub(super) command_timeout: Duration,
}

/// Without what must stay secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("cacert", &self.cacert)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Where an endpoint is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host_port: String,
    pub(super) is_tls: bool,
}

impl Access {
    /// The endpoints of a list. One without a scheme is reached by TLS if a file of TLS was given.
    pub(super) fn addresses(&self, endpoints: &str) -> Result<Vec<Address>, String> {
        let has_tls = self.cacert.is_some() || self.cert.is_some() || self.insecure_skip_tls_verify;
        let mut addresses = Vec::new();
        for text in endpoints.split(',').map(str::trim) {
            let text = text.trim_end_matches('/');
            if text.is_empty() {
                continue;
            }
            let full = match text.contains("://") {
                true => text.to_owned(),
                false => format!("http{}://{text}", if has_tls { "s" } else { "" }),
            };
            let url = Url::parse(&full).map_err(|error| format!("endpoint {text:?}: {error}"))?;
            let Some(_) = url.host_port() else {
                return Err(format!(
                    "endpoint {text:?}: only http:// and https:// can be reached"
                ));
            };
            addresses.push(Address {
                host_port: url.address().to_owned(),
                is_tls: url.is_tls(),
            });
        }
        match addresses.is_empty() {
            true => Err("no endpoint given: name at least one, as http://HOST:PORT".into()),
            false => Ok(addresses),
        }
    }

    /// The files of TLS, for these endpoints.
    pub(super) fn tls_files(&self, addresses: &[Address]) -> TlsFiles {
        let needs_any = addresses.iter().any(|address| address.is_tls);
        let system = || match &self.system_cacert {
            Some(path) => Some(path.clone()),
            None => SYSTEM_CACERTS
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists()),
        };
        let system = || system().filter(|_| needs_any && !self.insecure_skip_tls_verify);
        TlsFiles {
            cert: self.cert.clone(),
            key: self.key.clone(),
            trusted_ca: self.cacert.clone().or_else(system),
            is_self_made: self.insecure_skip_tls_verify,
            ..TlsFiles::default()
        }
    }

    /// The user and the password; none where no user was given.
    pub(super) fn user(&self) -> Result<Option<(String, String)>, String> {
        let Some(user) = self.user.as_deref().filter(|user| !user.is_empty()) else {
            return Ok(None);
        };
        let (name, password) = match (user.split_once(':'), &self.password) {
            (_, Some(password)) => (user, password.as_str()),
            (Some((name, password)), None) => (name, password),
            (None, None) => {
                return Err(format!(
                    "user {user:?} has no password: give it with --password, or as --user={user}:PASSWORD"
                ));
            }
        };
        Ok(Some((name.to_owned(), password.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            cacert: None,
            system_cacert: None,
            cert: None,
            key: None,
            insecure_skip_tls_verify: false,
            user: None,
            password: None,
            dial_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_secs(1),
        }
    }

    fn shown(access: &Access, endpoints: &str) -> String {
        match access.addresses(endpoints) {
            Ok(found) => found
                .iter()
                .map(|at| format!("{}{}", at.host_port, if at.is_tls { "+tls" } else { "" }))
                .collect::<Vec<_>>()
                .join(" "),
            Err(fault) => fault,
        }
    }

    #[test]
    fn endpoints_are_read_as_etcdctl_reads_them() {
        let plain = access();
        assert_eq!(
            shown(&plain, "127.0.0.1:1, http://h:2/,"),
            "127.0.0.1:1 h:2"
        );
        assert_eq!(shown(&plain, "https://h:1"), "h:1+tls");
        assert!(shown(&plain, "").contains("no endpoint"));
        assert!(shown(&plain, "h").contains("host:port"));
        assert!(shown(&plain, "unix:///x").contains("only http"));
        let mut tls = access();
        tls.cacert = Some("ca.pem".into());
        assert_eq!(
            shown(&tls, "h:1,http://h:2,https://h:3"),
            "h:1+tls h:2 h:3+tls"
        );
    }

    #[test]
    fn the_systems_authorities_are_trusted_where_no_other_is_given() {
        let mut access = access();
        access.system_cacert = Some("system.pem".into());
        let trusted = |access: &Access, endpoint: &str| {
            let addresses = access.addresses(endpoint).unwrap();
            access.tls_files(&addresses).trusted_ca
        };
        assert_eq!(trusted(&access, "http://h:1"), None);
        let system = Some(PathBuf::from("system.pem"));
        assert_eq!(trusted(&access, "https://h:1"), system);
        access.cacert = Some("ca.pem".into());
        assert_eq!(trusted(&access, "https://h:1"), Some("ca.pem".into()));
        access.cacert = None;
        access.insecure_skip_tls_verify = true;
        assert_eq!(trusted(&access, "https://h:1"), None);
    }

    #[test]
    fn a_password_comes_with_the_user_or_alone() {
        let mut access = access();
        assert_eq!(access.user(), Ok(None));
        access.user = Some("ann:p:w".into());
        assert_eq!(access.user(), Ok(Some(("ann".into(), "p:w".into()))));
        access.user = Some("ann".into());
        assert!(access.user().unwrap_err().contains("--password"));
        access.password = Some("x".into());
        assert_eq!(access.user(), Ok(Some(("ann".into(), "x".into()))));
        assert!(!format!("{access:?}").contains("ann"));
    }
}

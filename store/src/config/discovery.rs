//! The flags of discovery: a running etcd where the founding members of a new cluster meet, or a domain
//! whose records name them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::values::Values;
use super::{TlsFiles, Url};

const CONFLICT: &str = "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"";

/// Where members meet, and how to get there.
#[derive(Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `--discovery-token`: the meeting's name, and the new cluster's token.
    pub token: String,
    /// `--discovery-endpoints`.
    pub endpoints: Vec<Url>,
    /// How long a connection may take.
    pub dial_timeout: Duration,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How often an idle connection is probed, and how long the answer may take.
    pub keep_alive: (Duration, Duration),
    /// The files of TLS; none without it. `is_self_made` trusts whoever answers.
    pub tls: Option<TlsFiles>,
    /// A user and the password.
    pub user: Option<(String, String)>,
}

/// The domain whose SRV records name the members of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySrv {
    /// `--discovery-srv`.
    pub domain: String,
    /// `--discovery-srv-name`, which tells several clusters of a domain apart.
    pub name: String,
    /// Who is asked; where empty, the system's name servers.
    pub servers: Vec<SocketAddr>,
}

impl DiscoverySrv {
    /// Reads the flags; none if nothing of it is given.
    pub(super) fn from_values(values: &Values, faults: &mut Vec<String>) -> Option<Self> {
        let domain = values.text("discovery-srv");
        if domain.is_empty() {
            return None;
        }
        let is_given = |name| values.is_given(name) && !values.text(name).is_empty();
        if is_given("initial-cluster") || is_given("discovery-endpoints") {
            faults.push(CONFLICT.into());
        }
        Some(Self {
            domain: domain.to_owned(),
            name: values.text("discovery-srv-name").to_owned(),
            servers: Vec::new(),
        })
    }

    /// What goes behind a service's name.
    pub fn suffix(&self) -> String {
        match self.name.as_str() {
            "" => String::new(),
            name => format!("-{name}"),
        }
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery")
            .field("token", &self.token)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl Discovery {
    /// Reads the flags; none if nothing of it is given. What is wrong is put to `faults`.
    pub(super) fn from_values(values: &Values, faults: &mut Vec<String>) -> Option<Self> {
        if values.text("discovery-fallback") == "proxy" {
            faults.push(
                "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\""
                    .into(),
            );
        }
        let token = values.text("discovery-token").to_owned();
        let texts = values.list("discovery-endpoints");
        if token.is_empty() && texts.is_empty() {
            return None;
        }
        if token.is_empty() || texts.is_empty() {
            faults.push("both --discovery-token and --discovery-endpoints must be set".into());
        }
        if values.is_given("initial-cluster") && !values.text("initial-cluster").is_empty() {
            faults.push(CONFLICT.into());
        }
        if token.contains('/') {
            faults.push(format!(
                "--discovery-token={token:?} must not contain a slash"
            ));
        }
        let is_secure = !values.flag("discovery-insecure-transport");
        let mut endpoints = Vec::new();
        for text in &texts {
            match endpoint(text, is_secure) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(fault) => faults.push(format!("--discovery-endpoints: {fault}")),
            }
        }
        let needs_tls = endpoints.iter().any(Url::is_tls);
        Some(Self {
            token,
            endpoints,
            dial_timeout: values.duration("discovery-dial-timeout"),
            request_timeout: values.duration("discovery-request-timeout"),
            keep_alive: (
                values.duration("discovery-keepalive-time"),
                values.duration("discovery-keepalive-timeout"),
            ),
            tls: needs_tls.then(|| tls(values)),
            user: user(values, faults),
        })
    }
}

/// A URL, or `host:port` alone.
fn endpoint(text: &str, is_secure: bool) -> Result<Url, String> {
    let scheme = if is_secure { "https" } else { "http" };
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("{scheme}://{text}"))
    };
    let url = url.map_err(|error| error.to_string())?;
    if url.is_unix() {
        return Err(format!("{text} is no TCP address"));
    }
    url.check_reachable().map_err(|error| error.to_string())?;
    Ok(url)
}

fn tls(values: &Values) -> TlsFiles {
    let file = |name: &str| {
        let text = values.text(name);
        (!text.is_empty()).then(|| PathBuf::from(text))
    };
    TlsFiles {
        cert: file("discovery-cert"),
        key: file("discovery-key"),
        trusted_ca: file("discovery-cacert"),
        is_self_made: values.flag("discovery-insecure-skip-tls-verify"),
        ..TlsFiles::default()
    }
}

/// `--discovery-user=name:password`, or the password by its own flag. There is nobody to ask for it.
fn user(values: &Values, faults: &mut Vec<String>) -> Option<(String, String)> {
    let name = values.text("discovery-user");
    if name.is_empty() {
        return None;
    }
    let password = values.text("discovery-password");
    if !password.is_empty() {
        return Some((name.into(), password.into()));
    }
    match name.split_once(':') {
        Some((name, password)) => Some((name.into(), password.into())),
        None => {
            faults.push(format!(
                "--discovery-user={name} has no password: give name:password or --discovery-password"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CONFLICT, Discovery};
    use crate::config::Config;

    fn read(args: &[&str]) -> Result<Option<Discovery>, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let config = Config::parse(&args, []).map_err(|error| error.to_string())?;
        Ok(config.discovery)
    }

    #[test]
    fn the_flags_are_read() {
        assert_eq!(read(&[]).unwrap(), None);
        let given = [
            "--discovery-token=t",
            "--discovery-endpoints=10.0.0.1:2379,http://b:1",
            "--discovery-user=u:p:q",
        ];
        let plain = read(&given).unwrap().unwrap();
        let urls: Vec<String> = plain.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://10.0.0.1:2379", "http://b:1"]);
        assert_eq!(plain.user, Some(("u".into(), "p:q".into())));
        assert_eq!(plain.tls, None);
        assert!(!format!("{plain:?}").contains("p:q"));
        let secure = [
            "--discovery-token=t",
            "--discovery-endpoints=a:1",
            "--discovery-insecure-transport=false",
            "--discovery-insecure-skip-tls-verify",
        ];
        let secure = read(&secure).unwrap().unwrap();
        assert!(secure.endpoints[0].is_tls());
        assert!(secure.tls.unwrap().is_self_made);
    }

    #[test]
    fn faults_have_etcds_words() {
        let both = "both --discovery-token and --discovery-endpoints must be set";
        let cases: &[(&[&str], &str)] = &[
            (&["--discovery-token=t"], both),
            (&["--discovery-endpoints=a:1"], both),
            (
                &["--discovery-fallback=proxy"],
                "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"",
            ),
            (
                &[
                    "--discovery-token=t",
                    "--discovery-endpoints=a:1",
                    "--initial-cluster=default=http://a:1",
                ],
                CONFLICT,
            ),
            (
                &["--discovery-srv=a", "--initial-cluster=default=http://a:1"],
                CONFLICT,
            ),
            (
                &[
                    "--discovery-srv=a",
                    "--discovery-token=t",
                    "--discovery-endpoints=a:1",
                ],
                CONFLICT,
            ),
            (
                &["--discovery-token=t", "--discovery-endpoints=a"],
                "--discovery-endpoints: URL address does not have the form \"host:port\": http://a",
            ),
            (
                &[
                    "--discovery-token=t",
                    "--discovery-endpoints=a:1",
                    "--discovery-user=u",
                ],
                "--discovery-user=u has no password: give name:password or --discovery-password",
            ),
        ];
        for (args, words) in cases {
            assert_eq!(read(args).unwrap_err(), *words, "{args:?}");
        }
    }
}

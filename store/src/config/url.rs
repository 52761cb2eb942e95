//! The URLs of flags, as etcd reads them: scheme and address, never a path.

use std::fmt;

/// How to speak to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// TCP without TLS.
    Http,
    /// TCP with TLS.
    Https,
    /// A Unix socket without TLS.
    Unix,
    /// A Unix socket with TLS.
    Unixs,
}

/// One checked URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    text: String,
    scheme: Scheme,
    /// `host:port`, or the socket's path.
    address: String,
}

/// Why a text is no such URL; the words are etcd's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither of the four schemes.
    #[error("URL scheme must be http, https, unix, or unixs: {0}")]
    Scheme(String),
    /// No port.
    #[error("URL address does not have the form \"host:port\": {0}")]
    HostPort(String),
    /// A port that is no number.
    #[error("parse {text:?}: invalid port {port:?} after host")]
    Port {
        /// The URL.
        text: String,
        /// The port, with its colon.
        port: String,
    },
    /// Something after the port.
    #[error("URL must not contain a path: {0}")]
    Path(String),
    /// No scheme at all.
    #[error("parse {0:?}: first path segment in URL cannot contain colon")]
    NoScheme(String),
    /// An empty list.
    #[error("no valid URLs given")]
    None,
    /// A name where a socket needs an address.
    #[error("expected IP in URL for binding ({0})")]
    NotBindable(String),
    /// An address without a host.
    #[error("unexpected empty host ({0})")]
    EmptyHost(String),
}

impl Url {
    /// Reads one URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, _)) if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                return Err(UrlError::NoScheme(text.into()));
            }
            Some(split) => split,
            None => return Err(UrlError::Scheme(text.into())),
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return Err(UrlError::Scheme(text.into())),
        };
        if matches!(scheme, Scheme::Http | Scheme::Https) {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let Some((_, port)) = split_host_port(authority) else {
                return Err(UrlError::HostPort(text.into()));
            };
            if !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(UrlError::Port {
                    text: text.into(),
                    port: format!(":{port}"),
                });
            }
            if authority.len() != rest.len() {
                return Err(UrlError::Path(text.into()));
            }
        }
        Ok(Self {
            text: text.into(),
            scheme,
            address: rest.into(),
        })
    }

    /// Reads a comma-separated list; sorted, without doubles, as etcd keeps it.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, UrlError> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut urls = text
            .split(',')
            .map(Self::parse)
            .collect::<Result<Vec<_>, _>>()?;
        urls.sort();
        urls.dedup();
        Ok(urls)
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How to speak to it.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether it asks for TLS.
    pub fn is_tls(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Unixs)
    }

    /// Whether it names a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.scheme, Scheme::Unix | Scheme::Unixs)
    }

    /// `host:port`, or the socket's path.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host and the port; none for Unix sockets.
    pub fn host_port(&self) -> Option<(&str, &str)> {
        if self.is_unix() {
            None
        } else {
            split_host_port(&self.address)
        }
    }

    /// A socket needs an address, not a name: a name may mean several.
    pub fn check_bindable(&self) -> Result<(), UrlError> {
        match self.host_port() {
            None => Ok(()),
            Some((host, _)) => {
                let is_ip = host.parse::<std::net::IpAddr>().is_ok();
                if host == "localhost" || is_ip {
                    Ok(())
                } else {
                    Err(UrlError::NotBindable(self.text.clone()))
                }
            }
        }
    }

    /// Others need a host to come to.
    pub fn check_reachable(&self) -> Result<(), UrlError> {
        match self.host_port() {
            Some(("", _)) => Err(UrlError::EmptyHost(self.text.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits `host:port` and `[v6]:port`; none without a port.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').map(|host| (host, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

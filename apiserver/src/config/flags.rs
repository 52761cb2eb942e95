//! kube-apiserver's flags.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::names::{OBEYED, REFUSED, SWITCHES, TUNING};
use super::values::{boolean, duration, ip, number, port_range, service_cidrs};
use super::{Config, KubeletConfig};
use crate::authz::Mode;
use crate::storage::EtcdConfig;

/// A command line that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FlagError {
    /// No such flag.
    #[error("unknown flag: {0}")]
    Unknown(String),
    /// The last flag lacks its value.
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    /// The value does not fit.
    #[error("invalid argument {value:?} for {flag:?} flag: {why}")]
    BadValue {
        /// Which flag.
        flag: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// A single dash with a letter that is no flag.
    #[error("unknown shorthand flag: '{0}' in {1}")]
    Shorthand(char, String),
    /// Dashes without a name behind them.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// Words that are no flags.
    #[error("\"kube-apiserver\" does not take any arguments, got [{}]", quoted(.0))]
    Stray(Vec<String>),
    /// The settings do not fit together; all faults at once.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<String>),
}

fn quoted(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(" ")
}

/// Several errors as upstream prints them.
fn aggregate(faults: &[String]) -> String {
    match faults {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// What `--help` prints.
pub fn usage() -> String {
    let flags: Vec<String> = OBEYED
        .iter()
        .map(|flag| format!("      --{flag}"))
        .collect();
    format!(
        "Serves the Kubernetes API over an etcd v3 store.\n\nUsage:\n  kube-apiserver [flags]\n\nFlags (with upstream's meanings; upstream's other flags are accepted without effect, or refused where that would be unsafe):\n{}",
        flags.join("\n")
    )
}

/// Reads the arguments behind the program's name.
pub fn parse(args: &[String]) -> Result<Config, FlagError> {
    let mut config = defaults();
    let mut strays = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            strays.extend(args.by_ref().cloned());
            continue;
        }
        let Some((name, inline)) = split(arg)? else {
            strays.push(arg.clone());
            continue;
        };
        let value = match inline {
            Some(value) => value,
            None if SWITCHES.contains(&name) => "true",
            None if !is_known(name) => return Err(FlagError::Unknown(format!("--{name}"))),
            None => args
                .next()
                .ok_or_else(|| FlagError::NoValue(format!("--{name}")))?,
        };
        set(&mut config, name, value).map_err(|why| match why {
            Fault::Unknown => FlagError::Unknown(format!("--{name}")),
            Fault::Value(why) => FlagError::BadValue {
                flag: format!("--{name}"),
                value: value.to_owned(),
                why,
            },
        })?;
    }
    if strays.iter().any(|word| !word.is_empty()) {
        return Err(FlagError::Stray(strays));
    }
    check(&mut config)?;
    Ok(config)
}

/// The name of a flag and the value that stands in the same word; none for a word that is no flag.
fn split(arg: &str) -> Result<Option<(&str, Option<&str>)>, FlagError> {
    let Some(body) = arg.strip_prefix("--") else {
        return match arg.strip_prefix('-').and_then(|rest| rest.chars().next()) {
            None => Ok(None),
            // The one flag with a short form: -v 4, -v4 and -v=4.
            Some('v') => {
                let inline = arg.trim_start_matches("-v").trim_start_matches('=');
                Ok(Some(("v", Some(inline).filter(|value| !value.is_empty()))))
            }
            Some(letter) => Err(FlagError::Shorthand(letter, arg.to_owned())),
        };
    };
    if body.starts_with(['-', '=']) {
        return Err(FlagError::Syntax(arg.to_owned()));
    }
    Ok(Some(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    }))
}

fn defaults() -> Config {
    Config {
        etcd: EtcdConfig::default(),
        compaction_interval: Duration::from_secs(300),
        event_ttl: Duration::from_secs(3600),
        bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        secure_port: 6443,
        advertise_address: None,
        tls_cert_file: PathBuf::new(),
        tls_key_file: PathBuf::new(),
        client_ca_file: None,
        service_account_key_files: Vec::new(),
        service_account_signing_key_file: PathBuf::new(),
        service_account_issuers: Vec::new(),
        api_audiences: Vec::new(),
        authorization_modes: vec![Mode::Rbac],
        anonymous_auth: true,
        service_cidrs: Vec::new(),
        node_ports: (30000, 32767),
        kubelet: KubeletConfig::default(),
        enable_admission_plugins: Vec::new(),
        disable_admission_plugins: Vec::new(),
        requests_in_flight_max: 400,
        mutating_in_flight_max: 200,
        request_timeout: Duration::from_secs(60),
        watch_timeout_min: Duration::from_secs(1800),
        shutdown_delay: Duration::ZERO,
        log_level: "info".to_owned(),
    }
}

enum Fault {
    Unknown,
    Value(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Value(why)
    }
}

/// Whether a flag without `=` takes the next word. Names are compared with those `set` knows.
fn is_known(name: &str) -> bool {
    let mut scratch = defaults();
    // A value that no type takes: the fault tells a bad value from an unknown name.
    !matches!(set(&mut scratch, name, "?"), Err(Fault::Unknown))
}

fn set(config: &mut Config, name: &str, value: &str) -> Result<(), Fault> {
    let path = || PathBuf::from(value);
    match name {
        "etcd-servers" => config.etcd.endpoints = list(value),
        "etcd-cafile" => config.etcd.ca_file = Some(path()),
        "etcd-certfile" => config.etcd.cert_file = Some(path()),
        "etcd-keyfile" => config.etcd.key_file = Some(path()),
        "etcd-prefix" if value == "/registry" => {}
        "etcd-prefix" => return Err("only /registry is supported yet".to_owned().into()),
        "etcd-compaction-interval" => config.compaction_interval = duration(value)?,
        "event-ttl" => config.event_ttl = duration(value)?,
        "bind-address" => config.bind_address = ip(value)?,
        "secure-port" => config.secure_port = number(value)?,
        "advertise-address" => config.advertise_address = Some(ip(value)?),
        "tls-cert-file" => config.tls_cert_file = path(),
        "tls-private-key-file" => config.tls_key_file = path(),
        "client-ca-file" => config.client_ca_file = Some(path()),
        "service-account-key-file" => config.service_account_key_files.push(path()),
        "service-account-signing-key-file" => config.service_account_signing_key_file = path(),
        "service-account-issuer" => config.service_account_issuers.push(value.to_owned()),
        "service-account-jwks-uri" => {}
        "api-audiences" => config.api_audiences = list(value),
        "authorization-mode" => {
            config.authorization_modes = list(value)
                .iter()
                .map(|mode| mode.parse())
                .collect::<Result<_, _>>()?;
        }
        "anonymous-auth" => config.anonymous_auth = boolean(value)?,
        "service-cluster-ip-range" => config.service_cidrs = service_cidrs(value)?,
        "service-node-port-range" => config.node_ports = port_range(value)?,
        "kubelet-client-certificate" => config.kubelet.client_cert_file = Some(path()),
        "kubelet-client-key" => config.kubelet.client_key_file = Some(path()),
        "kubelet-certificate-authority" => config.kubelet.ca_file = Some(path()),
        "enable-admission-plugins" => config.enable_admission_plugins = list(value),
        "disable-admission-plugins" => config.disable_admission_plugins = list(value),
        "max-requests-inflight" => config.requests_in_flight_max = number(value)?,
        "max-mutating-requests-inflight" => config.mutating_in_flight_max = number(value)?,
        "request-timeout" => config.request_timeout = duration(value)?,
        "min-request-timeout" => config.watch_timeout_min = Duration::from_secs(number(value)?),
        "shutdown-delay-duration" => config.shutdown_delay = duration(value)?,
        "log-level" => config.log_level = value.to_owned(),
        "v" => config.log_level = level(number(value)?).to_owned(),
        _ if REFUSED.contains(&name) => {
            return Err("this setting is not supported yet".to_owned().into());
        }
        _ if TUNING.contains(&name) => tracing::debug!(flag = name, "flag has no effect here"),
        _ => return Err(Fault::Unknown),
    }
    Ok(())
}

fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Upstream's verbosity as a log filter.
fn level(verbosity: u8) -> &'static str {
    match verbosity {
        0..=3 => "info",
        4..=5 => "info,apiserver=debug",
        _ => "debug",
    }
}

fn check(config: &mut Config) -> Result<(), FlagError> {
    let mut faults = Vec::new();
    let mut must = |given: bool, fault: &str| {
        if !given {
            faults.push(fault.to_owned());
        }
    };
    must(
        !config.etcd.endpoints.is_empty(),
        "--etcd-servers must be specified",
    );
    must(
        config.etcd.cert_file.is_some() == config.etcd.key_file.is_some(),
        "--etcd-certfile and --etcd-keyfile must be given together",
    );
    must(
        !config.tls_cert_file.as_os_str().is_empty() && !config.tls_key_file.as_os_str().is_empty(),
        "--tls-cert-file and --tls-private-key-file must be specified: self-signed certificates are not supported yet",
    );
    must(
        !config.service_account_issuers.is_empty(),
        "--service-account-issuer is a required flag",
    );
    must(
        !config
            .service_account_signing_key_file
            .as_os_str()
            .is_empty(),
        "--service-account-signing-key-file is a required flag",
    );
    must(
        !config.service_account_key_files.is_empty(),
        "--service-account-key-file is a required flag",
    );
    must(
        config.kubelet.client_cert_file.is_some() == config.kubelet.client_key_file.is_some(),
        "--kubelet-client-certificate and --kubelet-client-key must be given together",
    );
    must(
        config
            .authorization_modes
            .iter()
            .enumerate()
            .all(|(at, mode)| !config.authorization_modes[..at].contains(mode)),
        "--authorization-mode has mode specified more than once",
    );
    must(
        config.authorization_modes.contains(&Mode::Rbac),
        "--authorization-mode must contain RBAC: a server that allows everything is not supported",
    );
    must(
        !config.authorization_modes.contains(&Mode::AlwaysAllow),
        "--authorization-mode AlwaysAllow is not supported",
    );
    if !faults.is_empty() {
        return Err(FlagError::Invalid(faults));
    }
    if config.service_cidrs.is_empty() {
        // Upstream's default.
        config.service_cidrs = service_cidrs("10.0.0.0/24").unwrap_or_default();
    }
    if config.api_audiences.is_empty() {
        config
            .api_audiences
            .clone_from(&config.service_account_issuers);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FlagError, parse};

    const GOOD: &[&str] = &[
        "--etcd-servers",
        "http://127.0.0.1:1,http://127.0.0.1:2",
        "--tls-cert-file=a",
        "--tls-private-key-file",
        "b",
        "--service-account-issuer=x",
        "--service-account-signing-key-file=c",
        "--service-account-key-file=d",
    ];

    fn with(more: &[&str]) -> Result<super::Config, FlagError> {
        let args: Vec<String> = GOOD.iter().chain(more).map(|&arg| arg.to_owned()).collect();
        parse(&args)
    }

    #[test]
    fn reads_a_command_line() {
        let config = with(&[
            "--anonymous-auth",
            "--authorization-mode",
            "Node,RBAC",
            "--profiling=false",
            "--secure-port",
            "0",
        ])
        .unwrap();
        assert_eq!(config.etcd.endpoints.len(), 2);
        assert_eq!(config.secure_port, 0);
        assert_eq!(config.api_audiences, ["x"]);
        assert_eq!(config.service_cidrs[0].to_string(), "10.0.0.0/24");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let text = |more: &[&str]| with(more).unwrap_err().to_string();
        assert_eq!(text(&["--foo"]), "unknown flag: --foo");
        assert_eq!(text(&["--foo=1"]), "unknown flag: --foo");
        assert_eq!(
            text(&["--secure-port"]),
            "flag needs an argument: --secure-port"
        );
        assert_eq!(
            text(&["--secure-port", "abc"]),
            "invalid argument \"abc\" for \"--secure-port\" flag: strconv.ParseInt: parsing \"abc\": invalid syntax"
        );
        assert!(text(&["--encryption-provider-config", "x"]).contains("not supported yet"));
        let out_of_range = "strconv.ParseInt: parsing \"70000\": value out of range";
        assert!(text(&["--secure-port=70000"]).ends_with(out_of_range));
        assert_eq!(text(&["-x"]), "unknown shorthand flag: 'x' in -x");
        assert_eq!(text(&["---v=4"]), "bad flag syntax: ---v=4");
        assert_eq!(
            text(&["stray", "--", "--secure-port"]),
            "\"kube-apiserver\" does not take any arguments, got [\"stray\" \"--secure-port\"]"
        );
        assert!(text(&["--authorization-mode=AlwaysAllow"]).contains("must contain RBAC"));
        assert!(text(&["--authorization-mode=RBAC,RBAC"]).contains("more than once"));
        for form in ["-v=4", "-v4", "--v=4"] {
            assert_eq!(with(&[form]).unwrap().log_level, "info,apiserver=debug");
        }
    }

    #[test]
    fn every_flag_that_is_listed_is_known() {
        for name in super::OBEYED
            .iter()
            .chain(super::TUNING)
            .chain(super::REFUSED)
        {
            assert!(super::is_known(name), "{name}");
        }
        for name in super::SWITCHES {
            assert!(super::is_known(name), "{name}");
        }
    }

    #[test]
    fn names_all_faults_at_once() {
        let text = parse(&[]).unwrap_err().to_string();
        for part in [
            "--etcd-servers",
            "--tls-cert-file",
            "--service-account-issuer",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}

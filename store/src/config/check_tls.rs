//! Finds settings of TLS that contradict each other. The words are etcd's where it has some.

use rustls::pki_types::ServerName;

use super::{Config, TlsFiles};

/// Beyond it, a date would not fit etcd's clocks.
const SELF_MADE_YEARS_MAX: u64 = 290;

/// All of them.
pub(super) fn config(config: &Config, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    if config.tls_policy.only_1_2 && config.tls_policy.only_1_3 {
        faults.push("min version (TLS1.3) is greater than max version (TLS1.2)".into());
    }
    if config.tls_policy.only_1_3 && !config.tls_policy.cipher_suites.is_empty() {
        faults.push("cipher suites cannot be configured when only TLS1.3 is enabled".into());
    }
    urls(config, faults);
    side(&config.client_tls, "", faults);
    side(&config.peer_tls, "peer-", faults);
    self_made(config, warnings, faults);
}

fn urls(config: &Config, faults: &mut Vec<String>) {
    let has_certificate =
        |files: &TlsFiles| files.auto || (files.cert.is_some() && files.key.is_some());
    let client = [&config.listen_client_urls, &config.listen_client_http_urls];
    if !has_certificate(&config.client_tls) {
        for url in client.into_iter().flatten().filter(|url| url.is_tls()) {
            faults.push(format!(
                "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} with HTTPS scheme"
            ));
        }
        if config.listen_metrics_urls.iter().any(super::Url::is_tls) {
            faults.push(
                "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"
                    .into(),
            );
        }
    }
    if !has_certificate(&config.peer_tls) {
        for url in config.listen_peer_urls.iter().filter(|url| url.is_tls()) {
            faults.push(format!(
                "cannot listen on TLS for {}: KeyFile and CertFile are not presented",
                url.address()
            ));
        }
    }
}

fn side(files: &TlsFiles, side: &str, faults: &mut Vec<String>) {
    if files.cert.is_some() != files.key.is_some() {
        faults.push(format!(
            "--{side}cert-file and --{side}key-file must be given together"
        ));
    }
    if files.client_cert.is_some() != files.client_key.is_some() {
        faults.push(format!(
            "--{side}client-cert-file and --{side}client-key-file must be given together"
        ));
    }
    let is_pointless = files.auto && files.cert.is_none() && !side.is_empty();
    if files.client_cert_auth && files.trusted_ca.is_none() && !is_pointless {
        faults.push(format!(
            "--{side}client-cert-auth needs --{side}trusted-ca-file: there is nobody to trust otherwise"
        ));
    }
    let (names, hosts) = (&files.allowed_cns, &files.allowed_hostnames);
    if !names.is_empty() && !hosts.is_empty() {
        faults.push(format!(
            "AllowedCNs and AllowedHostnames are mutually exclusive (cns={}, hostnames={})",
            quoted(names),
            quoted(hosts)
        ));
    }
    let which = if side.is_empty() { "client-" } else { side };
    for host in hosts {
        if ServerName::try_from(host.as_str()).is_err() {
            faults.push(format!(
                "--{which}cert-allowed-hostname: {host:?} is neither a host's name nor an address"
            ));
        }
    }
}

fn self_made(config: &Config, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    let sides = [
        ("client", "", &config.client_tls),
        ("peer", "peer-", &config.peer_tls),
    ];
    for (name, _, files) in sides {
        if files.auto && files.cert.is_some() {
            warnings.push(format!("ignoring {name} auto TLS since certs given"));
        }
    }
    let made: Vec<_> = sides
        .into_iter()
        .filter(|(_, _, files)| files.auto && files.cert.is_none())
        .collect();
    if made.is_empty() {
        return;
    }
    match config.self_made_years {
        0 => faults.push("selfSignedCertValidity is invalid,it should be greater than 0".into()),
        years if years > SELF_MADE_YEARS_MAX => faults.push(format!(
            "--self-signed-cert-validity={years} is too long: it must be at most {SELF_MADE_YEARS_MAX}"
        )),
        _ => {}
    }
    let peer = &config.peer_tls;
    let is_peer_made = peer.auto && peer.cert.is_none();
    if is_peer_made && (peer.client_cert_auth || peer.trusted_ca.is_some()) {
        warnings.push(
            "--peer-auto-tls: no authority signs what members make for themselves; \
             --peer-client-cert-auth and --peer-trusted-ca-file have no effect"
                .into(),
        );
    }
}

/// As Go shows a list of texts.
fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

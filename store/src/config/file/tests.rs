//! Configuration files, good and bad. What is taken and what is refused is what etcd 3.7.3 takes and
//! refuses.

use std::time::Duration;

use crate::config::{Config, ConfigError, LogOutput};

fn with_env(yaml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd.yml");
    std::fs::write(&path, yaml).unwrap();
    let args = [
        format!("--config-file={}", path.display()),
        "--name=flag".to_owned(),
    ];
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Config::parse(&args, env)
}

fn read(yaml: &str) -> Result<Config, ConfigError> {
    with_env(yaml, &[])
}

/// The one fault of a file, from behind its folder.
fn fault(yaml: &str) -> String {
    let error = read(yaml).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    let text = error.to_string();
    match text.split_once("/etcd.yml") {
        Some((_, rest)) => format!("etcd.yml{rest}"),
        None => text,
    }
}

const SAMPLE: &str = r#"
# A member.
name: 'infra1'
data-dir: /var/lib/infra1
wal-dir:
snapshot-count: 5000
heartbeat-interval: 50
election-timeout: 500
quota-backend-bytes: 0
listen-peer-urls: http://127.0.0.1:2380
listen-client-urls: http://127.0.0.1:2379,https://127.0.0.1:4001
advertise-client-urls: http://127.0.0.1:2379
initial-advertise-peer-urls: http://127.0.0.1:2380
initial-cluster: "infra1=http://127.0.0.1:2380,infra2=http://127.0.0.1:2381"
initial-cluster-token: 'etcd-cluster-1'
initial-cluster-state: existing
strict-reconfig-check: false
pre-vote: yes
grpc-keepalive-interval: 3600000000000
auto-compaction-retention: "1"
log-outputs: [stderr, /var/log/etcd.log]
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
client-transport-security:
  cert-file: /c.crt
  key-file: /c.key
  client-cert-auth: true
  trusted-ca-file: /ca.crt
  allowed-cn: ["a,b"]
peer-transport-security:
  cert-file: /p.crt
  key-file: /p.key
  trusted-ca-file: /ca.crt
  allowed-hostname:
socket-options:
  reuse-port: true
"#;

#[test]
fn every_kind_of_field_is_read() {
    let config = read(SAMPLE).unwrap();
    assert_eq!(config.name, "infra1", "flags are ignored");
    assert!(config.config_file.is_some());
    assert_eq!(config.data_dir.to_str(), Some("/var/lib/infra1"));
    assert_eq!(config.wal_dir, None);
    assert_eq!(
        (
            config.snapshot_count,
            config.heartbeat_ms,
            config.election_ms
        ),
        (5000, 50, 500)
    );
    assert_eq!(config.listen_client_urls.len(), 2);
    assert_eq!(config.initial_cluster.iter().count(), 2);
    assert_eq!(config.cluster_state, crate::config::ClusterState::Existing);
    assert!(!config.strict_reconfig_check && config.pre_vote);
    assert_eq!(config.keep_alive.interval, Some(Duration::from_secs(3600)));
    assert_eq!(
        config.logging.outputs,
        [
            LogOutput::File("/var/log/etcd.log".into()),
            LogOutput::Stderr
        ]
    );
    assert_eq!(config.tls_policy.cipher_suites.len(), 2);
    assert_eq!(config.client_tls.cert.as_deref(), Some("/c.crt".as_ref()));
    assert!(config.client_tls.client_cert_auth && !config.peer_tls.client_cert_auth);
    assert_eq!(
        config.client_tls.allowed_cns,
        ["a,b"],
        "a comma is part of it"
    );
    assert!(config.peer_tls.allowed_hostnames.is_empty());
    assert!(config.reuse_port);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn the_environment_is_ignored_but_for_the_files_name() {
    let env = [
        ("ETCD_NAME", "env"),
        ("ETCD_HEARTBEAT_INTERVAL", "x"),
        ("ETCD_NOTHING", "y"),
    ];
    assert_eq!(with_env("name: file", &env).unwrap().name, "file");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etcd.yml");
    std::fs::write(&path, "name: file").unwrap();
    let env = [("ETCD_CONFIG_FILE".to_owned(), path.display().to_string())];
    assert_eq!(
        Config::parse(&["--name=flag".to_owned()], env)
            .unwrap()
            .name,
        "file"
    );
}

#[test]
fn what_is_absent_has_etcds_default() {
    for nothing in [
        "",
        "# nothing\n",
        "---\n",
        "name:\nlisten-peer-urls: ''\nlog-format: ''\n",
    ] {
        let config = read(nothing).unwrap();
        assert_eq!(config.name, "default", "{nothing:?}");
        assert_eq!(config.listen_peer_urls[0].as_str(), "http://localhost:2380");
    }
    // Unlike a flag, a file that names where to listen needs not name where to come.
    let config = read("name: a\nlisten-client-urls: http://127.0.0.1:1\n").unwrap();
    assert_eq!(
        config.advertise_client_urls[0].as_str(),
        "http://localhost:2379"
    );
    // The first of several documents counts.
    assert_eq!(read("name: a\n---\nname: b\n").unwrap().name, "a");
    // Names are read without regard to case.
    assert_eq!(read("Name: q\n").unwrap().name, "q");
}

#[test]
fn what_does_no_harm_is_said() {
    let config = read("name: a\nproxy: 'off'\nname: b\npeer-crl-file: x\n").unwrap();
    assert_eq!(config.name, "b");
    let warnings: Vec<&str> = config
        .warnings
        .iter()
        .map(|warning| warning.rsplit_once("/etcd.yml").unwrap().1)
        .collect();
    assert_eq!(
        warnings,
        [
            ":2: proxy is no field of a configuration file and is ignored",
            ":3: name is given twice; the last one counts",
            ":4: peer-crl-file is no field of a configuration file and is ignored",
        ]
    );
}

/// A file, and what is said of it.
const FAULTS: &[(&str, &str)] = &[
    (
        "name: a\ngrpc-keepalive-min-time: 10s\n",
        "etcd.yml:2: grpc-keepalive-min-time: cannot unmarshal string into a duration: a file gives it in nanoseconds, 10s is 10000000000",
    ),
    (
        "heartbeat-interval: \"100\"\n",
        "etcd.yml:1: heartbeat-interval: cannot unmarshal string into a number: write it as digits without quotes",
    ),
    (
        "heartbeat-interval: 1.5\n",
        "etcd.yml:1: heartbeat-interval: cannot unmarshal number into a number: write it as digits without quotes",
    ),
    (
        "max-request-bytes: -1\n",
        "etcd.yml:1: max-request-bytes: cannot unmarshal number -1: it must be from 0 to 18446744073709551615",
    ),
    (
        "name: 12\n",
        "etcd.yml:1: name: cannot unmarshal number into a text: put it in quotes",
    ),
    (
        "pre-vote: 1\n",
        "etcd.yml:1: pre-vote: cannot unmarshal number into true or false: write one of them without quotes",
    ),
    (
        "log-outputs: stderr\n",
        "etcd.yml:1: log-outputs: cannot unmarshal string into a list: write [a, b]",
    ),
    (
        "listen-peer-urls: [http://127.0.0.1:1]\n",
        "etcd.yml:1: listen-peer-urls: cannot unmarshal array into a text: write the values in one text, with commas",
    ),
    (
        "client-transport-security: 5\n",
        "etcd.yml:1: client-transport-security: cannot unmarshal number into a section: write its fields indented below it",
    ),
    (
        "a: 1\npeer-transport-security:\n  # why\n  auto-tls: 'true'\n",
        "etcd.yml:4: auto-tls: cannot unmarshal string into true or false: write one of them without quotes",
    ),
    (
        "feature-gates: Foo=true\n",
        "etcd.yml:1: feature-gates: unrecognized feature gate: Foo",
    ),
    (
        "listen-peer-urls: ftp://x\n",
        "etcd.yml:1: unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://x",
    ),
    (
        "initial-cluster-state: foo\n",
        "etcd.yml:1: unexpected clusterState \"foo\": initial-cluster-state is one of new, existing",
    ),
    (
        "- a\n",
        "etcd.yml: cannot unmarshal array into a configuration: write one `field: value` a line",
    ),
    // What files and flags have in common is told in the same words.
    (
        "log-format: foo\n",
        "unknown log format: foo, supported values json, console",
    ),
    (
        "tls-min-version: foo\n",
        "unexpected TLS version \"foo\" (must be one of: TLS1.2, TLS1.3)",
    ),
];

#[test]
fn a_fault_names_file_line_field_and_remedy() {
    for (yaml, words) in FAULTS {
        assert_eq!(fault(yaml), *words, "{yaml}");
    }
    let broken = fault("name: a\n\tbad: b\n");
    assert!(
        broken.starts_with("etcd.yml: ") && broken.contains("line 2"),
        "{broken}"
    );
    let both = fault("name: 1\nheartbeat-interval: x\n");
    assert_eq!(
        both.matches("cannot unmarshal").count(),
        2,
        "all faults at once: {both}"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let refusal = |path: &str| {
        let error = Config::parse(&[format!("--config-file={path}")], []).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        error.to_string()
    };
    assert_eq!(
        refusal("/no/such.yml"),
        "open /no/such.yml: no such file or directory"
    );
    assert_eq!(refusal("/tmp"), "read /tmp: is a directory");
    assert!(refusal("/dev/zero").starts_with("read /dev/zero: more than "));
}

#[test]
fn no_text_makes_it_panic() {
    for text in [
        "\u{feff}",
        "&a [*a, *a]",
        "{a: {b: [}",
        "? !!map",
        "!x y",
        "key: |\n  a",
        "<<: 5",
    ] {
        let _ = read(text);
        let _ = super::yaml::line_of(text, "a/b");
    }
    let deep = "[".repeat(50_000);
    assert!(read(&deep).is_err());
}

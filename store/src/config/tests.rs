//! Command lines and environments, good and bad. The words of refusals are those of the real etcd.

use std::time::Duration;

use super::{AutoCompaction, Config, ConfigError, Invocation};

mod settings;

fn parse(args: &[&str]) -> Result<Config, ConfigError> {
    parse_with(args, &[])
}

fn parse_with(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    Config::parse(
        &args,
        env.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    )
}

#[test]
fn the_forms_of_a_flag() {
    let config = parse(&[
        "--name=a",
        "-data-dir",
        "/d",
        "--heartbeat-interval",
        "50",
        "--name",
        "b",
    ])
    .unwrap();
    assert_eq!(config.name, "b", "the last one wins");
    assert_eq!(config.data_dir.to_str(), Some("/d"));
    assert_eq!(config.heartbeat_ms, 50);
    let config = parse(&["--pre-vote=false", "--strict-reconfig-check"]).unwrap();
    assert!(!config.pre_vote && config.strict_reconfig_check);
}

#[test]
fn a_flag_wins_over_the_environment() {
    let env = [
        ("ETCD_NAME", "env"),
        ("ETCD_DATA_DIR", "/env"),
        ("ETCD_NOTHING", "x"),
        ("OTHER", "y"),
        ("ETCD_WAL_DIR", ""),
    ];
    let config = parse_with(&["--name=flag"], &env).unwrap();
    assert_eq!(config.name, "flag");
    assert_eq!(config.data_dir.to_str(), Some("/env"));
    assert_eq!(config.wal_dir, None);
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.contains("unrecognized environment variable ETCD_NOTHING"))
    );
    let error = parse_with(&[], &[("ETCD_HEARTBEAT_INTERVAL", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid value \"x\" for ETCD_HEARTBEAT_INTERVAL: parse error"
    );
}

#[test]
fn defaults_are_etcds() {
    let config = parse(&[]).unwrap();
    assert_eq!(config.data_dir.to_str(), Some("default.etcd"));
    assert_eq!((config.heartbeat_ms, config.election_ms), (100, 1000));
    assert_eq!(
        config.initial_cluster.to_string(),
        "default=http://localhost:2380"
    );
    assert_eq!(config.max_request_bytes, 1_572_864);
    assert_eq!(config.lease_ttl_min_seconds(), 2);
    assert_eq!(config.request_timeout(), Duration::from_secs(7));
    assert_eq!(config.watch_progress_interval, Duration::from_secs(600));
    // A name alone names the cluster too.
    assert_eq!(
        parse(&["--name=a"]).unwrap().initial_cluster.to_string(),
        "a=http://localhost:2380"
    );
}

#[test]
fn lists_are_sorted_and_without_doubles() {
    let urls = "--listen-peer-urls=http://127.0.0.1:2,http://127.0.0.1:1,http://127.0.0.1:2";
    let config = parse(&[urls]).unwrap();
    let urls: Vec<&str> = config
        .listen_peer_urls
        .iter()
        .map(super::Url::as_str)
        .collect();
    assert_eq!(urls, ["http://127.0.0.1:1", "http://127.0.0.1:2"]);
}

#[test]
fn auto_compaction_is_read_as_etcd_reads_it() {
    let mode = |args: &[&str]| parse(args).unwrap().auto_compaction;
    assert_eq!(mode(&[]), AutoCompaction::Off);
    let hours = AutoCompaction::Periodic(Duration::from_secs(7200));
    assert_eq!(mode(&["--auto-compaction-retention=2"]), hours);
    let minutes = AutoCompaction::Periodic(Duration::from_secs(300));
    assert_eq!(mode(&["--auto-compaction-retention=5m"]), minutes);
    let revisions = [
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=1000",
    ];
    assert_eq!(mode(&revisions), AutoCompaction::Revision(1000));
}

#[test]
fn a_line_that_cannot_be_read_ends_with_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["--foo"], "flag provided but not defined: -foo"),
        (&["---name"], "bad flag syntax: ---name"),
        (&["--name"], "flag needs an argument: -name"),
        (
            &["--heartbeat-interval=abc"],
            "invalid value \"abc\" for flag -heartbeat-interval: parse error",
        ),
        (
            &["--max-request-bytes=-1"],
            "invalid value \"-1\" for flag -max-request-bytes: parse error",
        ),
        (
            &["--strict-reconfig-check=maybe"],
            "invalid boolean value \"maybe\" for -strict-reconfig-check: parse error",
        ),
        (
            &["--watch-progress-notify-interval=5"],
            "invalid value \"5\" for flag -watch-progress-notify-interval: parse error",
        ),
        (
            &["--initial-cluster-state=foo"],
            "invalid value \"foo\" for flag -initial-cluster-state: invalid value",
        ),
        (
            &["--listen-peer-urls=ftp://x"],
            "invalid value \"ftp://x\" for flag -listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://x",
        ),
        (
            &["--listen-peer-urls=http://127.0.0.1"],
            "invalid value \"http://127.0.0.1\" for flag -listen-peer-urls: URL address does not have the form \"host:port\": http://127.0.0.1",
        ),
        (
            &["--listen-peer-urls=http://127.0.0.1:x"],
            "invalid value \"http://127.0.0.1:x\" for flag -listen-peer-urls: parse \"http://127.0.0.1:x\": invalid port \":x\" after host",
        ),
        (
            &["--feature-gates=Foo=true"],
            "invalid value \"Foo=true\" for flag -feature-gates: unrecognized feature gate: Foo",
        ),
    ];
    for (args, words) in cases {
        let error = parse(args).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (*words, 2),
            "{args:?}"
        );
    }
}

/// A command line, and what is said of it.
const CONTRADICTIONS: &[(&[&str], &str)] = &[
    (&["extra"], "\"extra\" is not a valid flag"),
    (
        &["--heartbeat-interval=500"],
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]",
    ),
    (
        &["--heartbeat-interval=0"],
        "--heartbeat-interval must be >0 (set to 0ms)",
    ),
    (
        &["--election-timeout=60000"],
        "--election-timeout[60000ms] is too long, and should be set less than 50000ms",
    ),
    (
        &["--listen-client-urls=http://127.0.0.1:1"],
        "--advertise-client-urls is required when --listen-client-urls is set explicitly",
    ),
    (
        &["--listen-peer-urls=http://foo.bar:1"],
        "expected IP in URL for binding (http://foo.bar:1)",
    ),
    (
        &["--initial-advertise-peer-urls=http://:1"],
        "--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))",
    ),
    (
        &["--auto-compaction-mode=foo"],
        "unknown auto-compaction-mode \"foo\"",
    ),
    (
        &["--log-format=foo"],
        "unknown log format: foo, supported values json, console",
    ),
    (
        &[
            "--listen-client-urls=https://127.0.0.1:1",
            "--advertise-client-urls=https://127.0.0.1:1",
        ],
        "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme",
    ),
    (
        &["--listen-peer-urls=https://127.0.0.1:1"],
        "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented",
    ),
    (
        &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
        "min version (TLS1.3) is greater than max version (TLS1.2)",
    ),
    (
        &["--listen-client-http-urls=http://localhost:2379"],
        "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url http://localhost:2379",
    ),
    (
        &["--tls-max-version=TLS1.1"],
        "unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)",
    ),
    (
        &["--listen-metrics-urls=https://127.0.0.1:1"],
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
    ),
    (
        &[
            "--peer-cert-allowed-cn=a,b",
            "--peer-cert-allowed-hostname=c",
        ],
        "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a\" \"b\"], hostnames=[\"c\"])",
    ),
    (
        &["--client-cert-allowed-hostname=a b"],
        "--client-cert-allowed-hostname: \"a b\" is neither a host's name nor an address",
    ),
    (
        &["--auto-tls", "--self-signed-cert-validity=0"],
        "selfSignedCertValidity is invalid,it should be greater than 0",
    ),
    (
        &["--feature-gates=LeaseCheckpointPersist=true"],
        "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
    ),
];

#[test]
fn contradictions_end_with_1() {
    for (args, words) in CONTRADICTIONS {
        let error = parse(args).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.exit_code()),
            (*words, 1),
            "{args:?}"
        );
    }
}

#[test]
fn all_faults_are_told_together() {
    let error = parse(&[
        "--heartbeat-interval=0",
        "--election-timeout=60000",
        "--snapshot-count=0",
    ])
    .unwrap_err();
    let ConfigError::Invalid(faults) = error else {
        panic!("{error:?}")
    };
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn what_has_no_effect_is_said() {
    for flag in [
        "--unsafe-no-fsync",
        "--max-wals=3",
        "--backend-batch-limit=5",
        "--feature-gates=PriorityRequest=true",
        "--snapshot=1",
        "--bcrypt-cost=3",
    ] {
        let config = parse(&["--name=a", flag]).unwrap();
        assert_eq!(config.warnings.len(), 1, "{flag}: {:?}", config.warnings);
    }
    // Said as they are by default, they promise nothing.
    let config = parse(&[
        "--name=a",
        "--auto-tls=false",
        "--force-new-cluster=false",
        "--max-wals=5",
    ])
    .unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn help_and_version_are_printed() {
    let print = |arg: &str| match Invocation::parse(&[arg.to_owned()], []) {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{other:?}"),
    };
    let version = print("--version");
    let lines: Vec<&str> = version.lines().collect();
    assert_eq!(lines[0], "etcd Version: 3.7.3");
    assert!(
        lines[1].starts_with("Git SHA: ")
            && lines[2].starts_with("Go Version: ")
            && lines[3].starts_with("Go OS/Arch: ")
    );
    let help = print("-h");
    for flag in [
        "--data-dir",
        "--initial-cluster",
        "--client-cert-auth",
        "--quota-backend-bytes",
    ] {
        assert!(help.contains(flag), "{flag}");
    }
}

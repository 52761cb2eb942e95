//! What a command line turns on: who may come, how users prove themselves, what is compared.

use std::time::Duration;

use super::super::{AuthToken, Gates, MetricsDetail};
use super::parse;

#[test]
fn who_may_come_by_http_is_read() {
    let config = parse(&["--name=a"]).unwrap();
    assert!(config.enable_grpc_gateway);
    assert!(config.cors.contains("*") && config.host_whitelist.contains("*"));
    let config = parse(&[
        "--name=a",
        "--enable-grpc-gateway=false",
        "--cors=http://a.b:1,https://c:2",
        "--host-whitelist=b,a,b",
    ])
    .unwrap();
    assert!(!config.enable_grpc_gateway);
    let texts = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    assert_eq!(texts(&config.cors), ["http://a.b:1", "https://c:2"]);
    assert_eq!(texts(&config.host_whitelist), ["a", "b"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let bad = [
        (
            "--cors=http://a",
            "URL address does not have the form \"host:port\": http://a",
        ),
        (
            "--cors=http://a:1,*",
            "URL scheme must be http, https, unix, or unixs: *",
        ),
    ];
    for (flag, why) in bad {
        let error = parse(&[flag]).unwrap_err();
        assert!(error.to_string().ends_with(why), "{flag}: {error}");
        assert_eq!(error.exit_code(), 2, "{flag}");
    }
}

#[test]
fn settings_of_users_are_read() {
    let config = parse(&["--name=a"]).unwrap();
    assert_eq!(config.auth_token, AuthToken::Simple);
    assert_eq!(config.auth_token_ttl, Duration::from_secs(300));
    assert_eq!(config.bcrypt_cost, 10);
    let flags = [
        "--name=a",
        "--auth-token=",
        "--auth-token-ttl=7",
        "--bcrypt-cost=4",
    ];
    let config = parse(&flags).unwrap();
    assert_eq!(config.auth_token, AuthToken::Off);
    assert_eq!(config.auth_token_ttl, Duration::from_secs(7));
    assert_eq!(config.bcrypt_cost, 4);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let odd = parse(&["--name=a", "--auth-token-ttl=0", "--bcrypt-cost=99"]).unwrap();
    assert_eq!(odd.auth_token_ttl, Duration::from_secs(300));
    assert_eq!(odd.bcrypt_cost, 10);
    let error = parse(&["--auth-token=jwt"]).unwrap_err();
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn gates_and_checks_are_read() {
    let config = parse(&["--name=a"]).unwrap();
    assert_eq!(config.gates, Gates::default());
    assert!(config.corrupt_check_interval.is_zero());
    assert_eq!(config.compact_hash_check_interval, Duration::from_secs(60));
    let config = parse(&[
        "--name=a",
        "--feature-gates=CompactHashCheck=true,FastLeaseKeepAlive=true",
        "--corrupt-check-time=1s",
        "--compact-hash-check-time=2s",
    ])
    .unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.gates.compact_hash_check && !config.gates.initial_corrupt_check);
    assert_eq!(config.corrupt_check_interval, Duration::from_secs(1));
    assert_eq!(config.compact_hash_check_interval, Duration::from_secs(2));
    let config = parse(&[
        "--name=a",
        "--feature-gates=AllAlpha=true,LeaseCheckpoint=false,LeaseCheckpointPersist=false",
    ])
    .unwrap();
    assert!(config.gates.initial_corrupt_check && !config.gates.lease_checkpoint);
    let config = parse(&["--name=a", "--feature-gates=PriorityRequest=true"]).unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    let error = parse(&["--name=a", "--feature-gates=LeaseCheckpointPersist=true"]).unwrap_err();
    assert!(error.to_string().contains("requires enabling"), "{error}");
}

#[test]
fn what_is_measured_and_told_is_read() {
    let config = parse(&["--name=a", "--distributed-tracing-sampling-rate=-1"]).unwrap();
    assert!(
        config.traces.is_none() && !config.enable_pprof,
        "off, and then not checked"
    );
    assert_eq!(config.metrics, MetricsDetail::Basic);
    let config = parse(&[
        "--name=a",
        "--enable-pprof",
        "--metrics=extensive",
        "--enable-distributed-tracing",
        "--distributed-tracing-sampling-rate=1000",
        "--distributed-tracing-instance-id=b",
    ])
    .unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert!(config.enable_pprof);
    assert_eq!(config.metrics, MetricsDetail::Extensive);
    let traces = config.traces.unwrap();
    assert_eq!(traces.address, "localhost:4317");
    assert_eq!(
        (traces.service_name.as_str(), traces.instance_id.as_str()),
        ("etcd", "b")
    );
    assert!((traces.sampled_share - 0.001).abs() < 1e-12);
}

#[test]
fn a_collector_that_cannot_be_is_refused() {
    let bad = [
        ("sampling-rate=-1", "tracing sampling rate must be positive"),
        (
            "sampling-rate=1000001",
            "tracing sampling rate must be less than 1000000",
        ),
        (
            "address=",
            "tracing address \"\" does not have the form \"host:port\"",
        ),
        (
            "address=a",
            "tracing address \"a\" does not have the form \"host:port\"",
        ),
        (
            "address=a:0",
            "tracing address \"a:0\" does not have the form \"host:port\"",
        ),
        (
            "address=a:99999",
            "tracing address \"a:99999\" does not have the form \"host:port\"",
        ),
        (
            "address=http://a:1",
            "tracing address \"http://a:1\" does not have the form \"host:port\"",
        ),
        (
            "address=a:1/b",
            "tracing address \"a:1/b\" does not have the form \"host:port\"",
        ),
        (
            "address=u@a:1",
            "tracing address \"u@a:1\" does not have the form \"host:port\"",
        ),
        (
            "address=a b:1",
            "tracing address \"a b:1\" does not have the form \"host:port\"",
        ),
    ];
    for (flag, why) in bad {
        let flag = format!("--distributed-tracing-{flag}");
        let error = parse(&["--enable-distributed-tracing", &flag]).unwrap_err();
        let words = format!("distributed tracing configurition is not valid: ({why})");
        assert_eq!(error.to_string(), words, "{flag}");
        assert_eq!(error.exit_code(), 1, "{flag}");
    }
    for good in ["a:1", "127.0.0.1:4317", "[::1]:4317", "a.b-c:65535"] {
        let flag = format!("--distributed-tracing-address={good}");
        assert!(
            parse(&["--enable-distributed-tracing", &flag]).is_ok(),
            "{good}"
        );
    }
}

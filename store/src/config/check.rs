//! Finds settings that contradict each other. The words are etcd's, because its users look for them.

use super::flags::Support;
use super::values::Values;
use super::{AutoCompaction, Config, Url, gates, text};
use crate::limits;

/// Flags that have no effect, and flags that would promise too much.
pub(super) fn support(values: &Values, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    for (flag, value) in values.unsupported() {
        match flag.support {
            Support::Yes => {}
            Support::Ignored => warnings.push(format!("--{} is ignored", flag.name)),
            Support::Warns(why) => {
                warnings.push(format!("--{}={value} has no effect: {why}", flag.name))
            }
        }
    }
    gates::check(values.text("feature-gates"), warnings, faults);
}

/// `--auto-compaction-mode` and `--auto-compaction-retention` together.
pub(super) fn auto_compaction(values: &Values) -> Result<AutoCompaction, String> {
    let retention = values.text("auto-compaction-retention");
    match values.text("auto-compaction-mode") {
        "" => Err("undefined auto-compaction-mode".into()),
        "revision" => match text::signed(retention) {
            Ok(revisions @ 1..) => Ok(AutoCompaction::Revision(revisions)),
            Ok(0) => Ok(AutoCompaction::Off),
            _ => Err(format!(
                "error parsing CompactionRetention: invalid number {retention:?}"
            )),
        },
        "periodic" => {
            // A bare number is hours.
            let period = match retention.parse::<u32>() {
                Ok(hours) => std::time::Duration::from_secs(3_600 * u64::from(hours)),
                Err(_) => text::duration(retention).map_err(|_| {
                    format!(
                        "error parsing CompactionRetention: time: invalid duration {retention:?}"
                    )
                })?,
            };
            Ok(if period.is_zero() {
                AutoCompaction::Off
            } else {
                AutoCompaction::Periodic(period)
            })
        }
        other => Err(format!("unknown auto-compaction-mode {other:?}")),
    }
}

/// `--bcrypt-cost`; etcd takes its default in the place of one that is none.
pub(super) fn bcrypt_cost(values: &Values, warnings: &mut Vec<String>) -> u32 {
    let given = values.unsigned("bcrypt-cost");
    let range = limits::BCRYPT_COST_MIN..=limits::BCRYPT_COST_MAX;
    match u32::try_from(given)
        .ok()
        .filter(|cost| range.contains(cost))
    {
        Some(cost) => cost,
        None => {
            let default = limits::BCRYPT_COST_DEFAULT;
            warnings.push(format!(
                "use default bcrypt cost {default} instead of the invalid given cost {given}"
            ));
            default
        }
    }
}

/// `--tls-min-version` and `--tls-max-version`, of which the latter may be empty.
pub(super) fn tls_versions(values: &Values, faults: &mut Vec<String>) {
    for name in ["tls-min-version", "tls-max-version"] {
        let version = values.text(name);
        if !matches!(version, "" | "TLS1.2" | "TLS1.3") {
            faults.push(format!(
                "unexpected TLS version {version:?} (must be one of: TLS1.2, TLS1.3)"
            ));
        }
    }
}

/// Everything else.
pub(super) fn config(config: &Config, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    urls(config, faults);
    timing(config, faults);
    sizes(config, warnings, faults);
    super::check_tls::config(config, warnings, faults);
    if config.name == "default" {
        warnings.push(
            "it isn't recommended to use default name, please set a value for --name. Note that etcd \
             might run into issue when multiple members have the same default name"
                .into(),
        );
    }
}

fn urls(config: &Config, faults: &mut Vec<String>) {
    let bound = [
        &config.listen_peer_urls,
        &config.listen_client_urls,
        &config.listen_client_http_urls,
        &config.listen_metrics_urls,
    ];
    for url in bound.into_iter().flatten() {
        if let Err(fault) = url.check_bindable() {
            faults.push(fault.to_string());
        }
    }
    for url in &config.advertise_peer_urls {
        if let Err(fault) = url.check_reachable() {
            let all = join(&config.advertise_peer_urls);
            faults.push(format!(
                "--initial-advertise-peer-urls {all:?} must be \"host:port\" ({fault})"
            ));
        }
    }
    for url in &config.advertise_client_urls {
        if let Err(fault) = url.check_reachable() {
            let all = join(&config.advertise_client_urls);
            faults.push(format!(
                "--advertise-client-urls {all:?} must be in the format \"host:port\", \
                 \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" ({fault})"
            ));
        }
    }
    for url in &config.listen_client_http_urls {
        // Port 0 is another one each time.
        let is_same =
            |client: &Url| client.address() == url.address() && !url.address().ends_with(":0");
        if config.listen_client_urls.iter().any(is_same) {
            faults.push(format!(
                "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url {url}"
            ));
        }
    }
    if config.listen_peer_urls.is_empty() {
        faults.push("--listen-peer-urls is empty: other members could not reach this one".into());
    }
    if config.listen_client_urls.is_empty() {
        faults.push("--listen-client-urls is empty: clients could not reach this member".into());
    } else if config.advertise_client_urls.is_empty() {
        faults.push(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
                .into(),
        );
    }
}

fn timing(config: &Config, faults: &mut Vec<String>) {
    let (heartbeat, election) = (config.heartbeat_ms, config.election_ms);
    if heartbeat == 0 {
        faults.push(format!(
            "--heartbeat-interval must be >0 (set to {heartbeat}ms)"
        ));
    }
    if election == 0 {
        faults.push(format!(
            "--election-timeout must be >0 (set to {election}ms)"
        ));
    } else if heartbeat.saturating_mul(5) > election {
        faults.push(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        ));
    }
    if election > limits::ELECTION_MS_MAX {
        faults.push(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {}ms",
            limits::ELECTION_MS_MAX
        ));
    }
}

fn sizes(config: &Config, warnings: &mut Vec<String>, faults: &mut Vec<String>) {
    if config.max_request_bytes > limits::REQUEST_BYTES_MAX {
        faults.push(format!(
            "--max-request-bytes={} is more than one log entry can carry ({})",
            config.max_request_bytes,
            limits::REQUEST_BYTES_MAX
        ));
    } else if config.max_request_bytes > limits::REQUEST_BYTES_RECOMMENDED {
        warnings.push(format!(
            "exceeded recommended request limit: --max-request-bytes={} (recommended {})",
            config.max_request_bytes,
            limits::REQUEST_BYTES_RECOMMENDED
        ));
    }
    if config.snapshot_count == 0 {
        faults.push("--snapshot-count must be >0: the log could never be cut".into());
    }
}

fn join(urls: &[Url]) -> String {
    urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",")
}

//! Plain HTTP beside gRPC: health, version, metrics, and what a joining member asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use proto_etcd::etcdserverpb::{AlarmType, RangeRequest};
use serde::{Deserialize, Serialize};

use super::cluster;
use super::context::Context;
use super::kv::read_range;
use super::status::Error;
use crate::config::{self, ETCD_VERSION};
use crate::metrics::CONTENT_TYPE;

/// A member as `/members` tells it to one that joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerMember {
    pub(crate) id: u64,
    #[serde(rename = "peerURLs")]
    pub(crate) peer_urls: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(default, rename = "clientURLs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) client_urls: Vec<String>,
    #[serde(
        default,
        rename = "isLearner",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(crate) is_learner: bool,
}

/// The header that names the cluster, in hexadecimal.
pub(crate) const CLUSTER_ID_HEADER: HeaderName = HeaderName::from_static("x-etcd-cluster-id");

const TEXT: &str = "text/plain; charset=utf-8";

/// `/health`, `/livez` and `/readyz`.
pub fn health_routes(context: &Arc<Context>) -> Router {
    let mut router = Router::new().route("/health", get(health));
    for (root, checks) in [("/livez", LIVEZ), ("/readyz", READYZ)] {
        router = router.route(
            root,
            get(move |context: State<Arc<Context>>, query: RawQuery| {
                report(context, query, checks)
            }),
        );
        for check in checks {
            let checks = std::slice::from_ref(check);
            router = router.route(
                &format!("{root}/{}", check.name()),
                get(move |context: State<Arc<Context>>, query: RawQuery| {
                    report(context, query, checks)
                }),
            );
        }
    }
    router.with_state(context.clone())
}

/// `/metrics`.
pub fn metrics_routes(context: &Arc<Context>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(context.clone())
}

/// `/version` and `/debug/vars`.
pub fn version_routes(context: &Arc<Context>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/debug/vars", get(vars))
        .with_state(context.clone())
}

/// What members ask each other: `/members` and `/version`.
pub(crate) fn peer_routes(context: &Arc<Context>) -> Router {
    Router::new()
        .route("/members", get(members))
        .route("/version", get(version))
        .with_state(context.clone())
}

/// One thing to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

const LIVEZ: &[Check] = &[Check::SerializableRead];
const READYZ: &[Check] = &[
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    async fn run(self, context: &Context) -> Result<(), String> {
        match self {
            Self::DataCorruption => {
                let alarms = context.view.alarms();
                let is_corrupt = alarms
                    .iter()
                    .any(|alarm| alarm.alarm() == AlarmType::Corrupt);
                if is_corrupt {
                    Err("alarm activated: CORRUPT".into())
                } else {
                    Ok(())
                }
            }
            Self::SerializableRead => probe(context, true).await.map_err(|error| error.message()),
            Self::LinearizableRead => probe(context, false).await.map_err(|error| error.message()),
            Self::NonLearner if context.is_learner() => Err("not supported for learner".into()),
            Self::NonLearner => Ok(()),
        }
    }
}

/// Reads at most one key, whichever comes first.
async fn probe(context: &Context, serializable: bool) -> Result<(), Error> {
    if !serializable {
        context.linearize().await?;
    }
    let request = RangeRequest {
        key: bytes::Bytes::from_static(&[0]),
        range_end: bytes::Bytes::from_static(&[0]),
        limit: 1,
        keys_only: true,
        ..Default::default()
    };
    read_range(context, None, request).await.map(drop)
}

async fn report(
    State(context): State<Arc<Context>>,
    RawQuery(query): RawQuery,
    checks: &'static [Check],
) -> Response {
    let excluded = values(query.as_deref(), "exclude");
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        if checks.len() > 1 && excluded.contains(check.name()) {
            continue;
        }
        match check.run(&context).await {
            Ok(()) => lines.push_str(&format!("[+]{} ok\n", check.name())),
            Err(reason) => {
                failed = true;
                lines.push_str(&format!("[-]{} failed: {reason}\n", check.name()));
            }
        }
    }
    if failed {
        // The reasons come whether they were asked for or not, and with the extra line that etcd adds.
        lines.push('\n');
        return text(StatusCode::SERVICE_UNAVAILABLE, lines);
    }
    if !has_key(query.as_deref(), "verbose") {
        lines.clear();
    }
    lines.push_str("ok\n");
    text(StatusCode::OK, lines)
}

#[derive(Serialize)]
struct Health {
    health: &'static str,
    reason: String,
}

async fn health(State(context): State<Arc<Context>>, RawQuery(query): RawQuery) -> Response {
    let excluded = values(query.as_deref(), "exclude");
    let serializable = values(query.as_deref(), "serializable").contains("true");
    let reason = unhealthy(&context, &excluded, serializable).await;
    let health = Health {
        health: if reason.is_none() { "true" } else { "false" },
        reason: reason.clone().unwrap_or_default(),
    };
    let body = serde_json::to_string(&health).unwrap_or_default();
    match reason {
        None => {
            context.metrics.health_success.inc();
            // Not as a check's answer: the header against guesses at its type is missing in etcd's too.
            ([(header::CONTENT_TYPE, TEXT)], body).into_response()
        }
        Some(reason) => {
            context.metrics.health_failures.inc();
            tracing::warn!(reason, "serving /health false");
            text(StatusCode::SERVICE_UNAVAILABLE, body + "\n")
        }
    }
}

async fn unhealthy(
    context: &Context,
    excluded: &BTreeSet<String>,
    serializable: bool,
) -> Option<String> {
    for alarm in context.view.alarms() {
        let name = alarm.alarm().as_str_name();
        if !excluded.contains(name) {
            return Some(match alarm.alarm() {
                AlarmType::Nospace => "ALARM NOSPACE".into(),
                AlarmType::Corrupt => "ALARM CORRUPT".into(),
                AlarmType::None => "ALARM UNKNOWN".into(),
            });
        }
    }
    if !serializable && !context.has_leader() {
        return Some("RAFT NO LEADER".into());
    }
    probe(context, serializable)
        .await
        .err()
        .map(|error| format!("RANGE ERROR:{}", error.message()))
}

async fn version(State(context): State<Arc<Context>>) -> Response {
    let cluster = context
        .view
        .cluster_version()
        .unwrap_or_else(|| "not_decided".into());
    let storage = context.view.storage_version();
    let body = format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{cluster}","storage":"{storage}"}}"#
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let text = context.metrics.render(&context);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

/// What etcd has from Go's expvar, as far as it is not about Go's memory; without passwords.
async fn vars() -> Response {
    let args: Vec<String> = std::env::args().collect();
    let vars = serde_json::json!({
        "cmdline": config::redacted(&args),
        "file_descriptor_limit": rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
    });
    let json = "application/json; charset=utf-8";
    ([(header::CONTENT_TYPE, json)], vars.to_string()).into_response()
}

async fn members(State(context): State<Arc<Context>>) -> Response {
    let members: Vec<PeerMember> = cluster::members(&context)
        .into_iter()
        .map(|member| PeerMember {
            id: member.id,
            peer_urls: member.peer_urls,
            name: member.name,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
        })
        .collect();
    let body = serde_json::to_string(&members).unwrap_or_default();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (CLUSTER_ID_HEADER, format!("{:x}", context.ids.cluster)),
    ];
    (headers, body).into_response()
}

/// An answer that is text, as Go's library sends errors.
pub(super) fn text(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}

/// The values of one key of a query; names of checks and alarms need no decoding.
fn values(query: Option<&str>, key: &str) -> BTreeSet<String> {
    let pairs = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, value)| *name == key && !value.is_empty())
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// The first value of one key of a query.
pub(super) fn value<'a>(query: Option<&'a str>, key: &str) -> Option<&'a str> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn has_key(query: Option<&str>, key: &str) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair.split('=').next() == Some(key))
}

#[cfg(test)]
mod tests {
    use super::{has_key, values};

    #[test]
    fn queries_are_read() {
        let query = Some("verbose&exclude=a&exclude=b&exclude=&serializable=true");
        assert!(has_key(query, "verbose") && has_key(query, "exclude") && !has_key(query, "verb"));
        assert_eq!(
            values(query, "exclude").into_iter().collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(values(None, "exclude").is_empty());
    }
}

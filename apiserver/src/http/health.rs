//! `/livez`, `/readyz`, `/healthz` and the single checks below them, in upstream's form.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Response, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::body::{Body, full};
use crate::bootstrap::Progress;
use crate::cache::Cache;
use crate::registry::query::Query;
use crate::storage::Etcd;

/// How long the store may take to answer a check.
const STORE_MAX: Duration = Duration::from_secs(2);
/// Checks share an answer of the store for this long.
const STORE_FRESH: Duration = Duration::from_millis(500);

/// Whether this replica is well.
#[derive(Debug)]
pub struct Health {
    etcd: Etcd,
    shutting_down: AtomicBool,
    bootstrap: Progress,
    store: Mutex<Option<(Instant, bool)>>,
}

struct Check {
    name: &'static str,
    fault: Option<&'static str>,
}

impl Health {
    /// Checks against this store.
    pub fn new(etcd: Etcd, bootstrap: Progress) -> Self {
        Self {
            etcd,
            shutting_down: AtomicBool::new(false),
            bootstrap,
            store: Mutex::default(),
        }
    }

    /// From now on the replica is not ready, so that nobody sends it new work.
    pub fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::Release);
    }

    /// Whether `path` is a health check.
    pub fn is_health(path: &str) -> bool {
        let first = path
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        matches!(first, "livez" | "readyz" | "healthz")
    }

    /// Answers a check, or `None` for one that does not exist.
    pub async fn respond(
        &self,
        path: &str,
        query: &Query,
        cache: &Cache,
    ) -> Option<Response<Body>> {
        let (endpoint, single) = path
            .trim_matches('/')
            .split_once('/')
            .unwrap_or((path.trim_matches('/'), ""));
        let mut checks = self.checks(endpoint, cache).await;
        if !single.is_empty() {
            checks.retain(|check| check.name == single);
            if checks.is_empty() {
                return None;
            }
        }
        let excluded: Vec<&str> = query.all("exclude").collect();
        let failed = checks
            .iter()
            .any(|check| check.fault.is_some() && !excluded.contains(&check.name));
        let text = if failed || query.has("verbose") {
            verbose(endpoint, &checks, &excluded, failed)
        } else {
            "ok".to_owned()
        };
        let status = if failed {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(
            "x-content-type-options",
            header::HeaderValue::from_static("nosniff"),
        );
        Some(response)
    }

    async fn checks(&self, endpoint: &str, cache: &Cache) -> Vec<Check> {
        let store = self.store_answers().await;
        let check = |name, well: bool, fault| Check {
            name,
            fault: (!well).then_some(fault),
        };
        let mut checks = vec![
            check("ping", true, ""),
            check("log", true, ""),
            // A process is not dead because its store is: only readiness depends on it.
            check(
                "etcd",
                store || endpoint == "livez",
                "the store does not answer",
            ),
        ];
        if endpoint == "readyz" {
            checks.push(check("etcd-readiness", store, "the store does not answer"));
            checks.push(check(
                "informer-sync",
                cache.is_live(),
                "the cache is not live yet",
            ));
        }
        if endpoint != "livez" {
            let steps = self.bootstrap.steps();
            checks.extend(steps.map(|(name, done)| check(name, done, "not finished")));
        }
        if endpoint == "readyz" {
            let stays = !self.shutting_down.load(Ordering::Acquire);
            checks.push(check("shutdown", stays, "process is shutting down"));
        }
        checks
    }

    async fn store_answers(&self) -> bool {
        if let Some((when, well)) = *self.store.lock()
            && when.elapsed() < STORE_FRESH
        {
            return well;
        }
        let well = matches!(
            timeout(STORE_MAX, self.etcd.current_revision()).await,
            Ok(Ok(_))
        );
        *self.store.lock() = Some((Instant::now(), well));
        well
    }
}

fn verbose(endpoint: &str, checks: &[Check], excluded: &[&str], failed: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let name = check.name;
        text += &match check.fault {
            _ if excluded.contains(&name) => format!("[+]{name} excluded: ok\n"),
            None => format!("[+]{name} ok\n"),
            // The reason stays in the log: everyone may read this answer.
            Some(fault) => {
                tracing::info!(check = name, fault, "health check failed");
                format!("[-]{name} failed: reason withheld\n")
            }
        };
    }
    text += &format!(
        "{endpoint} check {}\n",
        if failed { "failed" } else { "passed" }
    );
    text
}

//! Proves that of two candidates one leads, that its lease passes on when it stops, and that a leader which cannot renew
//! stops before another could take the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::Tasks;
use client::leader::{Config, Elector};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::{Answer, connect, failure, serve};

/// One lease with resource versions, as the API keeps it.
#[derive(Default)]
struct Leases {
    lease: Mutex<Option<Value>>,
    is_broken: AtomicBool,
}

impl Leases {
    fn answer(&self, method: &Method, body: Value) -> Answer {
        if self.is_broken.load(Ordering::Relaxed) {
            return failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        let mut lease = self.lease.lock();
        let version = |lease: &Value| lease["metadata"]["resourceVersion"].clone();
        let next = match (method.as_str(), lease.as_ref()) {
            ("GET", None) => return failure(StatusCode::NOT_FOUND, "NotFound"),
            ("GET", Some(lease)) => return Some((StatusCode::OK, lease.clone())),
            ("POST", Some(_)) => return failure(StatusCode::CONFLICT, "AlreadyExists"),
            ("PUT", Some(old)) if version(old) != version(&body) => {
                return failure(StatusCode::CONFLICT, "Conflict");
            }
            (_, old) => {
                let old = old.and_then(|old| version(old).as_str()?.parse::<u64>().ok());
                old.unwrap_or(0) + 1
            }
        };
        let mut body = body;
        body["metadata"]["resourceVersion"] = json!(next.to_string());
        *lease = Some(body.clone());
        Some((StatusCode::OK, body))
    }
}

fn config(identity: &str) -> Config {
    Config {
        identity: identity.to_owned(),
        lease_duration: Duration::from_secs(3),
        renew_deadline: Duration::from_millis(1200),
        retry_period: Duration::from_millis(200),
        ..Config::new("kube-system", "test")
    }
}

struct Candidate {
    stop: CancellationToken,
    terms: Arc<AtomicUsize>,
    leads: Arc<AtomicBool>,
}

async fn candidate(tasks: &Tasks, server: std::net::SocketAddr, name: &'static str) -> Candidate {
    let elector = Elector::new(connect(&[server]).await, config(name)).unwrap();
    let stop = tasks.stop().child_token();
    let (terms, leads) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (count, flag, token) = (terms.clone(), leads.clone(), stop.clone());
    tasks.spawn(name, base::OnError::Stop, async move {
        let lead = |term: CancellationToken| {
            count.fetch_add(1, Ordering::Relaxed);
            flag.store(true, Ordering::Relaxed);
            let flag = flag.clone();
            async move {
                term.cancelled().await;
                flag.store(false, Ordering::Relaxed);
            }
        };
        elector.run(token, lead).await
    });
    Candidate { stop, terms, leads }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_leads_and_hands_over_when_it_stops() {
    let tasks = Tasks::new("election");
    let leases = Arc::new(Leases::default());
    let kept = leases.clone();
    let server = serve(&tasks, move |method, _, body| kept.answer(&method, body)).await;
    let first = candidate(&tasks, server, "a").await;
    until("a leads", || first.leads.load(Ordering::Relaxed)).await;
    let second = candidate(&tasks, server, "b").await;
    let renewed =
        |leases: &Leases| leases.lease.lock().as_ref().unwrap()["spec"]["renewTime"].clone();
    let before = renewed(&leases);
    until("a renews", || renewed(&leases) != before).await;
    assert_eq!(second.terms.load(Ordering::Relaxed), 0);
    first.stop.cancel();
    until("b leads", || second.leads.load(Ordering::Relaxed)).await;
    assert!(!first.leads.load(Ordering::Relaxed));
    let lease = leases.lease.lock().clone().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "b");
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_and_stands_again() {
    let tasks = Tasks::new("election");
    let leases = Arc::new(Leases::default());
    let kept = leases.clone();
    let server = serve(&tasks, move |method, _, body| kept.answer(&method, body)).await;
    let only = candidate(&tasks, server, "a").await;
    until("a leads", || only.leads.load(Ordering::Relaxed)).await;
    leases.is_broken.store(true, Ordering::Relaxed);
    let broken = Instant::now();
    until("a stops", || !only.leads.load(Ordering::Relaxed)).await;
    // Before the lease runs out for others, who wait for a whole duration after the last renewal.
    assert!(
        broken.elapsed() < Duration::from_secs(3),
        "{:?}",
        broken.elapsed()
    );
    leases.is_broken.store(false, Ordering::Relaxed);
    until("a leads again", || only.terms.load(Ordering::Relaxed) == 2).await;
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

//! Proves that a service account's client makes the account, carries its tokens and nothing else, and gets new ones before
//! they end and when they are refused, each request being executed once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use client::{Accounts, Client};
use http::StatusCode;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::server::{Answer, Call, connect, failure, options, serve_calls};

const ACCOUNTS: &str = "/api/v1/namespaces/kube-system/serviceaccounts";

/// An api-server that knows one account, its newest token, and the process's own.
struct World {
    seconds: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: Vec<String>,
    /// Tokens handed out; the last one alone is good.
    tokens: u64,
    is_revoked: bool,
    refusals: u64,
    writes: u64,
}

impl World {
    /// With tokens that live for so many seconds.
    fn new(seconds: i64) -> Arc<Self> {
        Arc::new(Self {
            seconds,
            state: Mutex::default(),
        })
    }

    fn answer(&self, call: &Call) -> Answer {
        let mut state = self.state.lock();
        if call.path.starts_with(ACCOUNTS) {
            assert_eq!(
                call.authorization, "Bearer own",
                "accounts are asked for by the process"
            );
            return self.provision(&mut state, call);
        }
        let good = format!("Bearer t{}", state.tokens);
        if call.authorization != good || state.is_revoked {
            state.refusals += 1;
            return failure(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        state.writes += u64::from(call.method == http::Method::POST);
        Some((StatusCode::OK, namespace()))
    }

    fn provision(&self, state: &mut State, call: &Call) -> Answer {
        if call.path == ACCOUNTS {
            let name = call.body["metadata"]["name"].as_str().unwrap();
            state.accounts.push(name.to_owned());
            return Some((StatusCode::CREATED, call.body.clone()));
        }
        assert_eq!(call.path, format!("{ACCOUNTS}/a/token"));
        if state.accounts.is_empty() {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        }
        assert_eq!(call.body["spec"]["expirationSeconds"], 3600);
        state.tokens += 1;
        state.is_revoked = false;
        let mut answer = call.body.clone();
        answer["spec"]["expirationSeconds"] = json!(self.seconds);
        answer["status"] =
            json!({ "token": format!("t{}", state.tokens), "expirationTimestamp": null });
        Some((StatusCode::CREATED, answer))
    }
}

fn namespace() -> serde_json::Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "a" } })
}

async fn serve_world(tasks: &Tasks, world: &Arc<World>) -> SocketAddr {
    let world = world.clone();
    serve_calls(tasks, move |call| world.answer(&call)).await
}

/// A client of the account `a`, whose tokens come until the group is shut down.
async fn account(tasks: &Tasks, servers: &[SocketAddr]) -> Client {
    let (_file, options) = options(servers, json!({ "token": "own" }));
    let own = client::connect(&options).await.unwrap();
    let accounts = Accounts::build(&options, own, "kube-system").await.unwrap();
    let (client, renewer) = accounts.client("a");
    tasks.spawn_infallible("token", renewer.run(tasks.stop().clone()));
    client
}

#[tokio::test]
async fn the_account_is_made_once_and_its_token_carried() {
    let (tasks, world) = (Tasks::new("account"), World::new(3600));
    let server = serve_world(&tasks, &world).await;
    let api: Api<Namespace> = Api::all(account(&tasks, &[server]).await);
    for _ in 0..3 {
        api.get("a").await.unwrap();
    }
    {
        let state = world.state.lock();
        assert_eq!(state.accounts, ["a"]);
        assert_eq!((state.tokens, state.refusals), (1, 0));
    }
    let stranger: Api<Namespace> = Api::all(connect(&[server]).await);
    assert!(
        stranger.get("a").await.is_err(),
        "the server looks at tokens"
    );
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_the_request_executed_once() {
    let (tasks, world) = (Tasks::new("account"), World::new(3600));
    let server = serve_world(&tasks, &world).await;
    let api: Api<Namespace> = Api::all(account(&tasks, &[server]).await);
    let body: Namespace = serde_json::from_value(namespace()).unwrap();
    api.create(&PostParams::default(), &body).await.unwrap();
    world.state.lock().is_revoked = true;
    // All of them are refused; one new token serves them all.
    let create = || async { api.create(&PostParams::default(), &body).await.unwrap() };
    tokio::join!(create(), create(), create(), create());
    {
        let state = world.state.lock();
        assert_eq!((state.writes, state.tokens), (5, 2));
        assert!(state.refusals >= 1);
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn tokens_are_renewed_though_nobody_asks_for_anything() {
    let (tasks, world) = (Tasks::new("account"), World::new(1));
    let server = serve_world(&tasks, &world).await;
    let client = account(&tasks, &[server]).await;
    let end = Instant::now() + Duration::from_secs(20);
    while world.state.lock().tokens < 3 {
        assert!(
            Instant::now() < end,
            "tokens: {}",
            world.state.lock().tokens
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.state.lock().refusals, 0);
    drop(client);
    // Nobody is left to renew for.
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_is_not_flooded() {
    let tasks = Tasks::new("account");
    let asked = Arc::new(Mutex::new(0_u64));
    let count = asked.clone();
    let world = World::new(3600);
    let server = serve_calls(&tasks, move |call| {
        if call.path.starts_with(ACCOUNTS) {
            *count.lock() += 1;
            return world.answer(&call);
        }
        failure(StatusCode::UNAUTHORIZED, "Unauthorized")
    });
    let api: Api<Namespace> = Api::all(account(&tasks, &[server.await]).await);
    let begun = Instant::now();
    for _ in 0..3 {
        let error = api.get("a").await.unwrap_err();
        assert!(matches!(error, kube::Error::Api(status) if status.code == 401));
    }
    // The account's creation and the first token are three questions; each request brought one more, after a distance that
    // doubled each time: at least half of 0.5 s, 1 s and 2 s.
    assert!(*asked.lock() <= 3 + 3 + 1, "{}", asked.lock());
    assert!(begun.elapsed() >= Duration::from_millis(1750));
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_dead_server_is_passed_over_for_tokens_and_for_requests() {
    let tasks = Tasks::new("account");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    // The clients begin at a random one: several meet both orders.
    for _ in 0..8 {
        let world = World::new(3600);
        let live = serve_world(&tasks, &world).await;
        let api: Api<Namespace> = Api::all(account(&tasks, &[dead, live]).await);
        let body: Namespace = serde_json::from_value(namespace()).unwrap();
        api.create(&PostParams::default(), &body).await.unwrap();
        api.get("a").await.unwrap();
        assert_eq!(world.state.lock().writes, 1);
    }
    assert!(tasks.shutdown(Duration::from_secs(5)).await);
}

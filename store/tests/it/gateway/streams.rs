//! Requests with any number of answers.

use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::super::harness::Cluster;
use super::client::{Answer, b64, normal, post, post_stream};
use super::{compare_lines, one_member, real_etcds};

/// The next `count` lines.
async fn lines(answer: &mut Answer, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        let line = answer.line().await;
        all.push(line.map_or_else(|| "the end".to_owned(), |line| normal(&line)));
    }
    all
}

async fn put(endpoint: &str, key: &str, value: &str) {
    let body = format!(r#"{{"key":"{}","value":"{}"}}"#, b64(key), b64(value));
    assert_eq!(post(endpoint, "/v3/kv/put", &body).await.status, 200);
}

/// A watch whose request is complete goes on; one whose request stays open takes more.
async fn watches(endpoint: &str) -> Vec<String> {
    let a = b64("a");
    let mut seen = Vec::new();
    put(endpoint, "a", "1").await;
    let create = format!(r#"{{"create_request":{{"key":"{a}","start_revision":"2"}}}}"#);
    let mut watch = post(endpoint, "/v3/watch", &create).await;
    seen.push(format!(
        "{} {:?}",
        watch.status,
        watch.headers.get("content-type")
    ));
    seen.extend(lines(&mut watch, 2).await);
    put(endpoint, "a", "2").await;
    seen.extend(lines(&mut watch, 1).await);
    drop(watch);
    let refused = r#"{"createRequest":{"start_revision":"-1"}}"#;
    let mut watch = post(endpoint, "/v3/watch", refused).await;
    seen.extend(lines(&mut watch, 1).await);
    drop(watch);
    let both = format!(
        r#"{{"create_request":{{"key":"{a}","watch_id":"5","prev_kv":true,"filters":["NODELETE"]}}}}
           {{"create_request":{{"key":"{a}","watch_id":"5"}}}}"#
    );
    let mut watch = post(endpoint, "/v3/watch", &both).await;
    seen.extend(lines(&mut watch, 2).await);
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_those_of_the_real_gateway() {
    let cluster = one_member(&[]).await;
    let ours = watches(&cluster.endpoint(0)).await;
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &watches(&real.endpoint).await, &ours, &[]);
    }
}

async fn renewals(endpoint: &str) -> Vec<String> {
    let grant = r#"{"TTL":"100","ID":"7"}"#;
    assert_eq!(post(endpoint, "/v3/lease/grant", grant).await.status, 200);
    let mut seen = Vec::new();
    for body in [
        r#"{"ID":"7"}"#,
        r#"{"ID":7}{"ID":"8"} {"ID":"7"}"#,
        r#"{"ID":"7"} nonsense {"ID":"7"}"#,
        "",
        "{",
    ] {
        let mut answer = post(endpoint, "/v3/lease/keepalive", body).await;
        seen.push(format!("{body} => {}", answer.status));
        loop {
            let line = answer.line().await;
            let Some(line) = line.filter(|line| !line.is_empty()) else {
                break;
            };
            seen.push(normal(&line));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_answered_as_the_real_gateway_answers_them() {
    let cluster = one_member(&[]).await;
    let ours = renewals(&cluster.endpoint(0)).await;
    assert_eq!(ours.len(), 10, "{ours:#?}");
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &renewals(&real.endpoint).await, &ours, &[]);
    }
}

/// Over HTTP/1 the real gateway reads a request to its end before it answers; ours answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_go_on_while_it_is_answered() {
    let cluster = one_member(&[]).await;
    let endpoint = cluster.endpoint(0);
    let (tx, rx) = mpsc::unbounded_channel();
    let create = |key: &str| format!(r#"{{"create_request":{{"key":"{}"}}}}"#, b64(key));
    tx.send(create("a")).unwrap();
    let pieces = UnboundedReceiverStream::new(rx);
    let mut watch = post_stream(&endpoint, "/v3/watch", pieces).await;
    assert!(watch.line().await.unwrap().contains("\"created\":true"));
    put(&endpoint, "a", "1").await;
    assert!(watch.line().await.unwrap().contains("\"events\""));
    // A value may come in pieces.
    let second = create("b");
    let (start, end) = second.split_at(7);
    tx.send(start.to_owned()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    tx.send(end.to_owned()).unwrap();
    let created = watch.line().await.unwrap();
    assert!(
        created.contains(r#""watch_id":"1","created":true"#),
        "{created}"
    );
    tx.send(r#"{"cancel_request":{"watch_id":"1"}}"#.to_owned())
        .unwrap();
    assert!(watch.line().await.unwrap().contains("\"canceled\":true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_ends_a_stream_with_a_word() {
    let cluster = one_member(&[]).await;
    let endpoint = cluster.endpoint(0);
    let create = r#"{"create_request":{"key":"YQ=="}}"#;
    let headers = [("grpc-timeout", "300m")];
    let request =
        super::client::request(&endpoint, http::Method::POST, "/v3/watch", &headers, create);
    let text = super::client::send(&endpoint, request).await.text().await;
    let last = text.lines().last().unwrap();
    assert_eq!(
        last,
        r#"{"error":{"code":4,"message":"context deadline exceeded"}}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_in_parts() {
    let cluster = one_member(&[]).await;
    let endpoint = cluster.endpoint(0);
    put(&endpoint, "a", "1").await;
    let mut answer = post(&endpoint, "/v3/maintenance/snapshot", "{}").await;
    let line = answer.line().await.unwrap();
    assert_eq!(answer.status, 200, "{line}");
    assert!(line.starts_with(r#"{"result":{"#), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_refused() {
    let cluster = Cluster::start_with(1, &["--max-request-bytes=1000"]).await;
    let endpoint = cluster.endpoint(0);
    let value = b64(&"x".repeat(600_000));
    let body = format!(r#"{{"key":"YQ==","value":"{value}"}}"#);
    let answer = post(&endpoint, "/v3/kv/put", &body).await;
    let (status, text) = (answer.status, answer.text().await);
    assert_eq!(status, 429, "{text}");
    assert!(
        text.starts_with(r#"{"code":8,"message":"grpc: received message larger than max"#),
        "{text}"
    );
    // Not even read as a whole.
    let pieces = futures::stream::iter((0..40).map(|n| match n {
        0 => r#"{"key":""#.to_owned(),
        _ => "A".repeat(100_000),
    }));
    let answer = post_stream(&endpoint, "/v3/kv/put", pieces.boxed()).await;
    let (status, text) = (answer.status, answer.text().await);
    assert_eq!(status, 429, "{text}");
    assert!(text.contains("is too large"), "{text}");
}

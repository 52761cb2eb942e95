//! Streams over websockets.

use futures::{SinkExt, StreamExt};
use http::{Method, Request};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::harness::SOON;
use super::client::{b64, normal, post, request, send};
use super::{CHEAP, compare_lines, one_member, real_etcds};

type Socket = WebSocketStream<TcpStream>;

async fn open(
    endpoint: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> tungstenite::Result<(Socket, Option<String>)> {
    let mut request = Request::builder()
        .uri(format!("ws://{endpoint}{path}"))
        .header("host", endpoint)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let stream = TcpStream::connect(endpoint).await.unwrap();
    let (socket, answer) = client_async(request.body(()).unwrap(), stream).await?;
    let protocol = answer.headers().get("sec-websocket-protocol");
    let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
    Ok((socket, protocol))
}

/// The next message, or how the end is told.
async fn next(socket: &mut Socket) -> String {
    let message = tokio::time::timeout(std::time::Duration::from_secs(SOON), socket.next());
    match message.await.expect("a message comes soon") {
        Some(Ok(Message::Text(text))) => normal(text.as_str()),
        // The real one hangs up without a goodbye.
        Some(Ok(Message::Close(_)) | Err(_)) | None => "the end".into(),
        Some(Ok(other)) => format!("{other:?}"),
    }
}

async fn say(socket: &mut Socket, text: String) {
    socket.send(Message::text(text)).await.unwrap();
}

fn create(key: &str) -> String {
    format!(r#"{{"create_request":{{"key":"{}"}}}}"#, b64(key))
}

async fn put(endpoint: &str, key: &str) {
    let body = format!(r#"{{"key":"{}"}}"#, b64(key));
    assert_eq!(post(endpoint, "/v3/kv/put", &body).await.status, 200);
}

async fn conversations(endpoint: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let (mut watch, protocol) = open(endpoint, "/v3/watch", &[]).await.unwrap();
    seen.push(format!("{protocol:?}"));
    say(&mut watch, create("a")).await;
    seen.push(next(&mut watch).await);
    put(endpoint, "a").await;
    seen.push(next(&mut watch).await);
    watch.send(Message::binary(create("b"))).await.unwrap();
    seen.push(next(&mut watch).await);
    say(&mut watch, r#"{"cancel_request":{"watch_id":"1"}}"#.into()).await;
    seen.push(next(&mut watch).await);
    let grant = r#"{"TTL":"100","ID":"7"}"#;
    assert_eq!(post(endpoint, "/v3/lease/grant", grant).await.status, 200);
    let headers = [("sec-websocket-protocol", "Bearer, some.1")];
    let (mut renewals, protocol) = open(endpoint, "/v3/lease/keepalive", &headers)
        .await
        .unwrap();
    seen.push(format!("{protocol:?}"));
    for _ in 0..3 {
        say(&mut renewals, r#"{"ID":"7"}"#.into()).await;
        seen.push(next(&mut renewals).await);
    }
    say(&mut renewals, "nonsense".into()).await;
    seen.push(next(&mut renewals).await);
    let (mut nothing, _) = open(endpoint, "/v3/nothing", &[]).await.unwrap();
    seen.push(next(&mut nothing).await);
    seen.push(next(&mut nothing).await);
    for headers in [
        &[("connection", "Upgrade"), ("upgrade", "websocket")][..],
        &[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "12"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ] {
        let request = request(endpoint, Method::GET, "/v3/watch", headers, "");
        let answer = send(endpoint, request).await;
        let status = answer.status;
        seen.push(format!("{status} {}", answer.text().await));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_carry_what_the_real_ones_carry() {
    let cluster = one_member(&[]).await;
    let ours = conversations(&cluster.endpoint(0)).await;
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &conversations(&real.endpoint).await, &ours, &[]);
    }
}

/// With users; a browser says its token in a cookie or behind a protocol's name.
async fn tokens(endpoint: &str) -> Vec<String> {
    for (path, body) in [
        ("user/add", r#"{"name":"root","password":"pw"}"#),
        ("role/add", r#"{"name":"root"}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("enable", "{}"),
    ] {
        let path = format!("/v3/auth/{path}");
        assert_eq!(post(endpoint, &path, body).await.status, 200, "{path}");
    }
    let login = r#"{"name":"root","password":"pw"}"#;
    let text = post(endpoint, "/v3/auth/authenticate", login)
        .await
        .text()
        .await;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let token = value["token"].as_str().unwrap();
    let (bearer, close, cookie) = (
        format!("Bearer, {token}"),
        format!("Bearer,{token}"),
        format!("a=b; token={token}"),
    );
    let mut seen = Vec::new();
    for (number, headers) in [
        &[][..],
        &[("sec-websocket-protocol", bearer.as_str())],
        &[("sec-websocket-protocol", close.as_str())],
        &[("sec-websocket-protocol", "other")],
        &[("cookie", cookie.as_str())],
        // A header that browsers cannot set is not looked at.
        &[("authorization", token)],
        &[
            ("cookie", "token=no.1"),
            ("sec-websocket-protocol", bearer.as_str()),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        // The client here refuses an answer that names none of its protocols.
        if let Ok((mut watch, _)) = open(endpoint, "/v3/watch", headers).await {
            say(&mut watch, create("a")).await;
            seen.push(format!("{number} {}", next(&mut watch).await));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_as_the_real_gateway_takes_them() {
    let cluster = one_member(&[CHEAP]).await;
    let ours = tokens(&cluster.endpoint(0)).await;
    assert!(ours.len() > 5, "{ours:#?}");
    for (name, real) in real_etcds(&[CHEAP]).await {
        // 3.5 does not know the word "Bearer".
        let newer = ["1 {", "2 {", "4 {"];
        compare_lines(name, &tokens(&real.endpoint).await, &ours, &newer);
    }
}

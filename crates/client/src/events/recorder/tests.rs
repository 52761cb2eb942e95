//! Which failures an event outlives, against a service in place of the api-server that fails as told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Recorder, TRIES_MAX, Type};

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
enum Say {
    /// Executes it.
    Done,
    /// Executes it and breaks the connection.
    Lost,
    /// Fails with that status.
    Code(u16),
}

#[derive(Default)]
struct Server {
    /// Once this is used up, everything succeeds.
    script: Mutex<VecDeque<Say>>,
    /// The method of each request, and the count it sets.
    seen: Mutex<Vec<String>>,
    /// The events.
    names: Mutex<Vec<String>>,
}

impl Server {
    fn answer(&self, method: &str, body: &Value) -> Result<(StatusCode, Value), std::io::Error> {
        self.seen.lock().push(match method {
            "PATCH" => format!("PATCH {}", body["count"]),
            _ => method.to_owned(),
        });
        let say = self.script.lock().pop_front();
        if let Some(Say::Code(code)) = say {
            let body = json!({"kind": "Status", "status": "Failure", "reason": "", "code": code});
            return Ok((StatusCode::from_u16(code).unwrap(), body));
        }
        let mut names = self.names.lock();
        if method == "POST" {
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            if names.contains(&name) {
                let body = json!({"kind": "Status", "status": "Failure", "reason": "AlreadyExists", "code": 409});
                return Ok((StatusCode::CONFLICT, body));
            }
            names.push(name);
        }
        match say {
            Some(Say::Lost) => Err(std::io::Error::other("broken")),
            _ => Ok((
                StatusCode::OK,
                json!({"metadata": {}, "involvedObject": {}}),
            )),
        }
    }
}

/// Reports the same event `reports` times to a server that follows `script`: the requests it saw, and how many events
/// there are in the end.
async fn check(script: impl IntoIterator<Item = Say>, reports: usize) -> (String, usize) {
    let server = Arc::new(Server {
        script: Mutex::new(script.into_iter().collect()),
        ..Server::default()
    });
    let kept = server.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = kept.clone();
        async move {
            let method = request.method().to_string();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap();
            let (status, body) = server.answer(&method, &body)?;
            let body = Full::new(Bytes::from(body.to_string()));
            Ok::<_, std::io::Error>(Response::builder().status(status).body(body).unwrap())
        }
    });
    let (recorder, mut writer) = Recorder::new(kube::Client::new(service, "default"), "test");
    writer.pause = Duration::from_millis(1);
    for _ in 0..reports {
        let about = ObjectReference {
            name: Some("p".to_owned()),
            ..ObjectReference::default()
        };
        recorder.about(about, Type::Normal, "Reason", "text");
    }
    drop(recorder);
    // Ends once everything that was reported is dealt with.
    writer.run(CancellationToken::new()).await;
    let (seen, events) = (server.seen.lock().join(", "), server.names.lock().len());
    (seen, events)
}

#[tokio::test]
async fn an_event_outlives_a_server_that_fails() {
    let written = |requests: &str| (requests.to_owned(), 1);
    assert_eq!(check([], 1).await, written("POST"));
    for code in [429, 503, 504] {
        let failing = [Say::Code(code), Say::Code(code)];
        assert_eq!(
            check(failing, 1).await,
            written("POST, POST, POST"),
            "{code}"
        );
    }
    // A count is kept up, too.
    let script = [Say::Done, Say::Code(503)];
    assert_eq!(
        check(script, 3).await,
        written("POST, PATCH 2, PATCH 2, PATCH 3")
    );
}

#[tokio::test]
async fn an_event_whose_answer_was_lost_is_there_once_and_counted_up() {
    let got = check([Say::Lost], 2).await;
    assert_eq!(got, ("POST, POST, PATCH 2".to_owned(), 1));
}

#[tokio::test]
async fn an_event_that_is_refused_is_given_up_at_once() {
    for code in [400, 403, 404, 422, 500] {
        assert_eq!(
            check([Say::Code(code)], 1).await,
            ("POST".to_owned(), 0),
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_event_is_given_up_in_the_end() {
    let forever = std::iter::repeat_n(Say::Code(503), TRIES_MAX as usize);
    let (seen, events) = check(forever, 1).await;
    assert_eq!((seen.split(", ").count(), events), (TRIES_MAX as usize, 0));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_next_try() {
    let service = tower::service_fn(|_: Request<Body>| async {
        Err::<Response<Full<Bytes>>, _>(std::io::Error::other("broken"))
    });
    let (recorder, mut writer) = Recorder::new(kube::Client::new(service, "default"), "test");
    writer.pause = Duration::from_secs(3600);
    let about = ObjectReference::default();
    recorder.about(about, Type::Normal, "Reason", "text");
    let stop = CancellationToken::new();
    let run = writer.run(stop.clone());
    tokio::pin!(run);
    // Long enough for the first try to fail; without the stop it would go on waiting.
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut run)
            .await
            .is_err()
    );
    stop.cancel();
    assert!(
        tokio::time::timeout(Duration::from_secs(5), run)
            .await
            .is_ok()
    );
}

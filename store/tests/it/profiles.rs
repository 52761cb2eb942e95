//! Profiles of the real process at `/debug/pprof`, read by the format's own numbers.

use std::io::Read;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::connect;
use super::http::get;
use super::process::Process;

/// As much of pprof's `Profile` as a reader needs.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<Pair>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

impl Profile {
    fn text(&self, number: i64) -> &str {
        &self.string_table[usize::try_from(number).unwrap()]
    }

    fn names(&self) -> Vec<&str> {
        self.function
            .iter()
            .map(|function| self.text(function.name))
            .collect()
    }
}

/// The status, the headers and the bytes of an answer.
async fn bytes(endpoint: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(endpoint).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {endpoint}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let middle = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(answer[..middle].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[middle + 4..].to_vec())
}

/// Keeps a member busy until it is dropped.
async fn load(endpoint: &str) -> base::Tasks {
    use proto_etcd::etcdserverpb::RangeRequest;
    use proto_etcd::etcdserverpb::kv_client::KvClient;
    let tasks = base::Tasks::new("load");
    for _ in 0..4 {
        let mut kv = KvClient::new(connect(endpoint).await);
        let stop = tasks.stop().clone();
        tasks.spawn("reads", base::OnError::Log, async move {
            while !stop.is_cancelled() {
                kv.range(RangeRequest {
                    key: "a".into(),
                    ..RangeRequest::default()
                })
                .await?;
            }
            Ok::<(), tonic::Status>(())
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_a_busy_member_names_its_functions() {
    let process = Process::start(&["--enable-pprof"]).await;
    let endpoint = process.endpoint.as_str();
    let load = load(endpoint).await;
    let (status, head, packed) = bytes(endpoint, "/debug/pprof/profile?seconds=1").await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&packed));
    assert!(head.contains("application/octet-stream"), "{head}");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    let profile = Profile::decode(plain.as_slice()).unwrap();
    let types: Vec<(&str, &str)> = profile
        .sample_type
        .iter()
        .map(|pair| (profile.text(pair.r#type), profile.text(pair.unit)))
        .collect();
    assert_eq!(types, [("samples", "count"), ("cpu", "nanoseconds")]);
    assert_eq!(profile.period, 10_000_000);
    let second = Duration::from_nanos(u64::try_from(profile.duration_nanos).unwrap());
    assert!(second >= Duration::from_secs(1), "{second:?}");
    assert!(!profile.sample.is_empty());
    for sample in &profile.sample {
        assert_eq!(sample.value[1], sample.value[0] * profile.period);
        for id in &sample.location_id {
            let location = profile.location.iter().find(|location| location.id == *id);
            let function = location.unwrap().line[0].function_id;
            assert!(profile.function.iter().any(|one| one.id == function));
        }
    }
    let is_ours = |name: &&str| name.contains("store::") || name.contains("tokio::");
    assert!(profile.names().iter().any(is_ours), "{:?}", profile.names());
    let deepest = profile
        .sample
        .iter()
        .map(|sample| sample.location_id.len())
        .max();
    assert!(deepest > Some(5), "stacks are whole: {deepest:?}");
    load.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_profile_is_taken_at_a_time() {
    let mut process = Process::start(&["--enable-pprof"]).await;
    let endpoint = process.endpoint.clone();
    let tasks = base::Tasks::new("test");
    let (of_first, first) = (endpoint.clone(), tokio::sync::oneshot::channel());
    tasks.spawn_infallible("first", async move {
        // Whichever comes first; the other one has to wait.
        while bytes(&of_first, "/debug/pprof/profile?seconds=3").await.0 != 200 {}
        let _ = first.0.send(());
    });
    let refused = testkit::poll(
        super::harness::SOON,
        "the second is refused",
        async || match bytes(&endpoint, "/debug/pprof/profile?seconds=1").await {
            (500, _, body) => Ok(String::from_utf8(body).unwrap()),
            (status, ..) => Err(status.to_string()),
        },
    );
    assert_eq!(
        refused.await.unwrap(),
        "Could not enable CPU profiling: cpu profiling already in use\n"
    );
    first.1.await.unwrap();
    // Whoever goes away leaves it to the next.
    let gone = hold(&endpoint).await;
    drop(gone);
    let free = testkit::poll(
        super::harness::SOON,
        "it is free again",
        async || match bytes(&endpoint, "/debug/pprof/profile?seconds=1").await.0 {
            200 => Ok(()),
            status => Err(status.to_string()),
        },
    );
    free.await.unwrap();
    // One that is under way does not hold the end up.
    let _last = hold(&endpoint).await;
    process.end().await;
    tasks.shutdown(Duration::from_secs(1)).await;
}

/// A connection for which a long profile is being taken.
async fn hold(endpoint: &str) -> tokio::net::TcpStream {
    let held = testkit::poll(super::harness::SOON, "it is taken", async || {
        let mut stream = tokio::net::TcpStream::connect(endpoint).await.unwrap();
        let request = b"GET /debug/pprof/profile?seconds=200 HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
        // If this one is faster, the other is refused and asks again.
        match bytes(endpoint, "/debug/pprof/profile?seconds=1").await.0 {
            500 => Ok(stream),
            status => Err(status.to_string()),
        }
    });
    held.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_not_is_said() {
    let process = Process::start(&["--enable-pprof", "--discovery-password=secret"]).await;
    let endpoint = process.endpoint.as_str();
    let (status, index) = get(endpoint, "/debug/pprof/").await;
    assert!(
        status == 200 && index.contains("profile?seconds=30"),
        "{index}"
    );
    let (status, line) = get(endpoint, "/debug/pprof/cmdline").await;
    assert!(
        status == 200 && line.contains("\0--enable-pprof"),
        "{line:?}"
    );
    assert!(!line.contains("secret"), "{line:?}");
    for name in [
        "heap",
        "allocs",
        "goroutine",
        "threadcreate",
        "block",
        "mutex",
        "trace",
    ] {
        let (status, why) = get(endpoint, &format!("/debug/pprof/{name}")).await;
        assert_eq!(status, 501, "{name}: {why}");
        assert!(why.contains(&format!("no {name} profile")), "{why}");
    }
    assert_eq!(
        get(endpoint, "/debug/pprof/no").await,
        (404, "Unknown profile\n".into())
    );
    let (status, why) = get(endpoint, "/debug/pprof/profile?seconds=301").await;
    assert_eq!(status, 400, "{why}");
    drop(process);
    let without = Process::start(&[]).await;
    for path in [
        "/debug/pprof",
        "/debug/pprof/",
        "/debug/pprof/cmdline",
        "/debug/pprof/profile",
    ] {
        let answer = get(&without.endpoint, path).await;
        assert_eq!(answer, (404, "404 page not found\n".into()), "{path}");
    }
}

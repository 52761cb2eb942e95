//! Spans of requests, as a collector gets them from the real process over OTLP. What our spans hold is
//! compared with what a real etcd's do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Tasks;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{PutRequest, RangeRequest, WatchCreateRequest, WatchRequest};
use tonic::{Code, Request, Response, Status};

use super::harness::{SOON, connect, free_port};
use super::process::Process;
use super::real::RealEtcd;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Less than a collector is waited for, and more than anything takes that does not wait for it.
const UNDELAYED: Duration = Duration::from_secs(8);

/// A span and what its resource is called.
#[derive(Clone, Debug)]
struct Seen {
    span: Span,
    resource: BTreeMap<String, String>,
}

impl Seen {
    fn attributes(&self) -> BTreeMap<String, String> {
        texts(&self.span.attributes)
    }

    /// Name, trace, parent, kind and outcome.
    fn outline(&self) -> String {
        format!(
            "{} in {}/{} kind {} status {}",
            self.span.name,
            hex(&self.span.trace_id),
            hex(&self.span.parent_span_id),
            self.span.kind,
            self.span.status.clone().unwrap_or_default().code,
        )
    }

    /// Whether a real etcd's span of the same call says nothing else than this one.
    fn is_like(&self, theirs: &Self) -> Result<(), String> {
        let mut unlike = Vec::new();
        if self.outline() != theirs.outline() {
            unlike.push(theirs.outline());
        }
        let ours = self.attributes();
        for (key, value) in theirs.attributes() {
            // The port is another one; the older names for the client's own address we do not have; and
            // the method is the newer one, which a 3.5 has not.
            let is_other = key == "server.port" || key.starts_with("net.");
            let is_newer = key == "rpc.method" && !value.contains('/');
            if !is_other && !is_newer && ours.get(&key) != Some(&value) {
                unlike.push(format!("{key}={value}"));
            }
        }
        if unlike.is_empty() {
            return Ok(());
        }
        Err(format!("{unlike:?}, ours {} {ours:?}", self.outline()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.clone().and_then(|value| value.value);
        let value = match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        (attribute.key.clone(), value)
    };
    attributes.iter().map(text).collect()
}

/// Keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = texts(&of_resource.resource.unwrap_or_default().attributes);
            let scopes = of_resource.scope_spans.into_iter();
            let spans = scopes.flat_map(|scope| scope.spans);
            self.0.lock().extend(spans.map(|span| Seen {
                span,
                resource: resource.clone(),
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Serves until the tasks are dropped.
    fn serve(&self, tasks: &Tasks) -> u16 {
        let port = free_port();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let service = TraceServiceServer::new(self.clone());
        let stop = tasks.stop().clone();
        tasks.spawn("collector", base::OnError::Log, async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_shutdown(address, stop.cancelled_owned())
                .await
        });
        port
    }

    /// The spans of calls with this name, sorted, once there are so many.
    async fn wait(&self, name: &str, count: usize) -> Vec<Seen> {
        let found = testkit::poll(SOON, "spans arrive", async || {
            let spans = self.0.lock().clone();
            let is_it = |seen: &&Seen| seen.span.name == name;
            let found: Vec<Seen> = spans.iter().filter(is_it).cloned().collect();
            if found.len() >= count {
                return Ok(found);
            }
            let names: Vec<&str> = spans.iter().map(|seen| seen.span.name.as_str()).collect();
            Err(format!("{} of {count} {name} in {names:?}", found.len()))
        });
        let mut found = found.await.unwrap();
        found.sort_by_key(|seen| seen.span.start_time_unix_nano);
        found
    }
}

/// A request whose caller has this span.
fn called<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    request
}

fn sampled<T>(message: T) -> Request<T> {
    called(message, &format!("00-{TRACE}-{PARENT}-01"))
}

fn key(key: &'static str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        ..RangeRequest::default()
    }
}

fn put(key: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        ..PutRequest::default()
    }
}

/// A put, a range, a range that is refused, and a watch that its client gives up; what the collector saw.
async fn calls(endpoint: &str, collector: &Collector) -> Vec<Seen> {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone());
    kv.put(sampled(put("a"))).await.unwrap();
    kv.range(sampled(key("a"))).await.unwrap();
    let refused = kv.range(sampled(key(""))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let (tell, told) = tokio::sync::mpsc::channel(1);
    let create = WatchCreateRequest {
        key: "a".into(),
        ..WatchCreateRequest::default()
    };
    // etcd's first word waits for the client's.
    let create = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    tell.send(create).await.unwrap();
    let requests = tokio_stream::wrappers::ReceiverStream::new(told);
    let watch = WatchClient::new(channel).watch(sampled(requests)).await;
    drop((watch.unwrap(), tell));
    let mut seen = collector.wait("etcdserverpb.KV/Put", 1).await;
    seen.extend(collector.wait("etcdserverpb.KV/Range", 2).await);
    seen.extend(collector.wait("etcdserverpb.Watch/Watch", 1).await);
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_spans_that_etcds_gets() {
    let tasks = Tasks::new("test");
    let ours = Collector::default();
    let address = format!("127.0.0.1:{}", ours.serve(&tasks));
    let flags = |prefix: &str, more: &str| {
        [
            "enable-distributed-tracing".to_owned(),
            format!("distributed-tracing-address={address}"),
            "distributed-tracing-service-name=shop".to_owned(),
            "distributed-tracing-instance-id=m0".to_owned(),
            more.to_owned(),
        ]
        .map(|flag| format!("--{prefix}{flag}"))
    };
    let given = flags("", "distributed-tracing-sampling-rate=0");
    let mut process = Process::start(&given.each_ref().map(String::as_str)).await;
    let seen = calls(&process.endpoint, &ours).await;
    let in_parent = format!("in {TRACE}/{PARENT} kind 2 status 0");
    let outlines: Vec<String> = seen.iter().map(Seen::outline).collect();
    let names = ["KV/Put", "KV/Range", "KV/Range", "Watch/Watch"];
    assert_eq!(
        outlines,
        names.map(|name| format!("etcdserverpb.{name} {in_parent}"))
    );
    let attributes: Vec<_> = seen.iter().map(Seen::attributes).collect();
    let of = |number: usize, key: &str| attributes[number][key].clone();
    let port = process.endpoint.rsplit_once(':').unwrap().1;
    for (number, name, service, outcome, code) in [
        (0, "KV/Put", "KV", "OK", "0"),
        (1, "KV/Range", "KV", "OK", "0"),
        (2, "KV/Range", "KV", "INVALID_ARGUMENT", "3"),
        (3, "Watch/Watch", "Watch", "CANCELLED", "1"),
    ] {
        assert_eq!(of(number, "rpc.method"), format!("etcdserverpb.{name}"));
        assert_eq!(of(number, "rpc.service"), format!("etcdserverpb.{service}"));
        assert_eq!(of(number, "rpc.system"), "grpc");
        assert_eq!(of(number, "rpc.system.name"), "grpc");
        assert_eq!(of(number, "rpc.response.status_code"), outcome);
        assert_eq!(of(number, "rpc.grpc.status_code"), code);
        assert_eq!(of(number, "server.address"), "127.0.0.1");
        assert_eq!(of(number, "server.port"), port);
    }
    for one in &seen {
        let name = |key: &str| one.resource.get(key).map(String::as_str);
        assert_eq!(name("service.name"), Some("shop"));
        assert_eq!(name("service.instance.id"), Some("m0"));
        assert!(one.span.start_time_unix_nano <= one.span.end_time_unix_nano);
        assert_eq!(one.span.span_id.len(), 8);
    }
    // The last span is sent though its batch was not due.
    let mut kv = KvClient::new(connect(&process.endpoint).await);
    kv.put(sampled(put("last"))).await.unwrap();
    let took = process.end().await;
    assert!(took < UNDELAYED, "{took:?}");
    ours.wait("etcdserverpb.KV/Put", 2).await;
    for (name, prefix) in [("etcd", "experimental-"), ("etcd-3.7", "")] {
        // The packaged one must be there; the newer one is built.
        if name != "etcd" && testkit::peer(name).is_err() {
            continue;
        }
        ours.0.lock().clear();
        let given = flags(prefix, "distributed-tracing-sampling-rate=0");
        let real = RealEtcd::start_with(name, &given.each_ref().map(String::as_str)).await;
        let theirs = calls(&real.endpoint, &ours).await;
        for (ours, theirs) in seen.iter().zip(&theirs) {
            ours.is_like(theirs)
                .unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(ours.resource, theirs.resource);
        }
    }
    tasks.shutdown(Duration::from_secs(SOON)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chance_decides_only_for_calls_without_a_caller() {
    let tasks = Tasks::new("test");
    for (rate, expected) in [
        (0, "etcdserverpb.KV/Put"),
        (1_000_000, "etcdserverpb.KV/Range etcdserverpb.KV/Put"),
    ] {
        let collector = Collector::default();
        let address = format!(
            "--distributed-tracing-address=localhost:{}",
            collector.serve(&tasks)
        );
        let rate = format!("--distributed-tracing-sampling-rate={rate}");
        let mut process = Process::start(&["--enable-distributed-tracing", &address, &rate]).await;
        let mut kv = KvClient::new(connect(&process.endpoint).await);
        // Nobody's, that of one who is not sampled, and at the end that of one who is.
        kv.range(key("a")).await.unwrap();
        let unsampled = format!("00-{TRACE}-{PARENT}-00");
        kv.range(called(key("a"), &unsampled)).await.unwrap();
        kv.put(sampled(put("a"))).await.unwrap();
        process.end().await;
        let seen = collector.wait("etcdserverpb.KV/Put", 1).await;
        assert_eq!(seen[0].resource.get("service.name").unwrap(), "etcd");
        let names: Vec<String> = collector
            .0
            .lock()
            .iter()
            .map(|seen| seen.span.name.clone())
            .collect();
        assert_eq!(names.join(" "), expected);
    }
    tasks.shutdown(Duration::from_secs(SOON)).await;
}

/// One that refuses connections, and one that takes them and never says a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nobody_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let address = format!("--distributed-tracing-address=127.0.0.1:{port}");
        let rate = "--distributed-tracing-sampling-rate=1000000";
        let mut process = Process::start(&["--enable-distributed-tracing", &address, rate]).await;
        let mut kv = KvClient::new(connect(&process.endpoint).await);
        kv.put(put("a")).await.unwrap();
        let mut slowest = Duration::ZERO;
        // More than the queue holds and a batch has.
        for _ in 0..4_000 {
            let asked = Instant::now();
            kv.range(key("a")).await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        assert!(slowest < UNDELAYED, "{slowest:?}");
        let took = process.end().await;
        assert!(took < UNDELAYED, "{took:?}");
        let log = process.log();
        let lost: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("lost spans of requests"))
            .collect();
        assert!(
            (1..=2).contains(&lost.len()),
            "told at once at most and at the end: {log}"
        );
        assert!(!log.contains(r#""level":"error""#), "{log}");
    }
}

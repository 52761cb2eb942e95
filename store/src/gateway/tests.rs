//! The parts of the gateway by themselves; whole requests are compared with the real etcd's elsewhere.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use proto_etcd::etcdserverpb::{Compare, RangeRequest, WatchResponse};
use proto_etcd::mvccpb::{Event, KeyValue};
use tonic::Code;

use super::routes::{ROUTES, Routes, Shape};
use super::values::Values;
use super::{answer, headers, json};

async fn cut(chunks: &[&'static str], bytes_max: usize) -> Vec<Result<String, Code>> {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| Ok::<_, std::convert::Infallible>(*chunk))
        .collect();
    let body = Body::from_stream(futures::stream::iter(chunks));
    let mut values = Values::new(body.into_data_stream(), bytes_max);
    let mut all = Vec::new();
    while let Some(value) = values.next().await {
        all.push(match value {
            Ok(value) => Ok(String::from_utf8(value.to_vec()).unwrap()),
            Err(status) => Err(status.code()),
        });
    }
    all
}

#[tokio::test]
async fn a_body_is_cut_into_its_values_wherever_it_is_broken() {
    let text = r#" {"a":"}\"{","b":[1,{}]}{}  [ ] "x\\" 12 null{"c":{}"#;
    let expected = [
        r#"{"a":"}\"{","b":[1,{}]}"#,
        "{}",
        "[ ]",
        r#""x\\""#,
        "12",
        "null",
        r#"{"c":{}"#,
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|value| Ok((*value).to_owned()))
        .collect();
    assert_eq!(cut(&[text], 100).await, expected);
    for at in 0..text.len() {
        let (start, end) = text.split_at(at);
        assert_eq!(cut(&[start, end], 100).await, expected, "{start:?}");
    }
    assert!(cut(&[], 100).await.is_empty() && cut(&[" \n", "\t"], 100).await.is_empty());
    // What is no JSON has an end as well.
    assert_eq!(
        cut(&["}", "{}"], 100).await,
        [Ok("}".into()), Ok("{}".into())]
    );
}

#[tokio::test]
async fn a_value_has_a_limit_and_a_body_has_none() {
    let many: Vec<&str> = (0..100).map(|_| "[1234567]").collect();
    assert_eq!(cut(&many, 10).await.len(), 100);
    let long = ["[", "          ", "          "];
    assert_eq!(cut(&long, 15).await, [Err(Code::ResourceExhausted)]);
}

#[test]
fn every_route_leads_to_a_method() {
    let routes = Routes::new();
    for (path, ..) in ROUTES {
        assert!(routes.find(&format!("/v3/{path}")).is_some(), "{path}");
        assert!(routes.find(&format!("/v3beta/{path}")).is_some(), "{path}");
    }
    let shape = |path: &str| routes.find(path).map(|target| target.shape);
    assert_eq!(shape("/v3/watch"), Some(Shape::BidiStream));
    assert_eq!(shape("/v3/maintenance/snapshot"), Some(Shape::ServerStream));
    assert_eq!(shape("/v3/kv/lease/leases"), Some(Shape::Unary));
    for path in [
        "/v3/kv/rangestream",
        "/v3/kv/range/",
        "/v3alpha/kv/range",
        "/v3/",
        "",
    ] {
        assert!(routes.find(path).is_none(), "{path}");
    }
}

async fn read_range(text: &'static str) -> Result<RangeRequest, String> {
    let routes = Routes::new();
    let kind = &routes.find("/v3/kv/range").unwrap().input;
    match json::to_wire(kind, Bytes::from_static(text.as_bytes())).await {
        Ok(wire) => Ok(RangeRequest::decode(wire).unwrap()),
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument, "{text}");
            Err(status.message().to_owned())
        }
    }
}

#[tokio::test]
async fn json_is_read_in_all_forms_that_proto3_allows() {
    let expected = RangeRequest {
        key: Bytes::from_static(&[0xfb, 0xff]),
        range_end: Bytes::from_static(b"a"),
        limit: 5,
        sort_order: 2,
        sort_target: 3,
        ..Default::default()
    };
    let texts = [
        r#"{"key":"+/8=","range_end":"YQ==","limit":"5","sort_order":"DESCEND","sort_target":"MOD"}"#,
        r#"{"key":"-_8","rangeEnd":"YQ","limit":5,"sortOrder":2,"sortTarget":3}"#,
        r#"{"key":"+/8","range_end":"YQ==","limit":5e0,"sort_order":"DESCEND","sort_target":3,
            "serializable":null,"unknown":{"a":[1,"x"]},"revision":0}"#,
    ];
    for text in texts {
        assert_eq!(read_range(text).await.as_ref(), Ok(&expected), "{text}");
    }
    let odd = read_range(r#"{"sort_order":"SIDEWAYS","limit":"-1"}"#)
        .await
        .unwrap();
    assert_eq!((odd.sort_order, odd.limit), (0, -1));
}

#[tokio::test]
async fn what_is_no_such_message_is_refused() {
    let bad = [
        "null",
        "[]",
        "5",
        "x",
        "{",
        r#"{"key":5}"#,
        r#"{"key":"*"}"#,
        r#"{"limit":1.5}"#,
        r#"{"limit":"x"}"#,
        r#"{"limit":99999999999999999999}"#,
        r#"{"serializable":1}"#,
        r#"{"key":"YQ==","key":"YQ=="}"#,
        r#"{"key":"YQ=="} x"#,
    ];
    for text in bad {
        let why = read_range(text).await.unwrap_err();
        assert!(!why.is_empty(), "{text}");
    }
    assert_eq!(read_range("{\"key\":").await, Err("unexpected EOF".into()));
    let deep: &'static str = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).leak();
    read_range(deep).await.unwrap_err();
    let deep: &'static str = format!("{{\"u\":{deep}}}").leak();
    read_range(deep).await.unwrap_err();
}

#[tokio::test]
async fn answers_are_printed_with_the_names_of_the_protocol_files() {
    let routes = Routes::new();
    let kind = &routes.find("/v3/watch").unwrap().output;
    let answer = WatchResponse {
        watch_id: -1,
        created: true,
        compact_revision: i64::MAX,
        events: vec![Event {
            r#type: 1,
            kv: Some(KeyValue {
                key: Bytes::from_static(&[0xfb, 0xff]),
                ..Default::default()
            }),
            prev_kv: None,
        }],
        ..Default::default()
    };
    let printed = json::to_json(kind, answer.encode_to_vec().into(), Vec::new());
    assert_eq!(
        String::from_utf8(printed.await.unwrap()).unwrap(),
        r#"{"watch_id":"-1","created":true,"compact_revision":"9223372036854775807","events":[{"type":"DELETE","kv":{"key":"+/8="}}]}"#
    );
}

#[tokio::test]
async fn a_zero_that_was_chosen_is_printed() {
    use proto_etcd::etcdserverpb::compare::TargetUnion;
    let pool = prost_reflect::DescriptorPool::decode(proto_etcd::DESCRIPTORS).unwrap();
    let kind = pool.get_message_by_name("etcdserverpb.Compare").unwrap();
    let compare = Compare {
        target_union: Some(TargetUnion::Version(0)),
        ..Default::default()
    };
    let printed = json::to_json(&kind, compare.encode_to_vec().into(), Vec::new());
    assert_eq!(printed.await.unwrap(), br#"{"version":"0"}"#);
}

fn metadata(pairs: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let found = headers::metadata(&map).into_headers();
    let mut found: Vec<_> = found
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    found.sort();
    found
}

#[test]
fn headers_reach_the_service_under_the_gateways_names() {
    let found = metadata(&[
        ("authorization", b"a.1"),
        ("accept", b"*/*"),
        ("x-own", b"1"),
        ("grpc-metadata-hasleader", b"true"),
        ("grpc-metadata-grpc-timeout", b"1S"),
        ("grpc-metadata-te", b"x"),
        ("grpc-metadata-content-type", b"x"),
        ("grpc-metadata-k-bin", b"AA"),
        ("grpc-metadata-token", b"b.2"),
        ("user-agent", "\u{fc}".as_bytes()),
    ]);
    let expected = [
        ("authorization", "a.1"),
        ("grpcgateway-accept", "*/*"),
        ("grpcgateway-authorization", "a.1"),
        ("hasleader", "true"),
        ("token", "b.2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn timeouts_are_read_as_grpc_gateway_reads_them() {
    let read = |text: &str| {
        let mut map = HeaderMap::new();
        map.insert("grpc-timeout", text.parse().unwrap());
        headers::timeout(&map).map(|timeout| timeout.unwrap().as_nanos())
    };
    assert_eq!(read("2H").unwrap(), 7_200_000_000_000);
    assert_eq!(read("100m").unwrap(), 100_000_000);
    assert_eq!(read("7n").unwrap(), 7);
    assert!(read("99999999999999H").is_ok());
    for bad in ["", "5", "m", "5x", "-5S", "1.5S"] {
        let words = read(bad).unwrap_err().message().to_owned();
        assert_eq!(words, format!("invalid grpc-timeout: {bad}"));
    }
    assert!(headers::timeout(&HeaderMap::new()).unwrap().is_none());
}

#[test]
fn every_code_has_its_status() {
    let statuses: Vec<u16> = (0..17)
        .map(|code| answer::http_status(Code::from_i32(code)).as_u16())
        .collect();
    assert_eq!(
        statuses,
        [
            200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401
        ]
    );
}

//! Plain HTTP on the client port: what probes and dashboards read.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::Cluster;

/// One request; the status and the body.
pub(crate) async fn get(endpoint: &str, path: &str) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(endpoint).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {endpoint}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_as_etcd_answers_them() {
    let cluster = Cluster::start(1).await;
    let endpoint = cluster.endpoint(0);
    let cases = [
        ("/health", "{\"health\":\"true\",\"reason\":\"\"}"),
        (
            "/health?serializable=true",
            "{\"health\":\"true\",\"reason\":\"\"}",
        ),
        ("/livez", "ok\n"),
        ("/readyz", "ok\n"),
        ("/livez?verbose", "[+]serializable_read ok\nok\n"),
        (
            "/readyz/linearizable_read?verbose",
            "[+]linearizable_read ok\nok\n",
        ),
        (
            "/readyz?verbose&exclude=linearizable_read",
            "[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n",
        ),
    ];
    for (path, body) in cases {
        assert_eq!(get(&endpoint, path).await, (200, body.to_owned()), "{path}");
    }
    let (status, vars) = get(&endpoint, "/debug/vars").await;
    let vars: serde_json::Value = serde_json::from_str(&vars).unwrap();
    assert!(status == 200 && vars["cmdline"].is_array(), "{vars}");
    assert!(vars["file_descriptor_limit"].is_number(), "{vars}");
    assert_eq!(get(&endpoint, "/nothing").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_etcds_names() {
    let cluster = Cluster::start(1).await;
    cluster.put(0, "a", "1").await;
    let (status, text) = get(&cluster.endpoint(0), "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_server_leader_changes_seen_total 1",
        "etcd_debugging_mvcc_current_revision 2",
        "etcd_debugging_mvcc_keys_total 1",
        "etcd_server_version{server_version=\"3.7.3\"} 1",
        "grpc_server_handled_total{grpc_type=\"unary\",grpc_service=\"etcdserverpb.KV\",grpc_method=\"Put\",grpc_code=\"OK\"} 1",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    assert!(!text.contains("grpc_server_handling_seconds"));
    let cluster = Cluster::start_with(1, &["--metrics=extensive"]).await;
    cluster.put(0, "a", "1").await;
    let (_, text) = get(&cluster.endpoint(0), "/metrics").await;
    let count = "grpc_server_handling_seconds_count{grpc_type=\"unary\",grpc_service=\"etcdserverpb.KV\",grpc_method=\"Put\"} 1";
    assert!(text.lines().any(|have| have == count), "{text}");
}

//! One member and the real etcdctl 3.5: what a newcomer tries first.

use proto_etcd::etcdserverpb::PutRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use tonic::Code;

use super::harness::{Cluster, etcdctl};

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_puts_and_gets() {
    let cluster = Cluster::start(1).await;
    assert_eq!(cluster.etcdctl(0, &["put", "hello", "world"]).await, "OK\n");
    assert_eq!(
        cluster.etcdctl(0, &["get", "hello"]).await,
        "hello\nworld\n"
    );
    cluster.etcdctl(0, &["put", "a/1", "x"]).await;
    cluster.etcdctl(0, &["put", "a/2", "y"]).await;
    assert_eq!(
        cluster.etcdctl(0, &["get", "--prefix", "a/"]).await,
        "a/1\nx\na/2\ny\n"
    );
    assert_eq!(
        cluster
            .etcdctl(0, &["get", "--prefix", "--keys-only", "--limit=1", "a/"])
            .await,
        "a/1\n\n"
    );
    assert_eq!(cluster.etcdctl(0, &["get", "a/1", "--rev=2"]).await, "");
    assert_eq!(cluster.etcdctl(0, &["del", "--prefix", "a/"]).await, "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_runs_transactions() {
    let cluster = Cluster::start(1).await;
    cluster.put(0, "a", "1").await;
    let txn = "value(\"a\") = \"1\"\n\nput a 2\nget a\n\nput a 3\n\n";
    let (ok, out, err) = etcdctl(&cluster.endpoint(0), &["txn"], txn).await;
    assert!(ok, "{err}");
    assert_eq!(out, "SUCCESS\n\nOK\n\na\n2\n");
    let (_, out, _) = etcdctl(&cluster.endpoint(0), &["txn"], txn).await;
    assert_eq!(out, "FAILURE\n\nOK\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_watches_the_past_and_compacts_it() {
    let cluster = Cluster::start(1).await;
    for value in ["1", "2", "3"] {
        cluster.put(0, "a", value).await;
    }
    let mut watch = tokio::process::Command::new(testkit::peer("etcdctl").unwrap())
        .env("ETCDCTL_ENDPOINTS", cluster.endpoint(0))
        .args(["watch", "a", "--rev=3"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(watch.stdout.take().unwrap()));
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let line =
            tokio::time::timeout(std::time::Duration::from_secs(20), lines.next_line()).await;
        seen.push(line.expect("the watch is silent").unwrap().unwrap());
    }
    assert_eq!(seen, ["PUT", "a", "2", "PUT", "a", "3"]);
    assert_eq!(
        cluster.etcdctl(0, &["compact", "3"]).await,
        "compacted revision 3\n"
    );
    let (ok, _, err) = etcdctl(&cluster.endpoint(0), &["get", "a", "--rev=2"], "").await;
    assert!(
        !ok && err.contains("etcdserver: mvcc: required revision has been compacted"),
        "{err}"
    );
    let (_, _, err) = etcdctl(&cluster.endpoint(0), &["compact", "100"], "").await;
    assert!(
        err.contains("etcdserver: mvcc: required revision is a future revision"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_looks_at_the_cluster() {
    let cluster = Cluster::start(1).await;
    let status = cluster
        .etcdctl(0, &["endpoint", "status", "-w", "json"])
        .await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let status = &status[0]["Status"];
    assert_eq!(status["version"], "3.7.3");
    assert_eq!(status["leader"], status["header"]["member_id"]);
    assert!(status["raftIndex"].as_u64() >= status["raftAppliedIndex"].as_u64());
    assert!(status["dbSize"].as_u64() > Some(0));
    let members = cluster.etcdctl(0, &["member", "list"]).await;
    assert!(
        members.contains(", started, m0, http://127.0.0.1:"),
        "{members}"
    );
    let health = cluster.etcdctl(0, &["endpoint", "health"]).await;
    assert!(
        health.is_empty() || health.contains("is healthy"),
        "{health}"
    );
    assert!(cluster.etcdctl(0, &["alarm", "list"]).await.is_empty());
    let lease = cluster.etcdctl(0, &["lease", "grant", "60"]).await;
    assert!(lease.contains("granted with TTL(60s)"), "{lease}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let mut cluster = Cluster::start(1).await;
    for number in 0..50 {
        cluster.put(0, &format!("key/{number}"), "value").await;
    }
    cluster.etcdctl(0, &["del", "key/7"]).await;
    let before = cluster
        .etcdctl(0, &["get", "--prefix", "key/", "-w", "json"])
        .await;
    let hash = cluster.etcdctl(0, &["endpoint", "hashkv"]).await;
    cluster.stop(0).await;
    cluster.restart(0).await;
    let after = cluster
        .etcdctl(0, &["get", "--prefix", "key/", "-w", "json"])
        .await;
    let without_term = |text: &str| text.split("\"kvs\"").nth(1).map(str::to_owned);
    assert_eq!(without_term(&before), without_term(&after));
    assert_eq!(hash, cluster.etcdctl(0, &["endpoint", "hashkv"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_raises_an_alarm_and_deletes_go_on() {
    let cluster = Cluster::start_with(1, &["--quota-backend-bytes=65536"]).await;
    let value = "v".repeat(16 << 10);
    let mut refused = String::new();
    for number in 0..20 {
        let (ok, _, err) = etcdctl(
            &cluster.endpoint(0),
            &["put", &format!("k{number}"), &value],
            "",
        )
        .await;
        if !ok {
            refused = err;
            break;
        }
    }
    assert!(
        refused.contains("etcdserver: mvcc: database space exceeded"),
        "{refused}"
    );
    assert!(
        cluster
            .etcdctl(0, &["alarm", "list"])
            .await
            .contains("alarm:NOSPACE")
    );
    assert!(cluster.get(0, "k0").await.is_some());
    cluster.etcdctl(0, &["del", "--prefix", "k"]).await;
    let (_, _, err) = etcdctl(&cluster.endpoint(0), &["put", "k", "v"], "").await;
    assert!(
        err.contains("database space exceeded"),
        "the alarm holds until it is disarmed: {err}"
    );
    let revision = cluster.handle(0).revision();
    cluster
        .etcdctl(0, &["compact", "--physical", &revision.to_string()])
        .await;
    cluster.etcdctl(0, &["alarm", "disarm"]).await;
    cluster.put(0, "k", "v").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_limit_is_refused_in_etcds_words() {
    let cluster = Cluster::start(1).await;
    let mut kv = KvClient::new(cluster.channel(0).await).max_encoding_message_size(16 << 20);
    let mut put = async |bytes: usize| {
        let value = vec![b'v'; bytes].into();
        kv.put(PutRequest {
            key: "k".into(),
            value,
            ..Default::default()
        })
        .await
        .unwrap_err()
    };
    let over_the_limit = put(1_600_000).await;
    assert_eq!(over_the_limit.code(), Code::InvalidArgument);
    assert_eq!(over_the_limit.message(), "etcdserver: request is too large");
    let over_the_frame = put(3_000_000).await;
    assert_eq!(over_the_frame.code(), Code::ResourceExhausted);
    let words = "grpc: received message larger than max (3000008 vs. 2097152)";
    assert_eq!(over_the_frame.message(), words);
}

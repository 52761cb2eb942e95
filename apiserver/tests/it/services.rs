//! Addresses and ports of Services: never given out twice, whatever replicas do at one time.

use std::collections::HashSet;

use apiserver::Server;
use http::StatusCode;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::harness::{Cluster, eventually};

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, more: &Value) -> Value {
    let mut spec = json!({"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn two_replicas_never_give_out_one_thing_twice() {
    let cluster = Cluster::with_servers(2).await;
    let create = |n: usize| {
        let client = cluster.admin(n % 2);
        async move {
            client
                .post(SERVICES, &service(&format!("s{n}"), &json!({})))
                .await
        }
    };
    let made = futures::future::join_all((0..32).map(create)).await;
    let mut ips = HashSet::new();
    let mut ports = HashSet::new();
    for (code, service) in made {
        assert_eq!(code, StatusCode::CREATED, "{service}");
        assert!(ips.insert(service["spec"]["clusterIP"].as_str().unwrap().to_owned()));
        assert!(ports.insert(service["spec"]["ports"][0]["nodePort"].as_u64().unwrap()));
    }
    // The range has 32 ports: the next one must be refused, and fit again after a deletion.
    let (code, _) = cluster
        .admin(0)
        .post(SERVICES, &service("more", &json!({})))
        .await;
    assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
    cluster
        .admin(1)
        .delete(&format!("{SERVICES}/s7"), &json!({}))
        .await;
    let (code, made) = cluster
        .admin(0)
        .post(SERVICES, &service("more", &json!({})))
        .await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    let (_, claims) = cluster
        .admin(0)
        .get("/apis/networking.k8s.io/v1/ipaddresses")
        .await;
    assert_eq!(
        claims["items"].as_array().unwrap().len(),
        33,
        "32 services and the API's own"
    );
}

#[tokio::test]
async fn what_a_service_asks_for_is_given_or_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin(0);
    let (_, made) = admin
        .post(
            SERVICES,
            &service(
                "a",
                &json!({"clusterIP": "10.0.0.9", "ports": [{"port": 80, "nodePort": 30005}]}),
            ),
        )
        .await;
    assert_eq!(made["spec"]["clusterIPs"], json!(["10.0.0.9"]), "{made}");
    assert_eq!(made["spec"]["ports"][0]["nodePort"], 30005);
    for (more, part) in [
        (
            json!({"clusterIP": "10.0.0.9"}),
            "provided IP is already allocated",
        ),
        (
            json!({"clusterIP": "192.168.0.9"}),
            "not in the valid range",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 30005}]}),
            "provided port is already allocated",
        ),
        (
            json!({"ports": [{"port": 80, "nodePort": 99}]}),
            "The range of valid ports is 30000-30031",
        ),
    ] {
        let (code, status) = admin.post(SERVICES, &service("b", &more)).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
        assert!(
            status["message"].as_str().unwrap().contains(part),
            "{status}"
        );
    }
    let (_, headless) = admin
        .post(
            SERVICES,
            &service("h", &json!({"type": "ClusterIP", "clusterIP": "None"})),
        )
        .await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    // A PUT that leaves out what was given keeps it.
    let path = format!("{SERVICES}/a");
    let (_, kept) = admin
        .put(&path, &service("a", &json!({"selector": {"c": "d"}})))
        .await;
    assert_eq!(kept["spec"]["clusterIP"], "10.0.0.9", "{kept}");
    assert_eq!(kept["spec"]["ports"][0]["nodePort"], 30005);
    // Another type gives back what it no longer needs.
    let (code, plain) = admin
        .merge(
            &path,
            &json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}),
        )
        .await;
    assert_eq!(code, StatusCode::OK, "{plain}");
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    let (code, made) = admin
        .post(
            SERVICES,
            &service("c", &json!({"ports": [{"port": 80, "nodePort": 30005}]})),
        )
        .await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
}

#[tokio::test]
async fn a_port_that_is_refused_is_named_by_its_place() {
    let cluster = Cluster::start().await;
    let ports = json!({"ports": [
        {"name": "a", "port": 80, "nodePort": 30005}, {"name": "b", "port": 81, "nodePort": 99}]});
    let (code, status) = cluster.admin(0).post(SERVICES, &service("a", &ports)).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    assert_eq!(
        status["details"]["causes"][0]["field"],
        "spec.ports[1].nodePort"
    );
}

/// A server on the same store that gives out other ports.
async fn with_ports(cluster: &mut Cluster, ports: (u16, u16)) -> Client {
    let mut config = cluster.config();
    config.node_ports = ports;
    let server = Server::build(config).await.unwrap();
    let port = server.address().port();
    cluster.servers.push(format!("https://127.0.0.1:{port}"));
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(server.run(CancellationToken::new()));
    let admin = cluster.admin(cluster.servers.len() - 1);
    eventually("the other server is ready", || async {
        admin.get("/readyz").await.0 == StatusCode::OK
    })
    .await;
    admin
}

#[tokio::test]
async fn another_range_of_ports_starts_from_what_the_services_have() {
    let mut cluster = Cluster::start().await;
    let fixed = |port: u16| json!({"ports": [{"port": 80, "nodePort": port}]});
    let before = cluster.admin(0);
    for (name, port) in [("below", 30005), ("within", 30020)] {
        let (code, made) = before.post(SERVICES, &service(name, &fixed(port))).await;
        assert_eq!(code, StatusCode::CREATED, "{made}");
    }
    let after = with_ports(&mut cluster, (30020, 30021)).await;
    let (code, status) = after.post(SERVICES, &service("again", &fixed(30020))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
    let (code, made) = after.post(SERVICES, &service("new", &json!({}))).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    assert_eq!(made["spec"]["ports"][0]["nodePort"], 30021, "the only one");
    for name in ["below", "within"] {
        let (code, status) = after
            .delete(&format!("{SERVICES}/{name}"), &json!({}))
            .await;
        assert_eq!(code, StatusCode::OK, "{status}");
    }
    let (code, made) = after.post(SERVICES, &service("again", &fixed(30020))).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    // The server with the old range still runs, and still gives nothing out twice.
    let (code, status) = before.post(SERVICES, &service("more", &fixed(30021))).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY, "{status}");
}

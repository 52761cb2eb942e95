//! Logs and shells through a kubelet: a stand-in for the kubelet listens here, so that what the
//! server passes on, and with which words, can be seen.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::harness::{Cluster, SOON};

/// Answers logs with its own path, and echoes what comes over an upgraded connection.
async fn kubelet(cluster: &Cluster) -> SocketAddr {
    let path = |name: &str| cluster.dir.path().join(name);
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(path("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(path("server.key")).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    run(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            run(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .with_upgrades()
                    .await;
            });
        }
    });
    address
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().to_string();
    if path.starts_with("/containerLogs/") {
        let code = if path.contains("previous=true") {
            400
        } else {
            200
        };
        let response = Response::builder()
            .status(code)
            .body(Full::new(path.into()));
        return Ok(response.unwrap());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    run(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        stream.write_all(path.as_bytes()).await.unwrap();
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            stream.write_all(&bytes[..count]).await.unwrap();
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for name in [CONNECTION, UPGRADE] {
        let value = request.headers().get(&name).unwrap().clone();
        response.headers_mut().insert(name, value);
    }
    assert!(request.headers().get("authorization").is_none());
    Ok(response)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn run(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(task);
}

/// A pod that is bound to a node whose kubelet is the stand-in.
async fn pod_on(cluster: &Cluster, kubelet: SocketAddr) {
    let admin = cluster.admin(0);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin
        .post(accounts, &json!({"metadata": {"name": "default"}}))
        .await;
    let node = json!({"metadata": {"name": "n"}, "status": {
        "addresses": [{"type": "InternalIP", "address": kubelet.ip().to_string()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port()}}}});
    assert_eq!(
        admin.post("/api/v1/nodes", &node).await.0,
        StatusCode::CREATED
    );
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}});
    let (code, pod) = admin.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, StatusCode::CREATED, "{pod}");
}

#[tokio::test]
async fn logs_are_passed_on_as_they_come() {
    let cluster = Cluster::start().await;
    pod_on(&cluster, kubelet(&cluster).await).await;
    let admin = cluster.admin(0);
    let path = "/api/v1/namespaces/default/pods/p/log";
    let (code, text) = admin.get(&format!("{path}?follow=true&tailLines=3")).await;
    assert_eq!(
        (code, text),
        (
            StatusCode::OK,
            json!("/containerLogs/default/p/c?follow=true&tailLines=3")
        )
    );
    let (code, status) = admin.get(&format!("{path}?previous=true")).await;
    assert_eq!(
        (code, &status["reason"]),
        (StatusCode::BAD_REQUEST, &json!("BadRequest"))
    );
    assert_eq!(
        cluster.client(0, Some("bob")).get(path).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        cluster.kubectl_ok(&["logs", "p"]).await,
        "/containerLogs/default/p/c?"
    );
}

#[tokio::test]
async fn a_shell_is_a_pipe_in_both_directions() {
    let cluster = Cluster::start().await;
    pod_on(&cluster, kubelet(&cluster).await).await;
    let path = "/api/v1/namespaces/default/pods/p/exec?command=sh&stdin=true&stdout=true";
    let (code, _) = cluster.admin(0).get(path).await;
    assert_eq!(
        code,
        StatusCode::BAD_REQUEST,
        "without an upgrade there is no pipe"
    );

    let mut stream = upgrade(&cluster, path).await;
    let expected = b"/exec/default/p/c?input=1&output=1&command=sh";
    let mut bytes = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bytes, expected);
    stream.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    timeout(SOON, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&bytes, b"hello");
}

/// Opens an upgraded connection as kubectl does: HTTP/1.1 and a WebSocket's headers.
async fn upgrade(cluster: &Cluster, path: &str) -> TokioIo<hyper::upgrade::Upgraded> {
    let file = |name: &str| cluster.dir.path().join(name);
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("ca.crt")).unwrap())
        .unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_file(file("admin.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(file("admin.key")).unwrap(),
        )
        .unwrap();
    let address = cluster.servers[0].strip_prefix("https://").unwrap();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = TlsConnector::from(Arc::new(tls))
        .connect(name, tcp)
        .await
        .unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .unwrap();
    run(async move {
        let _ = connection.with_upgrades().await;
    });
    let request = Request::builder()
        .uri(path)
        .header("host", address)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "v5.channel.k8s.io")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut response = timeout(SOON, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        panic!("{}", String::from_utf8_lossy(&body));
    }
    TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())
}

//! Certificates that authenticate nobody, and servers that a client must not believe.

use std::path::Path;

use apiserver::Server;
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::support::MAPS;
use crate::client::Client;
use crate::harness::{Cluster, eventually};

#[tokio::test]
async fn strangers_are_kept_out() {
    let cluster = Cluster::start().await;
    let anonymous = cluster.client(0, None);
    assert_eq!(anonymous.get("/livez").await.0, StatusCode::OK);
    assert_eq!(anonymous.get("/version").await.0, StatusCode::OK);
    let (code, status) = anonymous.get(MAPS).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("User \"system:anonymous\" cannot list resource \"configmaps\""),
        "{status}"
    );
    assert_eq!(anonymous.get("/metrics").await.0, StatusCode::FORBIDDEN);
    let bob = cluster.client(0, Some("bob"));
    assert_eq!(bob.get(MAPS).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        bob.get("/apis").await.0,
        StatusCode::OK,
        "discovery is for every user"
    );
    // A certificate of another authority authenticates nobody.
    assert_unauthorized(cluster.client(0, Some("stranger")).get("/livez").await);
}

#[tokio::test]
async fn plain_http_is_told_where_it_is() {
    let cluster = Cluster::start().await;
    let address = cluster.servers[0].trim_start_matches("https://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    assert!(
        answer.ends_with("Client sent an HTTP request to an HTTPS server.\n"),
        "{answer}"
    );
}

fn assert_unauthorized((code, status): (StatusCode, Value)) {
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    assert_eq!(
        (&status["reason"], &status["message"], &status["code"]),
        (&json!("Unauthorized"), &json!("Unauthorized"), &json!(401))
    );
}

/// Writes an authority, two clients of it, and servers of it that are outdated or elsewhere.
fn make_outdated(dir: &Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "second");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.crt", params.self_signed(&key).unwrap().pem());
    let ca = Issuer::new(params, key);
    for (name, host, is_good) in [
        ("admin", "admin", true),
        ("old", "old", false),
        ("outdated", "127.0.0.1", false),
        ("elsewhere", "elsewhere.example", true),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let group = "system:masters";
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        if !is_good {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        write(
            &format!("{name}.crt"),
            params.signed_by(&key, &ca).unwrap().pem(),
        );
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// One more server on the cluster's store, with settings of its own; its URL.
async fn serve(
    cluster: &Cluster,
    stop: &CancellationToken,
    change: impl Fn(&mut apiserver::Config),
) -> String {
    let mut config = cluster.config();
    change(&mut config);
    let server = Server::build(config).await.unwrap();
    let url = format!("https://127.0.0.1:{}", server.address().port());
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(server.run(stop.clone()));
    url
}

#[tokio::test]
async fn an_expired_certificate_authenticates_nobody() {
    let cluster = Cluster::start().await;
    let second = tempfile::tempdir().unwrap();
    make_outdated(second.path());
    let stop = CancellationToken::new();
    let url = serve(&cluster, &stop, |config| {
        config.client_ca_file = Some(second.path().join("ca.crt"));
    })
    .await;
    // The server's own certificate is still the cluster's; the clients are the second authority's.
    let known = cluster.dir.path();
    for name in ["admin", "old"] {
        for ending in ["crt", "key"] {
            let from = second.path().join(format!("{name}.{ending}"));
            std::fs::copy(from, known.join(format!("second-{name}.{ending}"))).unwrap();
        }
    }
    let admin = Client::new(&url, known, Some("second-admin"));
    eventually("the server becomes ready", || async {
        admin.get(MAPS).await.0 == StatusCode::OK
    })
    .await;
    let old = Client::new(&url, known, Some("second-old"));
    assert_unauthorized(old.get(MAPS).await);
    stop.cancel();
}

#[tokio::test]
async fn kubectl_tells_who_is_not_believed() {
    let cluster = Cluster::start().await;
    let second = tempfile::tempdir().unwrap();
    make_outdated(second.path());
    let path = |dir: &Path, name: &str| dir.join(name).display().to_string();
    let (own, other) = (cluster.dir.path(), second.path());
    cluster.kubectl_ok(&["get", "configmaps"]).await;
    let (ok, text) = cluster
        .kubectl(&[
            "get",
            "configmaps",
            "--client-certificate",
            &path(own, "stranger.crt"),
            "--client-key",
            &path(own, "stranger.key"),
        ])
        .await;
    assert!(!ok);
    let words = "error: You must be logged in to the server";
    assert!(text.contains(words), "{text}");

    let stop = CancellationToken::new();
    let ca = path(other, "ca.crt");
    for (name, words) in [
        (
            "outdated",
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
        ),
        (
            "elsewhere",
            "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
    ] {
        let url = serve(&cluster, &stop, |config| {
            config.tls_cert_file = other.join(format!("{name}.crt"));
            config.tls_key_file = other.join(format!("{name}.key"));
        })
        .await;
        let args = ["get", "configmaps", "--server", &url];
        let (ok, text) = cluster
            .kubectl(&[&args[..], &["--certificate-authority", &ca]].concat())
            .await;
        assert!(!ok && text.contains(words), "{text}");
    }
    // An authority that has not signed the server.
    let args = ["get", "configmaps", "--certificate-authority", &ca];
    let (ok, text) = cluster.kubectl(&args).await;
    let words = "x509: certificate signed by unknown authority";
    assert!(!ok && text.contains(words), "{text}");
    stop.cancel();
}

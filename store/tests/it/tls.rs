//! TLS on both sides: who gets in, who does not, and new certificates without a restart.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use store::config::Config;
use store::server::Store;
use tokio_util::sync::CancellationToken;

use super::harness::{SOON, etcdctl, free_port};

/// An authority, and the certificates that it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes `NAME.crt` and `NAME.key`, for both ends of a connection.
    pub(crate) fn write(&self, dir: &Path, name: &str, hosts: &[&str]) {
        self.write_named(dir, name, hosts, Some(name));
    }

    /// The same, with a common name of its own or without one.
    pub(crate) fn write_named(
        &self,
        dir: &Path,
        name: &str,
        hosts: &[&str],
        common_name: Option<&str>,
    ) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name = DistinguishedName::new();
        if let Some(common_name) = common_name {
            params
                .distinguished_name
                .push(DnType::CommonName, common_name);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(dir.join("ca.crt"), &self.pem).unwrap();
    }
}

pub(crate) fn file(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

/// The flags of a member with TLS on both sides.
pub(crate) fn flags(dir: &Path, name: &str, peer: u16, client: u16, cluster: &str) -> Vec<String> {
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", file(dir, &format!("data-{name}"))),
        format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=https://127.0.0.1:{peer}"),
        format!("--listen-client-urls=https://127.0.0.1:{client}"),
        format!("--advertise-client-urls=https://127.0.0.1:{client}"),
        format!("--initial-cluster={cluster}"),
        format!("--cert-file={}", file(dir, "server.crt")),
        format!("--key-file={}", file(dir, "server.key")),
        format!("--trusted-ca-file={}", file(dir, "ca.crt")),
        "--client-cert-auth".to_owned(),
        format!("--peer-cert-file={}", file(dir, "server.crt")),
        format!("--peer-key-file={}", file(dir, "server.key")),
        format!("--peer-trusted-ca-file={}", file(dir, "ca.crt")),
        "--peer-client-cert-auth".to_owned(),
    ]
}

pub(crate) async fn member(dir: &Path, name: &str, peer: u16, client: u16, cluster: &str) -> Store {
    let config = Config::parse(&flags(dir, name, peer, client, cluster), []).unwrap();
    Store::build(config)
        .await
        .unwrap_or_else(|error| panic!("{}", base::report(&error)))
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_clients_know_each_other_by_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (trusted, stranger) = (Authority::new(), Authority::new());
    trusted.write(dir, "server", &["127.0.0.1", "localhost"]);
    trusted.write(dir, "client", &["client"]);
    let elsewhere = dir.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    stranger.write(&elsewhere, "client", &["client"]);

    let ports = [free_port(), free_port(), free_port(), free_port()];
    let cluster = format!(
        "a=https://127.0.0.1:{},b=https://127.0.0.1:{}",
        ports[0], ports[1]
    );
    let (stop, tasks) = (CancellationToken::new(), base::Tasks::new("test"));
    let a = member(dir, "a", ports[0], ports[2], &cluster).await;
    let b = member(dir, "b", ports[1], ports[3], &cluster).await;
    let handles = [a.handle(), b.handle()];
    tasks.spawn("a", base::OnError::Log, a.run(stop.clone()));
    tasks.spawn("b", base::OnError::Log, b.run(stop.clone()));
    for handle in &handles {
        let ready =
            tokio::time::timeout(std::time::Duration::from_secs(SOON), handle.wait_ready()).await;
        assert_eq!(ready, Ok(true));
    }

    let endpoint = format!("https://127.0.0.1:{}", ports[2]);
    let (ca, cert, key) = (
        file(dir, "ca.crt"),
        file(dir, "client.crt"),
        file(dir, "client.key"),
    );
    let known = [
        "--cacert", &ca, "--cert", &cert, "--key", &key, "put", "a", "1",
    ];
    let (ok, out, err) = etcdctl(&endpoint, &known, "").await;
    assert!(ok && out == "OK\n", "{err}");
    let timeout = ["--dial-timeout=1s", "--command-timeout=2s"];
    let anonymous = ["--cacert", &ca, timeout[0], timeout[1], "get", "a"];
    assert!(
        !etcdctl(&endpoint, &anonymous, "").await.0,
        "a certificate is a must"
    );
    let (bad_cert, bad_key) = (
        file(&elsewhere, "client.crt"),
        file(&elsewhere, "client.key"),
    );
    let unknown = [
        "--cacert", &ca, "--cert", &bad_cert, "--key", &bad_key, timeout[0], timeout[1], "get", "a",
    ];
    assert!(
        !etcdctl(&endpoint, &unknown, "").await.0,
        "a stranger's certificate must not do"
    );

    // A new authority and new certificates in the same places: the next connection uses them.
    stranger.write(dir, "server", &["127.0.0.1", "localhost"]);
    let new_ca = file(&elsewhere, "ca.crt");
    let renewed = [
        "--cacert", &new_ca, "--cert", &bad_cert, "--key", &bad_key, "get", "a",
    ];
    let (ok, out, err) = etcdctl(&endpoint, &renewed, "").await;
    assert!(ok && out == "a\n1\n", "{err}");
    stop.cancel();
    assert!(tasks.shutdown(std::time::Duration::from_secs(SOON)).await);
}

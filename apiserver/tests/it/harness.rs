//! Starts a store and servers, and runs kubectl against them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use apiserver::storage::{Etcd, EtcdConfig};
use apiserver::{Config, Server};
use http::StatusCode;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::pki::make_pki;

/// Waiting for anything must not take longer.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A program of the peers' folder.
pub(crate) fn peer(name: &str) -> PathBuf {
    let folder = std::env::var_os("KEELSON_PEERS_BIN")
        .expect("KEELSON_PEERS_BIN must name the folder of the peers (etcd, kubectl)");
    let path = Path::new(&folder).join(name);
    assert!(path.exists(), "the peer {} is missing", path.display());
    path
}

/// A store with one member, killed when dropped.
pub(crate) struct Store {
    child: Child,
    dir: PathBuf,
    client: u16,
    peer: u16,
}

fn free_port() -> u16 {
    base::ports::free_one().unwrap()
}

impl Store {
    fn start(dir: &Path) -> Self {
        let (client, peer) = (free_port(), free_port());
        let child = Self::spawn(dir, client, peer);
        Self {
            child,
            dir: dir.to_owned(),
            client,
            peer,
        }
    }

    fn spawn(dir: &Path, client: u16, peer_port: u16) -> Child {
        let (client, peer_url) = (
            format!("http://127.0.0.1:{client}"),
            format!("http://127.0.0.1:{peer_port}"),
        );
        Command::new(peer("etcd"))
            .args(["--data-dir", &dir.join("etcd").display().to_string()])
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer_url,
                "--initial-advertise-peer-urls",
                &peer_url,
            ])
            .args([
                "--initial-cluster",
                &format!("default={peer_url}"),
                "--log-level",
                "error",
            ])
            .arg("--unsafe-no-fsync")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Kills the store and starts it again with what it had.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(&self.dir, self.client, self.peer);
    }

    /// Kills the store.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn config(&self) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![format!("http://127.0.0.1:{}", self.client)],
            ..EtcdConfig::default()
        }
    }

    pub(crate) fn client(&self) -> Etcd {
        Etcd::new(&self.config()).unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A store with servers in front of it.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) servers: Vec<String>,
    pub(crate) dir: TempDir,
    stop: CancellationToken,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Cluster {
    /// One server.
    pub(crate) async fn start() -> Self {
        Self::with_servers(1).await
    }

    /// Several servers on one store, all ready.
    pub(crate) async fn with_servers(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_pki(dir.path());
        let store = Store::start(dir.path());
        let stop = CancellationToken::new();
        let mut cluster = Self {
            store,
            servers: Vec::new(),
            dir,
            stop,
        };
        for _ in 0..count {
            cluster.add_server().await;
        }
        cluster
    }

    /// One more server; its client, once it is ready.
    pub(crate) async fn add_server(&mut self) -> Client {
        self.serve(self.config(), self.stop.clone()).await
    }

    /// One more server with settings and an end of its own; its client, once it is ready.
    pub(crate) async fn serve(&mut self, config: Config, stop: CancellationToken) -> Client {
        let server = Server::build(config).await.unwrap();
        self.servers
            .push(format!("https://127.0.0.1:{}", server.address().port()));
        #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(server.run(stop));
        let admin = self.admin(self.servers.len() - 1);
        let what = "the server becomes ready";
        eventually(what, || async {
            admin.get("/readyz").await.0 == StatusCode::OK
        })
        .await;
        admin
    }

    /// Tells all servers to end.
    pub(crate) fn stop_servers(&self) {
        self.stop.cancel();
    }

    /// The settings of one more server.
    pub(crate) fn config(&self) -> Config {
        let path = |name: &str| self.dir.path().join(name).display().to_string();
        let args = [
            format!("--etcd-servers={}", self.store.config().endpoints[0]),
            "--secure-port=0".into(),
            "--bind-address=127.0.0.1".into(),
            "--tls-cert-file".into(),
            path("server.crt"),
            "--tls-private-key-file".into(),
            path("server.key"),
            "--client-ca-file".into(),
            path("ca.crt"),
            "--service-account-key-file".into(),
            path("sa.key"),
            "--service-account-signing-key-file".into(),
            path("sa.key"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--service-node-port-range=30000-30031".into(),
        ];
        apiserver::config::parse(&args).unwrap()
    }

    /// A client with the admin's certificate.
    pub(crate) fn admin(&self, server: usize) -> Client {
        self.client(server, Some("admin"))
    }

    /// A client with a certificate, or without.
    pub(crate) fn client(&self, server: usize, user: Option<&str>) -> Client {
        Client::new(&self.servers[server], self.dir.path(), user)
    }

    /// Runs kubectl as the admin: what it wrote, and whether it succeeded.
    pub(crate) async fn kubectl(&self, args: &[&str]) -> (bool, String) {
        let kubeconfig = self.dir.path().join("kubeconfig");
        if !kubeconfig.exists() {
            std::fs::write(&kubeconfig, self.kubeconfig()).unwrap();
        }
        let output = tokio::process::Command::new(peer("kubectl"))
            .env("KUBECONFIG", &kubeconfig)
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .args(args)
            .output();
        let output = timeout(SOON, output)
            .await
            .expect("kubectl takes too long")
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// Runs kubectl, which must succeed.
    pub(crate) async fn kubectl_ok(&self, args: &[&str]) -> String {
        let (ok, text) = self.kubectl(args).await;
        assert!(ok, "kubectl {args:?}: {text}");
        text
    }

    fn kubeconfig(&self) -> String {
        let (server, dir) = (&self.servers[0], self.dir.path().display());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"{server}\", certificate-authority: {dir}/ca.crt}}}}]\n\
             users: [{{name: a, user: {{client-certificate: {dir}/admin.crt, client-key: {dir}/admin.key}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: a}}}}]\n"
        )
    }
}

/// Polls until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let end = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < end, "it takes too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! A real kube-apiserver with its store and controller-manager, for as long as a comparison lasts.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const READY_WITHIN: Duration = Duration::from_secs(90);

/// The processes end with this value.
pub(super) struct Plane {
    folder: PathBuf,
    children: Vec<Child>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // They may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Plane {
    /// Starts a store, an api-server and a controller-manager and waits until they have made the
    /// objects of a fresh cluster.
    pub(super) fn start(bin: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("keelson-codegen-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut plane = Self {
            folder,
            children: Vec::new(),
        };
        let [client, peer, secure] = free_ports()?;
        let store = format!("http://127.0.0.1:{client}");
        let peer = format!("http://127.0.0.1:{peer}");
        let data = plane.folder.join("etcd");
        plane.spawn(
            Command::new(bin.join("etcd"))
                .arg("--data-dir")
                .arg(data)
                .args([
                    "--listen-client-urls",
                    &store,
                    "--advertise-client-urls",
                    &store,
                    "--listen-peer-urls",
                    &peer,
                    "--initial-advertise-peer-urls",
                    &peer,
                    "--initial-cluster",
                    &format!("default={peer}"),
                ]),
        )?;
        plane.keys()?;
        plane.apiserver(bin, &store, secure)?;
        plane.wait(bin, &["get", "--raw", "/readyz"])?;
        let kubeconfig = plane.kubeconfig();
        let mut manager = Command::new(bin.join("kube-controller-manager"));
        manager
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(["--secure-port", "0"]);
        manager
            .arg("--service-account-private-key-file")
            .arg(plane.folder.join("sa.key"));
        plane.spawn(&mut manager)?;
        plane.wait(bin, &["-n", "default", "get", "serviceaccount", "default"])?;
        Ok(plane)
    }

    /// An administrator's kubeconfig.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn apiserver(&mut self, bin: &Path, store: &str, port: u16) -> Result<()> {
        let at = |name: &str| self.folder.join(name);
        fs::write(at("tokens.csv"), "codegen,admin,admin,system:masters\n")?;
        fs::write(
            at("kubeconfig"),
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
                 clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", insecure-skip-tls-verify: true}}}}]\n\
                 users: [{{name: u, user: {{token: codegen}}}}]\n\
                 contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
            ),
        )?;
        let mut server = Command::new(bin.join("kube-apiserver"));
        server.args(["--etcd-servers", store, "--secure-port", &port.to_string()]);
        server.args([
            "--bind-address",
            "127.0.0.1",
            "--authorization-mode",
            "Node,RBAC",
        ]);
        server.args(["--service-cluster-ip-range", "10.0.0.0/24"]);
        server.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        server
            .arg("--cert-dir")
            .arg(at("cert"))
            .arg("--token-auth-file")
            .arg(at("tokens.csv"));
        server.arg("--service-account-key-file").arg(at("sa.pub"));
        server
            .arg("--service-account-signing-key-file")
            .arg(at("sa.key"));
        self.spawn(&mut server)
    }

    fn keys(&self) -> Result<()> {
        let (key, public) = (self.folder.join("sa.key"), self.folder.join("sa.pub"));
        let mut make = Command::new("openssl");
        crate::command::output(make.args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
        let mut derive = Command::new("openssl");
        derive
            .args(["rsa", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(&public);
        crate::command::output(&mut derive)?;
        Ok(())
    }

    fn spawn(&mut self, command: &mut Command) -> Result<()> {
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = quiet
            .spawn()
            .with_context(|| format!("start {:?}", quiet.get_program()))?;
        self.children.push(child);
        Ok(())
    }

    fn wait(&self, bin: &Path, question: &[&str]) -> Result<()> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            let mut ask = Command::new(bin.join("kubectl"));
            ask.arg("--kubeconfig")
                .arg(self.kubeconfig())
                .args(question);
            match crate::command::output(&mut ask) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    bail!("the real server is not ready: {error}")
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

fn free_ports() -> Result<[u16; 3]> {
    // Held together, so that the three differ; another program could still take one in between.
    let held = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

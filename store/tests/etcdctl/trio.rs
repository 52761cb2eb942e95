//! Three members as processes, of a real etcd or of ours under its name, and etcdctl asked of them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use super::harness::{SOON, free_port};
use super::tls::{self, Authority, file};

/// The longest that any command takes: `check perf` counts a minute.
const LIMIT: Duration = Duration::from_secs(150);
/// How long a command may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the user root is called by.
const ROOT: &str = "root:root";

/// With certificates, and with users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) tls: bool,
    pub(super) users: bool,
}

/// A member.
struct Member {
    name: String,
    peer: u16,
    client: u16,
    process: Child,
}

/// What a command left.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// `None` while it runs.
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// A cluster.
pub(super) struct Trio {
    dir: tempfile::TempDir,
    setting: Setting,
    ctl: PathBuf,
    members: Vec<Member>,
    /// Whether etcdctl names itself: once there are users.
    names_itself: bool,
}

impl Trio {
    /// Starts `program` three times and waits until it serves.
    pub(super) async fn start(program: &Path, ctl: PathBuf, setting: Setting) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let scheme = if setting.tls { "https" } else { "http" };
        if setting.tls {
            let authority = Authority::new();
            authority.write(dir.path(), "server", &["127.0.0.1", "localhost"]);
            authority.write(dir.path(), "client", &["client"]);
        }
        let seats: Vec<_> = (0..3)
            .map(|nth| (format!("m{nth}"), free_port(), free_port()))
            .collect();
        let peers: Vec<String> = seats
            .iter()
            .map(|(name, peer, _)| format!("{name}={scheme}://127.0.0.1:{peer}"))
            .collect();
        let peers = peers.join(",");
        // Ours is told what it is to be by its name alone.
        let link = dir.path().join("etcd");
        std::os::unix::fs::symlink(program, &link).unwrap();
        let start = |(name, peer, client): (String, u16, u16)| {
            let flags = match setting.tls {
                true => tls::flags(dir.path(), &name, peer, client, &peers),
                false => plain_flags(dir.path(), &name, peer, client, &peers),
            };
            let log = std::fs::File::create(dir.path().join(format!("{name}.log"))).unwrap();
            let process = Command::new(&link)
                .args(flags)
                .arg("--bcrypt-cost=4")
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            Member {
                name,
                peer,
                client,
                process,
            }
        };
        let members = seats.into_iter().map(start).collect();
        let mut trio = Self {
            dir,
            setting,
            ctl,
            members,
            names_itself: false,
        };
        trio.wait().await;
        if setting.users {
            trio.add_users().await;
        }
        trio
    }

    async fn wait(&self) {
        let all = format!("--endpoints={}", self.addresses().join(","));
        let up = testkit::poll(3 * SOON, "three members serve", async || {
            let told = self.ask(&["endpoint", "health", &all], "").await;
            (told.code == Some(0)).then_some(()).ok_or(told.err)
        });
        up.await.unwrap();
    }

    async fn add_users(&mut self) {
        let steps: [&[&str]; 3] = [
            &["user", "add", ROOT],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ];
        for step in steps {
            let told = self.ask(step, "").await;
            assert_eq!(told.code, Some(0), "{step:?}: {}", told.err);
        }
        self.names_itself = true;
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The members' names, peer ports and client ports.
    pub(super) fn seats(&self) -> impl Iterator<Item = (&str, u16, u16)> {
        let members = self.members.iter();
        members.map(|member| (member.name.as_str(), member.peer, member.client))
    }

    /// Where clients reach them.
    pub(super) fn addresses(&self) -> Vec<String> {
        let address = |member: &Member| format!("127.0.0.1:{}", member.client);
        self.members.iter().map(address).collect()
    }

    /// A peer URL of nobody, the same for both.
    pub(super) fn free_peer_url(&self) -> String {
        let scheme = if self.setting.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:7")
    }

    /// How `make-mirror` reaches the destination.
    pub(super) fn mirror_flags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.setting.tls {
            let path = |name| file(self.dir.path(), name);
            flags.push(format!("--dest-cacert={}", path("ca.crt")));
            flags.push(format!("--dest-cert={}", path("client.crt")));
            flags.push(format!("--dest-key={}", path("client.key")));
            flags.push("--dest-insecure-transport=false".to_owned());
        }
        if self.setting.users {
            flags.push(format!("--dest-user={ROOT}"));
        }
        flags
    }

    /// Ends all but the first, as a power cut would.
    pub(super) async fn kill_two(&mut self) {
        for member in &mut self.members[1..] {
            member.process.kill().await.unwrap();
        }
    }

    /// Runs etcdctl against the first member until it ends.
    pub(super) async fn ask(&self, args: &[&str], input: &str) -> Told {
        self.begin(args, input).await.end().await
    }

    /// Starts etcdctl against the first member.
    pub(super) async fn begin(&self, args: &[&str], input: &str) -> Asked {
        let mut command = Command::new(&self.ctl);
        // A flag beside its variable is a fault.
        let has = |flag: &str| args.iter().any(|arg| arg.starts_with(flag));
        if !has("--endpoints") {
            command.env("ETCDCTL_ENDPOINTS", &self.addresses()[0]);
        }
        if self.setting.tls {
            let path = |name| file(self.dir.path(), name);
            command
                .env("ETCDCTL_CACERT", path("ca.crt"))
                .env("ETCDCTL_CERT", path("client.crt"))
                .env("ETCDCTL_KEY", path("client.key"));
        }
        if self.names_itself && !has("--user") && !has("--password") {
            command.env("ETCDCTL_USER", ROOT);
        }
        let (out, err) = (Heard::new(), Heard::new());
        let mut child = command
            .args(args)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(out.pipe())
            .stderr(err.pipe())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that refuses its arguments reads nothing.
        let _ = stdin.write_all(input.as_bytes()).await;
        Asked {
            args: format!("{} (of {})", args.join(" "), self.dir.path().display()),
            out,
            err,
            stdin,
            child,
        }
    }
}

/// A command that runs.
pub(super) struct Asked {
    args: String,
    child: Child,
    // Some end with their input.
    stdin: ChildStdin,
    out: Heard,
    err: Heard,
}

impl Asked {
    /// What it has said so far.
    pub(super) fn so_far(&self) -> Told {
        Told {
            code: None,
            out: self.out.text(),
            err: self.err.text(),
        }
    }

    /// Waits until it ends by itself.
    pub(super) async fn end(self) -> Told {
        let Self {
            args,
            mut child,
            stdin,
            out,
            err,
        } = self;
        drop(stdin);
        let ended = tokio::time::timeout(LIMIT, child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("etcdctl {args} took too long"));
        Told {
            code: status.unwrap().code(),
            out: out.text(),
            err: err.text(),
        }
    }

    /// Ends it as Ctrl-C does: it gives back what it holds.
    pub(super) async fn stop(mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have ended just now.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
        // Not all of its commands listen.
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if ended.is_err() {
            self.child.kill().await.unwrap();
        }
    }
}

/// What comes out of a process.
struct Heard(NamedTempFile);

impl Heard {
    fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    fn pipe(&self) -> Stdio {
        self.0.reopen().unwrap().into()
    }

    fn text(&self) -> String {
        let bytes = std::fs::read(self.0.path()).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn plain_flags(dir: &Path, name: &str, peer: u16, client: u16, cluster: &str) -> Vec<String> {
    vec![
        format!("--name={name}"),
        format!("--data-dir={}", file(dir, &format!("data-{name}"))),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
        format!("--initial-cluster={cluster}"),
    ]
}

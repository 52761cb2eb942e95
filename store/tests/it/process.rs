//! `keelson store` as a process, for what belongs to a process as a whole.

use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::harness::{SOON, free_port};
use super::http::get;

/// A member on its own that serves; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    dir: TempDir,
    pub(crate) endpoint: String,
}

impl Process {
    /// Starts one with further flags, and waits until it serves.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (peer, client) = (free_port(), free_port());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(testkit::keelson().unwrap())
            .arg("store")
            .args([
                format!("--data-dir={}", dir.path().join("data").display()),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            ])
            .args(more)
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = Self {
            child,
            dir,
            endpoint: format!("127.0.0.1:{client}"),
        };
        let up = testkit::poll(SOON, "the member serves", async || {
            let connected = tokio::net::TcpStream::connect(&process.endpoint).await;
            connected.map_err(|error| format!("{error}: {}", process.log()))?;
            match get(&process.endpoint, "/health").await {
                (200, _) => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        });
        up.await.unwrap();
        process
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Asks it to end, and waits until it has; how long that took.
    pub(crate) async fn end(&mut self) -> Duration {
        let begun = std::time::Instant::now();
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = rustix::process::Pid::from_raw(id.unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(SOON), self.child.wait()).await;
        let status = ended.expect("it did not end").unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        begun.elapsed()
    }
}

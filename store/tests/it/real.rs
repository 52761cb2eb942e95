//! The real etcds to compare with, and how answers are compared.

use proto_etcd::etcdserverpb::StatusRequest;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::Channel;

use super::harness::{SOON, connect, free_port};

/// A real etcd, ended when it is dropped.
pub(crate) struct RealEtcd {
    _process: tokio::process::Child,
    _dir: tempfile::TempDir,
    pub(crate) endpoint: String,
}

impl RealEtcd {
    pub(crate) async fn start() -> Self {
        Self::start_with("etcd", &[]).await
    }

    /// One of the packaged etcds, with further flags.
    pub(crate) async fn start_with(name: &str, extra: &[&str]) -> Self {
        Self::start_in(name, tempfile::tempdir().unwrap(), extra).await
    }

    /// The same, on the folder `data` in `dir`.
    pub(crate) async fn start_in(name: &str, dir: tempfile::TempDir, extra: &[&str]) -> Self {
        let (peer, client) = (free_port(), free_port());
        let process = tokio::process::Command::new(testkit::peer(name).unwrap())
            .args([
                format!("--data-dir={}", dir.path().join("data").display()),
                format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                format!("--listen-client-urls=http://127.0.0.1:{client}"),
                format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            ])
            .args(extra)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let endpoint = format!("127.0.0.1:{client}");
        let up = testkit::poll(SOON, "the real etcd serves", async || {
            let channel = Channel::from_shared(format!("http://{endpoint}"))
                .unwrap()
                .connect()
                .await;
            let mut client = MaintenanceClient::new(channel.map_err(|error| error.to_string())?);
            client
                .status(StatusRequest {})
                .await
                .map(drop)
                .map_err(|status| status.to_string())
        });
        up.await.unwrap();
        Self {
            _process: process,
            _dir: dir,
            endpoint,
        }
    }

    /// Waits until it names the version of its files as it will from then on: a 3.7 that starts
    /// anew says 3.5.0 for some seconds. A 3.5 says nothing.
    async fn settle(&self) {
        let settled = testkit::poll(SOON, "the version of its files", async || {
            let mut client = MaintenanceClient::new(connect(&self.endpoint).await);
            let status = client.status(StatusRequest {}).await;
            let status = status.map_err(|status| status.to_string())?.into_inner();
            let minor = status.version.rsplit_once('.').map(|(minor, _)| minor);
            match minor {
                Some("3.5") => Ok(()),
                Some(minor) if status.storage_version == format!("{minor}.0") => Ok(()),
                _ => Err(format!("{status:?}")),
            }
        });
        settled.await.unwrap();
    }
}

/// The real etcd 3.5 and, where the machine has one, 3.7, which is the one to be like. By name.
pub(crate) async fn real_etcds(flags: &[&str]) -> Vec<(&'static str, RealEtcd)> {
    let mut found = Vec::new();
    for name in ["etcd", "etcd-3.7"] {
        if testkit::peer(name).is_ok() {
            let real = RealEtcd::start_with(name, flags).await;
            real.settle().await;
            found.push((name, real));
        }
    }
    assert!(!found.is_empty(), "there must be one to compare with");
    found
}

/// Compares what ours answered with what each real one did, line by line. `newer` are words of those
/// requests that 3.5 answers as 3.7 no longer does.
pub(crate) fn compare_lines(name: &str, theirs: &[String], ours: &[String], newer: &[&str]) {
    assert_eq!(theirs.len(), ours.len());
    let mut unlike = Vec::new();
    for (theirs, ours) in theirs.iter().zip(ours) {
        let asked = ours.split(" => ").next().unwrap_or(ours);
        let is_newer = newer.iter().any(|words| asked.contains(words));
        if theirs != ours && (name == "etcd-3.7" || !is_newer) {
            unlike.push(format!("{name}: {theirs}\n  ours: {ours}"));
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}

/// What was answered, as text, without what must differ.
pub(crate) fn normal<M: std::fmt::Debug>(
    answer: Result<tonic::Response<M>, tonic::Status>,
) -> String {
    let text = match answer {
        Ok(answer) => format!("{:?}", answer.into_inner()),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    };
    // Ids and terms are numbers behind their names.
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = ["cluster_id: ", "member_id: ", "raft_term: "]
        .iter()
        .filter_map(|name| rest.find(name).map(|at| at + name.len()))
        .min()
    {
        out.push_str(&rest[..at]);
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

//! The store beside a real etcd 3.7: three members each, both up at once, loaded in turns by etcd's
//! own load tool, case by case. A figure is only worth its ratio to the peer in the same run.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{command, up, workspace};

/// A case: its name and the load tool's words.
const CASES: &[(&str, &str)] = &[
    (
        "put, 1 client",
        "put --conns=1 --clients=1 --val-size=256 --key-space-size=100000 --total=2000",
    ),
    (
        "put, 1000 clients",
        "put --conns=100 --clients=1000 --val-size=256 --key-space-size=100000 --total=40000",
    ),
    (
        "range, linearizable",
        "range 0000 --conns=100 --clients=1000 --consistency=l --total=40000",
    ),
    (
        "range, serializable",
        "range 0000 --conns=100 --clients=1000 --consistency=s --total=40000",
    ),
];

/// Builds ours, starts both clusters and prints a table.
pub(crate) fn run(peers: Option<PathBuf>) -> Result<()> {
    let bin = peers.map_or_else(|| workspace::peers().map(|dir| dir.join("bin")), Ok)?;
    let (etcd, tool) = (bin.join("etcd-3.7"), bin.join("benchmark"));
    for program in [&etcd, &tool] {
        ensure!(
            program.exists(),
            "{} is missing: build etcd 3.7 and its load tool from Go first",
            program.display()
        );
    }
    let ours = up::build()?;
    let scratch = workspace::cache()?.join("bench");
    let _ = fs::remove_dir_all(&scratch);
    let link = scratch.join("etcd");
    fs::create_dir_all(&scratch)?;
    std::os::unix::fs::symlink(ours.canonicalize()?, &link)?;
    let clusters = [
        Cluster::start("etcd 3.7", &etcd, &scratch)?,
        Cluster::start("keelson", &link, &scratch)?,
    ];
    eprintln!("| case | etcd 3.7 /s | keelson /s | ratio |\n|---|---|---|---|");
    for (name, words) in CASES {
        let rates: Vec<f64> = clusters
            .iter()
            .map(|cluster| cluster.load(&tool, words))
            .collect::<Result<_>>()?;
        eprintln!(
            "| {name} | {:.0} | {:.0} | {:.2} |",
            rates[0],
            rates[1],
            rates[1] / rates[0]
        );
    }
    Ok(())
}

/// Three members, ended when dropped.
struct Cluster {
    members: Vec<Child>,
    endpoints: Vec<String>,
}

impl Cluster {
    fn start(name: &str, program: &Path, scratch: &Path) -> Result<Self> {
        let ports = free_ports(6)?;
        let (client, peer) = ports.split_at(3);
        let list: Vec<String> = (0..3)
            .map(|i| format!("m{i}=http://127.0.0.1:{}", peer[i]))
            .collect();
        let mut cluster = Self {
            members: Vec::new(),
            endpoints: Vec::new(),
        };
        for i in 0..3 {
            let (c, p) = (
                format!("http://127.0.0.1:{}", client[i]),
                format!("http://127.0.0.1:{}", peer[i]),
            );
            let dir = scratch.join(name.replace(' ', "-")).join(format!("m{i}"));
            fs::create_dir_all(&dir)?;
            let log = File::create(dir.with_extension("log"))?;
            let member = Command::new(program)
                .args([
                    "--name",
                    &format!("m{i}"),
                    "--initial-cluster",
                    &list.join(","),
                ])
                .args(["--listen-client-urls", &c, "--advertise-client-urls", &c])
                .args([
                    "--listen-peer-urls",
                    &p,
                    "--initial-advertise-peer-urls",
                    &p,
                ])
                .args(["--quota-backend-bytes", "8589934592", "--data-dir"])
                .arg(&dir)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .with_context(|| format!("start {}", program.display()))?;
            cluster.members.push(member);
            cluster.endpoints.push(format!("127.0.0.1:{}", client[i]));
        }
        cluster.wait_ready(name)?;
        Ok(cluster)
    }

    /// Ready when a put through each member succeeds.
    fn wait_ready(&self, name: &str) -> Result<()> {
        let etcdctl = workspace::peers()?.join("bin/etcdctl");
        let started = Instant::now();
        for endpoint in &self.endpoints {
            while command::output(Command::new(&etcdctl).args([
                "--endpoints",
                endpoint,
                "put",
                "ready",
                "yes",
            ]))
            .is_err()
            {
                ensure!(
                    started.elapsed() < Duration::from_secs(60),
                    "{name} is not ready after 60 s"
                );
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    fn load(&self, tool: &Path, words: &str) -> Result<f64> {
        let mut command = Command::new(tool);
        command
            .arg("--endpoints")
            .arg(self.endpoints.join(","))
            .args(words.split_whitespace());
        let text = command::output(&mut command)?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Requests/sec:"));
        line.context("the load tool gave no rate")?
            .trim()
            .parse()
            .context("read the load tool's rate")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until all are known, so that none is given twice.
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    held.iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

//! One real node under the real kubectl: containers on a containerd of the cluster's own, and a
//! Service between pods. Needs root.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Cluster, Shape};

use crate::run::{fails, ok};

/// Of the deployment that all of this is about.
const WEB_PODS: usize = 2;

#[test]
fn pods_run_answer_each_other_and_end() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a real node needs root: run the tests as root"
    );
    let cluster = Cluster::start(Shape::REAL_NODE)?;
    ensure!(ok(cluster.kubectl(&["get", "nodes", "-o", "wide"]))?.contains("containerd://"));
    a_service_answers(&cluster)?;
    a_job_ends(&cluster)?;
    a_failed_pull_shows(&cluster)?;
    cluster.keelson(&["down"])?;
    let left = left_behind(cluster.dir())?;
    ensure!(left.is_empty(), "down left these behind: {left:?}");
    cluster.restart_all()?;
    pods_come_back_with_one_address(&cluster)?;
    crashed_sandboxes_give_their_addresses_back(&cluster)
}

fn kubectl(cluster: &Cluster, words: &str) -> Result<Output> {
    cluster.kubectl(&words.split(' ').collect::<Vec<_>>())
}

fn a_service_answers(cluster: &Cluster) -> Result<()> {
    let kubectl = |words: &str| kubectl(cluster, words);
    ok(kubectl(&format!(
        "create deployment web --image=keelson/tour:latest --replicas={WEB_PODS}"
    )))?;
    ok(kubectl(
        "expose deployment web --port=80 --target-port=8080",
    ))?;
    let run = [
        "run",
        "ask",
        "--image=keelson/tour:latest",
        "--restart=Never",
        "--command",
        "--",
    ];
    ok(cluster.kubectl(&[&run[..], &["sh", "-c", "echo asking; exec sleep 600"]].concat()))?;
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    ok(kubectl("wait --for=condition=Ready pod/ask --timeout=60s"))?;
    ensure!(ok(kubectl("logs ask"))? == "asking\n");
    let address = ok(kubectl("get service web -o jsonpath={.spec.clusterIP}"))?;
    let ask = format!("exec ask -- wget -qO- -T 2 http://{address}");
    let answers = testkit::poll_blocking(30, || {
        ok(kubectl(&ask)).is_ok_and(|text| text.starts_with("web-"))
    });
    ensure!(answers, "the Service does not answer at {address}");
    Ok(())
}

fn a_job_ends(cluster: &Cluster) -> Result<()> {
    let kubectl = |words: &str| kubectl(cluster, words);
    ok(kubectl(
        "create job done --image=keelson/tour:latest -- true",
    ))?;
    ok(kubectl(
        "wait --for=condition=Complete job/done --timeout=60s",
    ))?;
    ensure!(fails(kubectl("exec job/done -- true"))?.contains("completed pod"));
    Ok(())
}

fn a_failed_pull_shows(cluster: &Cluster) -> Result<()> {
    let kubectl = |words: &str| kubectl(cluster, words);
    ok(kubectl("run absent --image=registry.invalid/absent:1"))?;
    let shows = testkit::poll_blocking(60, || {
        ok(kubectl("get pod absent --no-headers"))
            .is_ok_and(|text| text.contains("ErrImagePull") || text.contains("ImagePullBackOff"))
    });
    ensure!(shows, "the failed pull does not show");
    Ok(())
}

fn pods_come_back_with_one_address(cluster: &Cluster) -> Result<()> {
    let kubectl = |words: &str| kubectl(cluster, words);
    ok(kubectl("rollout status deployment/web --timeout=60s"))?;
    let addresses = ok(kubectl(
        "get pods -l app=web -o jsonpath={.items[*].status.podIPs[*].ip}",
    ))?;
    ensure!(addresses.split(' ').count() == WEB_PODS, "{addresses}");
    Ok(())
}

fn crashed_sandboxes_give_their_addresses_back(cluster: &Cluster) -> Result<()> {
    // A sandbox on its way has its address before its shim.
    let (mut before, mut shims) = (BTreeSet::new(), Vec::new());
    let settled = testkit::poll_blocking(60, || {
        before = addresses_in_use(cluster.dir()).unwrap_or_default();
        shims = shims_of(cluster).unwrap_or_default();
        before.len() >= WEB_PODS && shims.len() == before.len()
    });
    ensure!(settled, "{before:?} {shims:?}");
    for (pid, _) in shims {
        kill_process(pid, Signal::KILL)?;
    }
    // The pod without an image is tried again at a pace of its own.
    let replaced = testkit::poll_blocking(60, || {
        addresses_in_use(cluster.dir())
            .is_ok_and(|now| now.len() >= WEB_PODS && now.is_disjoint(&before))
    });
    let now = addresses_in_use(cluster.dir())?;
    ensure!(replaced, "{before:?} became {now:?}");
    ok(kubectl(
        cluster,
        "rollout status deployment/web --timeout=60s",
    ))?;
    Ok(())
}

fn shims_of(cluster: &Cluster) -> Result<Vec<(Pid, String)>> {
    processes(cluster.dir(), |line| line.contains("containerd-shim"))
}

/// What the network has given to sandboxes and not got back.
fn addresses_in_use(dir: &Path) -> Result<BTreeSet<IpAddr>> {
    let kept = dir.join("runtime-0/addresses/keelson");
    let files = std::fs::read_dir(&kept).with_context(|| format!("list {}", kept.display()))?;
    Ok(files
        .flatten()
        .filter_map(|file| file.file_name().to_str()?.parse().ok())
        .collect())
}

/// Processes and mounts that still name the cluster's folder.
fn left_behind(dir: &Path) -> Result<Vec<String>> {
    let name = dir.display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mounts = mounts.lines().filter(|line| line.contains(&name));
    let processes = processes(dir, |_| true)?.into_iter().map(|(_, line)| line);
    Ok(mounts.map(str::to_owned).chain(processes).collect())
}

/// The processes whose command lines name the cluster's folder and are wanted.
fn processes(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(Pid, String)>> {
    let name = dir.display().to_string();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")?.flatten() {
        let pid = process.file_name().to_str().and_then(|s| s.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            continue;
        };
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&name) && wanted(&line) {
            found.push((pid, line));
        }
    }
    Ok(found)
}

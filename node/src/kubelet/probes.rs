//! Asks running containers how they are, each probe in its own task.
//!
//! Results are kept here; a change pokes the pod's worker. Hollow containers are always well.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Tasks;
use client::events::{Recorder, Type};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use parking_lot::Mutex;
use proto_cri::v1::{self, ContainerState};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::plan;
use super::pod_state::PodState;
use super::spec::{container, is_host_network};
use super::steps::container_reference;
use crate::runtime::Runtime;

/// A body longer than this is not read.
const BODY_BYTES_MAX: usize = 10 * 1024;

/// The probes of this node.
#[derive(Clone)]
pub(super) struct Probes {
    runtime: Arc<dyn Runtime>,
    recorder: Recorder,
    host_ip: String,
    tasks: Tasks,
    /// By pod uid, then container id.
    running: Arc<Mutex<BTreeMap<String, BTreeMap<String, Watched>>>>,
}

struct Watched {
    result: Arc<Mutex<plan::Probed>>,
    stop: CancellationToken,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Probes {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        recorder: Recorder,
        host_ip: String,
        tasks: Tasks,
    ) -> Self {
        Self {
            runtime,
            recorder,
            host_ip,
            tasks,
            running: Arc::default(),
        }
    }

    /// What is known of the pod's running containers. Starts probes of new ones and ends those of
    /// others.
    pub(super) fn observe(
        &self,
        pod: &Arc<Pod>,
        state: &PodState,
        poke: &Arc<Notify>,
    ) -> plan::Probes {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut all = self.running.lock();
        let of_pod = all.entry(uid).or_default();
        let mut out = plan::Probes::new();
        for (name, status) in state.running() {
            let Some((_, spec)) = pod.spec.as_ref().and_then(|s| container(s, name)) else {
                continue;
            };
            let watched = of_pod
                .entry(status.id.clone())
                .or_insert_with(|| self.watch(pod, spec, status, state, poke));
            out.insert(status.id.clone(), *watched.result.lock());
        }
        of_pod.retain(|id, _| out.contains_key(id));
        out
    }

    /// Ends the probes of a pod.
    pub(super) fn forget(&self, uid: &str) {
        self.running.lock().remove(uid);
    }

    fn watch(
        &self,
        pod: &Arc<Pod>,
        spec: &Container,
        status: &v1::ContainerStatus,
        state: &PodState,
        poke: &Arc<Notify>,
    ) -> Watched {
        let stop = self.tasks.stop().child_token();
        let hollow = self.runtime.is_hollow();
        let none = |probe: &Option<Probe>| hollow || probe.is_none();
        let first = plan::Probed {
            started: none(&spec.startup_probe),
            ready: none(&spec.readiness_probe),
            failed: None,
        };
        let result = Arc::new(Mutex::new(first));
        let host = pod.spec.as_ref().is_some_and(is_host_network);
        let ip = state
            .ip
            .clone()
            .filter(|_| !host)
            .unwrap_or_else(|| self.host_ip.clone());
        for (kind, probe) in [
            (Kind::Startup, &spec.startup_probe),
            (Kind::Liveness, &spec.liveness_probe),
            (Kind::Readiness, &spec.readiness_probe),
        ] {
            let Some(probe) = probe.clone().filter(|_| !hollow) else {
                continue;
            };
            let task = Task {
                kind,
                probe,
                spec: spec.clone(),
                pod: pod.clone(),
                id: status.id.clone(),
                ip: ip.clone(),
                result: result.clone(),
                poke: poke.clone(),
                runtime: self.runtime.clone(),
                recorder: self.recorder.clone(),
            };
            let stop = stop.clone();
            self.tasks.spawn_infallible("probe", async move {
                tokio::select! { biased;
                    () = stop.cancelled() => {}
                    () = task.run() => {}
                }
            });
        }
        // Whoever waits for `running` learns what there is no probe for at once.
        debug_assert_eq!(status.state(), ContainerState::ContainerRunning);
        Watched { result, stop }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Startup => ("Startup", "startup"),
            Self::Liveness => ("Liveness", "liveness"),
            Self::Readiness => ("Readiness", "readiness"),
        }
    }
}

struct Task {
    kind: Kind,
    probe: Probe,
    spec: Container,
    pod: Arc<Pod>,
    id: String,
    ip: String,
    result: Arc<Mutex<plan::Probed>>,
    poke: Arc<Notify>,
    runtime: Arc<dyn Runtime>,
    recorder: Recorder,
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        value
            .and_then(|v| u64::try_from(v).ok())
            .filter(|v| *v > 0)
            .unwrap_or(default),
    )
}

impl Task {
    async fn run(self) {
        tokio::time::sleep(
            seconds(self.probe.initial_delay_seconds, 0).min(Duration::from_secs(3600)),
        )
        .await;
        let period = seconds(self.probe.period_seconds, 10);
        let limit = |value: Option<i32>, default| {
            value
                .and_then(|v| u32::try_from(v).ok())
                .unwrap_or(default)
                .max(1)
        };
        let (good_needed, bad_needed) = (
            limit(self.probe.success_threshold, 1),
            limit(self.probe.failure_threshold, 3),
        );
        let (mut good, mut bad) = (0_u32, 0_u32);
        loop {
            let began = Instant::now();
            // The others wait until the container has started.
            if self.kind == Kind::Startup || self.result.lock().started {
                match self.ask().await {
                    Ok(()) => (good, bad) = (good.saturating_add(1), 0),
                    Err(text) => {
                        (good, bad) = (0, bad.saturating_add(1));
                        let text = format!("{} probe failed: {text}", self.kind.name().0);
                        let regarding = container_reference(&self.pod, &self.spec.name);
                        self.recorder
                            .about(regarding, Type::Warning, "Unhealthy", text);
                    }
                }
                self.note(good >= good_needed, bad >= bad_needed);
                if self.kind == Kind::Startup && self.result.lock().started {
                    return;
                }
            }
            tokio::time::sleep(period.saturating_sub(began.elapsed())).await;
        }
    }

    fn note(&self, is_good: bool, is_bad: bool) {
        let mut result = self.result.lock();
        let before = *result;
        match self.kind {
            Kind::Startup if is_good => result.started = true,
            Kind::Readiness if is_good => result.ready = true,
            Kind::Readiness if is_bad => result.ready = false,
            Kind::Startup | Kind::Liveness if is_bad => result.failed = Some(self.kind.name().1),
            _ => {}
        }
        if *result != before {
            self.poke.notify_one();
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let limit = seconds(self.probe.timeout_seconds, 1);
        if let Some(exec) = &self.probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            let asked =
                tokio::time::timeout(limit, self.runtime.exec_sync(&self.id, command, limit)).await;
            let answer =
                asked.map_err(|_| format!("command timed out after {}s", limit.as_secs()))?;
            let answer = answer.map_err(|error| error.to_string())?;
            let text = [answer.stdout.as_slice(), answer.stderr.as_slice()].concat();
            return if answer.exit_code == 0 {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&text).into_owned())
            };
        }
        if let Some(get) = &self.probe.http_get {
            return http_get(get, &self.spec, &self.ip, limit).await;
        }
        if let Some(tcp) = &self.probe.tcp_socket {
            let host = tcp
                .host
                .clone()
                .filter(|h| !h.is_empty())
                .unwrap_or_else(|| self.ip.clone());
            let port = port_number(&tcp.port, &self.spec).ok_or("unknown port")?;
            let connected =
                tokio::time::timeout(limit, tokio::net::TcpStream::connect((host.as_str(), port)))
                    .await;
            return match connected {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: {error}")),
                Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
            };
        }
        Err("this kind of probe is not supported yet".to_owned())
    }
}

fn port_number(port: &IntOrString, spec: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => {
            let named = spec
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_ref() == Some(name));
            named
                .map(|p| p.container_port)
                .or_else(|| name.parse().ok())
                .and_then(|n| u16::try_from(n).ok())
        }
    }
}

/// Sends a GET; an answer from 200 to 399 is good. The error is for the user.
pub(super) async fn http_get(
    get: &HTTPGetAction,
    spec: &Container,
    pod_ip: &str,
    limit: Duration,
) -> Result<(), String> {
    let host = get
        .host
        .clone()
        .filter(|h| !h.is_empty())
        .unwrap_or_else(|| pod_ip.to_owned());
    let port = port_number(&get.port, spec).ok_or("unknown port")?;
    let path = get
        .path
        .clone()
        .filter(|p| !p.is_empty())
        .unwrap_or_else(|| "/".to_owned());
    let authority = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{host}:{port}"),
    };
    let is_tls = get.scheme.as_deref() == Some("HTTPS");
    let url = format!(
        "{}://{authority}{path}",
        if is_tls { "https" } else { "http" }
    );
    let mut request = http::Request::builder().method("GET").uri(&path);
    let headers: Vec<_> = get.http_headers.iter().flatten().collect();
    if !headers.iter().any(|h| h.name.eq_ignore_ascii_case("host")) {
        request = request.header("Host", &authority);
    }
    if !headers
        .iter()
        .any(|h| h.name.eq_ignore_ascii_case("user-agent"))
    {
        request = request.header("User-Agent", "kube-probe/1.36");
    }
    for header in headers {
        request = request.header(&header.name, &header.value);
    }
    let request = request
        .body(String::new())
        .map_err(|error| error.to_string())?;
    let asked = tokio::time::timeout(
        limit,
        crate::http::send(&host, port, is_tls, request, BODY_BYTES_MAX),
    )
    .await;
    match asked {
        Err(_) => Err(format!(
            "Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
        Ok(Err(error)) => Err(format!("Get {url:?}: {error}")),
        Ok(Ok(status)) if (200..400).contains(&status) => Ok(()),
        Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
    }
}

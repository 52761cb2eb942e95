//! A steady writer and a watcher on the Kubernetes API, and probes of the scheduler and the
//! controllers. Every object is written once.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::{OnError, Tasks};
use client::Client;
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use testkit::Cluster;
use tokio::time::{sleep, timeout};

use super::key_revision;
use crate::edn::Value;
use crate::history::{History, Kind};

const NAMESPACE: &str = "jepsen";
const LABEL: &str = "jepsen=write";
/// A request without an answer by then has an unknown outcome.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
const AFTER_ERROR: Duration = Duration::from_millis(50);
/// Between two looks at a probe, and between two probes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const PROBE_EACH: Duration = Duration::from_millis(500);
/// One watch request; the server ends it then and the watcher goes on.
const WATCH_SECONDS: u32 = 120;

/// The workload's client.
pub(crate) struct Plane {
    client: Client,
    history: History,
}

impl Plane {
    /// A client of every api-server, with the namespace made.
    pub(crate) async fn new(cluster: &Cluster, history: &History) -> Result<Self> {
        let client = cluster.client().await?;
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        Api::<Namespace>::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        let accounts = Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(
            client.clone(),
            NAMESPACE,
        );
        testkit::poll(30, "the namespace's service account", async || {
            accounts
                .get("default")
                .await
                .map(|_| ())
                .map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self {
            client,
            history: history.clone(),
        })
    }

    /// Starts the writers and the probes.
    pub(crate) fn spawn(&self, tasks: &Tasks, writers: usize) {
        for i in 0..writers {
            let objects = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
            let (history, stop) = (self.history.clone(), tasks.stop().clone());
            tasks.spawn("writer", OnError::Stop, async move {
                write(&objects, &history, i, || stop.is_cancelled()).await
            });
        }
        let (client, history, stop) = (
            self.client.clone(),
            self.history.clone(),
            tasks.stop().clone(),
        );
        tasks.spawn("probe-scheduler", OnError::Stop, async move {
            tokio::select! { biased; () = stop.cancelled() => Ok(()), end = probe_scheduler(client, history) => end }
        });
        let (client, history, stop) = (
            self.client.clone(),
            self.history.clone(),
            tasks.stop().clone(),
        );
        tasks.spawn("probe-controllers", OnError::Stop, async move {
            tokio::select! { biased; () = stop.cancelled() => Ok(()), end = probe_controllers(client, history) => end }
        });
    }

    /// Starts a watcher that sees every object; it ends only with `tasks`.
    pub(crate) async fn spawn_watcher(&self, tasks: &Tasks) -> Result<()> {
        let objects = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
        let list = objects.list(&ListParams::default().labels(LABEL)).await?;
        let from = list
            .metadata
            .resource_version
            .context("a list without a resourceVersion")?;
        let (history, stop) = (self.history.clone(), tasks.stop().clone());
        tasks.spawn("watcher", OnError::Stop, async move {
            tokio::select! { biased;
                () = stop.cancelled() => Ok(()),
                outcome = watch(&objects, &history, from) => outcome,
            }
        });
        Ok(())
    }

    /// Reads all objects with their resource versions and notes them as the final state.
    pub(crate) async fn read_final(&self) -> Result<usize> {
        let objects = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
        let params = ListParams::default().labels(LABEL);
        let reader = self.history.new_process();
        let op = self.history.invoke(reader, "read-final", Value::Nil);
        let list = testkit::poll(60, "a final list", async || {
            objects
                .list(&params)
                .await
                .map_err(|error| error.to_string())
        });
        let keys: Vec<(String, i64)> = list.await?.items.iter().map(key).collect::<Result<_>>()?;
        let count = keys.len();
        let pairs = keys.iter().map(|(key, at)| key_revision(key, *at));
        let told = Value::Vector(pairs.collect());
        self.history.complete(op, Kind::Ok, told, None);
        Ok(count)
    }
}

/// Name and resource version.
fn key(object: &ConfigMap) -> Result<(String, i64)> {
    let name = object
        .metadata
        .name
        .clone()
        .context("an object without a name")?;
    let version = object
        .metadata
        .resource_version
        .as_deref()
        .context("no resourceVersion")?;
    Ok((
        name,
        version.parse().context("resourceVersion is no number")?,
    ))
}

async fn write(
    objects: &Api<ConfigMap>,
    history: &History,
    number: usize,
    is_over: impl Fn() -> bool,
) -> Result<()> {
    let mut process = history.new_process();
    let mut sequence = 0_u64;
    while !is_over() {
        let name = format!("w{number}-{sequence:06}");
        sequence += 1;
        let object = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"jepsen": "write"}}, "data": {"x": "y"},
        }))?;
        let op = history.invoke(process, "put", Value::text(&name));
        let answer = timeout(
            ANSWER_TIME_MAX,
            objects.create(&PostParams::default(), &object),
        )
        .await;
        let (kind, value, error) = match answer {
            Ok(Ok(made)) => (Kind::Ok, key_revision(&name, key(&made)?.1), None),
            Ok(Err(error)) => (judge(&error), Value::text(name), Some(error.to_string())),
            Err(_) => (
                Kind::Info,
                Value::text(name),
                Some("no answer in time".to_owned()),
            ),
        };
        let failed = kind != Kind::Ok;
        process = history.complete(op, kind, value, error);
        if failed {
            sleep(AFTER_ERROR).await;
        }
    }
    Ok(())
}

/// Only a refusal of the request itself is certain.
fn judge(error: &kube::Error) -> Kind {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 413 | 422 | 429) => {
            Kind::Fail
        }
        _ => Kind::Info,
    }
}

/// Follows all objects; after a break it goes on at the last resource version seen.
async fn watch(objects: &Api<ConfigMap>, history: &History, mut from: String) -> Result<()> {
    let params = WatchParams::default().labels(LABEL).timeout(WATCH_SECONDS);
    loop {
        let Ok(Ok(stream)) = timeout(ANSWER_TIME_MAX, objects.watch(&params, &from)).await else {
            sleep(AFTER_ERROR).await;
            continue;
        };
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(event)) = stream.next().await {
            match event {
                WatchEvent::Added(object) => {
                    let (name, revision) = key(&object)?;
                    from = revision.to_string();
                    history.note("watcher", "seen", key_revision(&name, revision));
                }
                WatchEvent::Bookmark(mark) => from = mark.metadata.resource_version,
                WatchEvent::Modified(object) => {
                    bail!("{:?} was modified, nobody did that", object.metadata.name)
                }
                WatchEvent::Deleted(object) => {
                    bail!("{:?} was deleted, nobody did that", object.metadata.name)
                }
                WatchEvent::Error(status) if status.code == 410 => {
                    bail!("the watcher fell behind: {}", status.message)
                }
                WatchEvent::Error(_) => break,
            }
        }
    }
}

/// Again and again: makes a pod and waits until it is bound.
async fn probe_scheduler(client: Client, history: History) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client, NAMESPACE);
    let mut process = history.new_process();
    for number in 0_u64.. {
        let name = format!("probe-{number}");
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "keelson/tour:latest"}], "terminationGracePeriodSeconds": 0},
        }))?;
        let is_bound = |pod: &Pod| {
            pod.spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.is_some())
        };
        let of = ("scheduler", &mut process);
        probe(of, &history, &pods, &name, &pod, is_bound).await;
    }
    Ok(())
}

/// Again and again: makes a deployment and waits until it is observed.
async fn probe_controllers(client: Client, history: History) -> Result<()> {
    let deployments = Api::<Deployment>::namespaced(client, NAMESPACE);
    let mut process = history.new_process();
    for number in 0_u64.. {
        let name = format!("probe-{number}");
        let labels = json!({"probe": name});
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "keelson/tour:latest"}]},
                },
            },
        }))?;
        let is_observed = |found: &Deployment| {
            found
                .status
                .as_ref()
                .is_some_and(|status| status.observed_generation == Some(1))
        };
        let of = ("controllers", &mut process);
        probe(of, &history, &deployments, &name, &deployment, is_observed).await;
    }
    Ok(())
}

/// One probe by a process: makes `object` and waits until it looks as it should. It is a reaction
/// only if the object could be made at all, since the writers measure the rest.
async fn probe<K>(
    (of, process): (&str, &mut i64),
    history: &History,
    api: &Api<K>,
    name: &str,
    object: &K,
    has_acted: impl Fn(&K) -> bool,
) where
    K: Clone + DeserializeOwned + Serialize + Debug,
{
    let op = history.invoke(*process, "react", Value::text(of));
    let made = timeout(ANSWER_TIME_MAX, api.create(&PostParams::default(), object)).await;
    let kind = match made {
        Ok(Ok(_)) => Kind::Ok,
        Ok(Err(error)) => judge(&error),
        Err(_) => Kind::Info,
    };
    if kind == Kind::Ok {
        loop {
            let found = timeout(ANSWER_TIME_MAX, api.get(name)).await;
            if matches!(found, Ok(Ok(found)) if has_acted(&found)) {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    *process = history.complete(op, kind, Value::text(of), None);
    sleep(PROBE_EACH).await;
}

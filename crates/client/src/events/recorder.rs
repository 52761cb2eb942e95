//! The handle that callers use and the task that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::correlate::{Correlator, Report, Series, Verdict};
use crate::times;

/// Reports that wait for the writer, as in client-go; further ones are dropped.
const WAITING_MAX: usize = 1000;
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// The two types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// All is well.
    Normal,
    /// Something may go wrong.
    Warning,
}

/// Takes reports. Clones share the writer.
#[derive(Clone, Debug)]
pub struct Recorder {
    reports: mpsc::Sender<Report>,
    dropped: Arc<AtomicU64>,
}

/// The task that writes what recorders take.
#[derive(Debug)]
pub struct Writer {
    client: Hidden,
    component: String,
    reports: mpsc::Receiver<Report>,
    correlator: Correlator,
}

/// `kube::Client` has no `Debug`.
struct Hidden(Client);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Recorder {
    /// A recorder of `component` (such as `deployment-controller`) and its writer, which the caller must run.
    pub fn new(client: Client, component: &str) -> (Self, Writer) {
        let (sender, reports) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            client: Hidden(client),
            component: component.to_owned(),
            reports,
            correlator: Correlator::default(),
        };
        (
            Self {
                reports: sender,
                dropped: Arc::default(),
            },
            writer,
        )
    }

    /// Reports something about `object`.
    pub fn event<K>(&self, object: &K, kind: Type, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.about(object.object_ref(&()), kind, reason, message);
    }

    /// Reports something about the object that `regarding` names.
    pub fn about(
        &self,
        regarding: ObjectReference,
        kind: Type,
        reason: &str,
        message: impl Into<String>,
    ) {
        let kind = match kind {
            Type::Normal => "Normal",
            Type::Warning => "Warning",
        };
        let mut message = message.into();
        // The server's limit for a message is 1 KiB.
        if message.len() > 1024 {
            let end = (0..=1024)
                .rev()
                .find(|end| message.is_char_boundary(*end))
                .unwrap_or(0);
            message.truncate(end);
        }
        let report = Report {
            regarding,
            kind,
            reason: reason.to_owned(),
            message,
        };
        if self.reports.try_send(report).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports dropped because the writer was behind or gone.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Writes until `stop`, or until every recorder is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let report = tokio::select! { biased;
                () = stop.cancelled() => return,
                report = self.reports.recv() => report,
            };
            let Some(report) = report else { return };
            match tokio::time::timeout(WRITE_TIME_MAX, self.write(&report)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(error = %base::report(&error), reason = %report.reason, "event not written");
                }
                Err(_) => tracing::debug!(reason = %report.reason, "event not written in time"),
            }
        }
    }

    async fn write(&mut self, report: &Report) -> Result<(), kube::Error> {
        match self.correlator.decide(report, Instant::now()) {
            Verdict::Drop => Ok(()),
            Verdict::Create { series, message } => {
                self.create(report, series, message, 1, times::now()).await
            }
            Verdict::Count {
                series,
                name,
                count,
                first,
                message,
            } => {
                let patch = serde_json::json!({
                    "count": count,
                    "lastTimestamp": times::now(),
                    "message": message,
                });
                let params = PatchParams {
                    field_manager: Some(self.component.clone()),
                    ..PatchParams::default()
                };
                match self
                    .api(report)
                    .patch(&name, &params, &Patch::Strategic(patch))
                    .await
                {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.is_not_found() => {
                        // It has expired meanwhile.
                        self.correlator.forget(&series);
                        self.create(report, series, message, count, first).await
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn create(
        &mut self,
        report: &Report,
        series: Series,
        message: String,
        count: i32,
        first: Time,
    ) -> Result<(), kube::Error> {
        let about = report.regarding.name.as_deref().unwrap_or_default();
        let name = format!("{about}.{:x}", Timestamp::now().as_nanosecond());
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace(report)),
                ..ObjectMeta::default()
            },
            involved_object: report.regarding.clone(),
            type_: Some(report.kind.to_owned()),
            reason: Some(report.reason.clone()),
            message: Some(message),
            count: Some(count),
            first_timestamp: Some(first.clone()),
            last_timestamp: Some(times::now()),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: None,
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(String::new()),
            ..Event::default()
        };
        let params = PostParams {
            field_manager: Some(self.component.clone()),
            ..PostParams::default()
        };
        self.api(report).create(&params, &event).await?;
        self.correlator.wrote(series, name, count, first);
        Ok(())
    }

    fn api(&self, report: &Report) -> Api<Event> {
        Api::namespaced(self.client.0.clone(), &namespace(report))
    }
}

/// Events about cluster-scoped objects live in `default`.
fn namespace(report: &Report) -> String {
    let own = report
        .regarding
        .namespace
        .clone()
        .filter(|namespace| !namespace.is_empty());
    own.unwrap_or_else(|| "default".to_owned())
}

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
/// Tries to write one event, and the time between them, as in client-go.
const TRIES_MAX: u32 = 12;
const PAUSE: Duration = Duration::from_secs(10);

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
    pause: Duration,
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
            pause: PAUSE,
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
            self.record(&report, &stop).await;
        }
    }

    /// Writes one event, or gives it up. While the server cannot be reached everything waits here, as in client-go:
    /// the next event would fare no better.
    async fn record(&mut self, report: &Report, stop: &CancellationToken) {
        let Some(mut draft) = self.draft(report) else {
            return;
        };
        loop {
            draft.tries += 1;
            let written = tokio::time::timeout(WRITE_TIME_MAX, self.write(&mut draft)).await;
            let (error, may_pass) = match written {
                Ok(Ok(())) => return,
                Ok(Err(error)) => (base::report(&error).to_string(), may_pass(&error)),
                Err(_) => ("no answer in time".to_owned(), true),
            };
            if !may_pass {
                tracing::debug!(error, reason = %report.reason, "event not written");
                return;
            }
            if draft.tries >= TRIES_MAX {
                tracing::warn!(error, reason = %report.reason, tries = draft.tries, "event given up");
                return;
            }
            // The first wait is spread, or all components would come back at once.
            let spread = if draft.tries == 1 {
                rand::random_range(0.0..1.0)
            } else {
                1.0
            };
            tokio::select! { biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.pause.mul_f64(spread)) => {}
            }
        }
    }

    /// The event to write. None where there are too many about the object.
    fn draft(&mut self, report: &Report) -> Option<Draft> {
        let now = times::now();
        let (series, message, count, first, counts_up) =
            match self.correlator.decide(report, Instant::now()) {
                Verdict::Drop => return None,
                Verdict::Create { series, message } => (series, message, 1, now.clone(), None),
                Verdict::Count {
                    series,
                    name,
                    count,
                    first,
                    message,
                } => (series, message, count, first, Some(name)),
            };
        let about = report.regarding.name.as_deref().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{about}.{:x}", Timestamp::now().as_nanosecond())),
                namespace: Some(namespace(report)),
                ..ObjectMeta::default()
            },
            involved_object: report.regarding.clone(),
            type_: Some(report.kind.to_owned()),
            reason: Some(report.reason.clone()),
            message: Some(message),
            count: Some(count),
            first_timestamp: Some(first.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: None,
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(String::new()),
            ..Event::default()
        };
        Some(Draft {
            series,
            event,
            count,
            first,
            counts_up,
            tries: 0,
        })
    }

    /// One try.
    async fn write(&mut self, draft: &mut Draft) -> Result<(), kube::Error> {
        let namespace = draft.event.metadata.namespace.as_deref();
        let api: Api<Event> = Api::namespaced(self.client.0.clone(), namespace.unwrap_or_default());
        if let Some(name) = &draft.counts_up {
            let patch = serde_json::json!({
                "count": draft.count,
                "lastTimestamp": draft.event.last_timestamp,
                "message": draft.event.message,
            });
            let params = PatchParams {
                field_manager: Some(self.component.clone()),
                ..PatchParams::default()
            };
            match api.patch(name, &params, &Patch::Strategic(patch)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() => {
                    // It has expired meanwhile.
                    self.correlator.forget(&draft.series);
                    draft.counts_up = None;
                }
                Err(error) => return Err(error),
            }
        }
        let params = PostParams {
            field_manager: Some(self.component.clone()),
            ..PostParams::default()
        };
        match api.create(&params, &draft.event).await {
            Ok(_) => {}
            // An earlier try had arrived; only its answer was lost.
            Err(kube::Error::Api(status)) if status.is_already_exists() && draft.tries > 1 => {}
            Err(error) => return Err(error),
        }
        let name = draft.event.metadata.name.clone().unwrap_or_default();
        let (series, first) = (draft.series.clone(), draft.first.clone());
        self.correlator.wrote(series, name, draft.count, first);
        Ok(())
    }
}

/// An event on its way to the server. Its name stays the same from try to try, so that it is never there twice.
struct Draft {
    series: Series,
    event: Event,
    count: i32,
    first: Time,
    /// The event to count up instead; None writes a new one.
    counts_up: Option<String>,
    tries: u32,
}

/// Whether the server may take the same request later: it was not reached, or says that it is overloaded or not
/// available. Anything else it says of the event itself, or is a fault, such as a webhook's, that may last: other
/// events must not wait for that.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::Auth(_) => true,
        _ => false,
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

#[cfg(test)]
mod tests;

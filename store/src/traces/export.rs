//! The queue of ended spans, and the task that sends them.
//!
//! A full queue drops the newest span, a failed batch is dropped whole, and both are counted and told
//! in the log now and then: whoever collects spans may be away for days.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits;

/// Both ends of a queue that leads to `otlp`.
pub(super) fn queue<O: SpanExporter + 'static>(
    mut otlp: O,
    resource: &Resource,
) -> (Queue, Exporter<O>) {
    otlp.set_resource(resource);
    let (sender, spans) = mpsc::channel(limits::SPANS_QUEUED_MAX);
    let overflown = Arc::new(AtomicU64::new(0));
    let queue = Queue {
        spans: sender,
        overflown: overflown.clone(),
    };
    let exporter = Exporter {
        spans,
        otlp,
        losses: Losses {
            overflown,
            unsent: 0,
            why: String::new(),
            told: None,
        },
    };
    (queue, exporter)
}

/// Takes spans as they end, and never waits.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    overflown: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.overflown.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// The task that sends ends by its own order.
    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends spans in batches.
#[derive(Debug)]
pub(crate) struct Exporter<O = opentelemetry_otlp::SpanExporter> {
    spans: mpsc::Receiver<SpanData>,
    otlp: O,
    losses: Losses,
}

impl<O: SpanExporter> Exporter<O> {
    /// Runs until `stop`, and then as long as what is queued takes, within a bound.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let too_late = async {
            stop.cancelled().await;
            tokio::time::sleep(limits::SPANS_FLUSH_TIMEOUT).await;
        };
        tokio::pin!(too_late);
        loop {
            let batch = next_batch(&mut self.spans, &stop).await;
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            // The end first: a collector that does not answer must not hold it up.
            let result = tokio::select! { biased;
                () = &mut too_late => None,
                result = self.otlp.export(batch) => Some(result),
            };
            match result {
                Some(Ok(())) => {}
                Some(Err(error)) => self.losses.add(count, error.to_string()),
                None => {
                    let left = count + self.spans.len();
                    self.losses.add(left, "the member ends".into());
                    break;
                }
            }
            self.losses.tell(limits::SPANS_LOST_INTERVAL);
        }
        self.losses.tell(Duration::ZERO);
    }
}

/// Waits for a span, and a little longer for more. None after `stop` or when nobody can make one.
async fn next_batch(
    spans: &mut mpsc::Receiver<SpanData>,
    stop: &CancellationToken,
) -> Vec<SpanData> {
    let mut batch = Vec::new();
    let due = tokio::select! { biased;
        () = stop.cancelled() => Instant::now(),
        span = spans.recv() => {
            batch.extend(span);
            Instant::now() + limits::SPANS_BATCH_DELAY
        }
    };
    loop {
        while batch.len() < limits::SPANS_BATCH_MAX
            && let Ok(span) = spans.try_recv()
        {
            batch.push(span);
        }
        let is_done = batch.is_empty() || batch.len() == limits::SPANS_BATCH_MAX;
        if is_done || Instant::now() >= due || stop.is_cancelled() {
            return batch;
        }
        // Looks rather than listens, so that a busy member is not woken for each span.
        tokio::select! { biased;
            () = stop.cancelled() => {}
            () = tokio::time::sleep(limits::SPANS_LOOK_INTERVAL) => {}
        }
    }
}

/// Spans that were not sent, since that was last told.
#[derive(Debug)]
struct Losses {
    overflown: Arc<AtomicU64>,
    unsent: u64,
    /// Why the last batch failed.
    why: String,
    told: Option<Instant>,
}

impl Losses {
    fn add(&mut self, count: usize, why: String) {
        self.unsent += u64::try_from(count).unwrap_or(u64::MAX);
        self.why = why;
    }

    /// Logs what was lost, unless it did so less than `interval` ago. True if it did.
    fn tell(&mut self, interval: Duration) -> bool {
        let is_early = self.told.is_some_and(|told| told.elapsed() < interval);
        if is_early {
            return false;
        }
        let overflown = self.overflown.swap(0, Ordering::Relaxed);
        let unsent = std::mem::take(&mut self.unsent);
        if overflown == 0 && unsent == 0 {
            return false;
        }
        self.told = Some(Instant::now());
        let error = std::mem::take(&mut self.why);
        tracing::warn!(unsent, overflown, error, "lost spans of requests");
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use opentelemetry::trace::{Tracer as _, TracerProvider};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
    use parking_lot::Mutex;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::{Exporter, queue};
    use crate::limits;

    /// What a busy machine may add to any time.
    const SLOW: Duration = Duration::from_secs(10);

    /// Keeps the sizes of batches, or behaves as a collector that is away.
    #[derive(Clone, Debug)]
    enum Collector {
        There(Arc<Mutex<Vec<usize>>>),
        Refuses,
        Hangs,
    }

    impl SpanExporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            match self {
                Self::There(sizes) => sizes.lock().push(batch.len()),
                Self::Refuses => return Err(OTelSdkError::InternalFailure("refused".into())),
                Self::Hangs => std::future::pending().await,
            }
            Ok(())
        }
    }

    fn make(collector: Collector) -> (SdkTracer, Exporter<Collector>) {
        let resource = Resource::builder_empty().build();
        let (queue, exporter) = queue(collector, &resource);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_span_processor(queue)
            .build();
        (provider.tracer("test"), exporter)
    }

    fn spans(tracer: &SdkTracer, count: usize) {
        for _ in 0..count {
            drop(tracer.start("a"));
        }
    }

    #[tokio::test]
    async fn spans_are_sent_in_full_batches_and_the_rest_at_the_end() {
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (tracer, exporter) = make(Collector::There(sizes.clone()));
        spans(&tracer, limits::SPANS_BATCH_MAX + 1);
        let stop = CancellationToken::new();
        stop.cancel();
        exporter.run(stop).await;
        assert_eq!(*sizes.lock(), [limits::SPANS_BATCH_MAX, 1]);
    }

    #[tokio::test]
    async fn a_batch_that_is_not_full_waits_no_longer_than_its_delay() {
        let (tracer, mut exporter) = make(Collector::Refuses);
        spans(&tracer, 3);
        let begun = Instant::now();
        let stop = CancellationToken::new();
        assert_eq!(super::next_batch(&mut exporter.spans, &stop).await.len(), 3);
        let waited = begun.elapsed();
        assert!(waited >= limits::SPANS_BATCH_DELAY, "{waited:?}");
        assert!(waited <= limits::SPANS_BATCH_DELAY + SLOW, "{waited:?}");
    }

    #[tokio::test]
    async fn a_queue_without_a_collector_is_bounded_and_ends_in_time() {
        let (tracer, exporter) = make(Collector::Hangs);
        spans(&tracer, limits::SPANS_QUEUED_MAX + 7);
        let overflown = exporter.losses.overflown.clone();
        assert_eq!(overflown.load(super::Ordering::Relaxed), 7);
        let stop = CancellationToken::new();
        let begun = Instant::now();
        let end = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
        };
        tokio::join!(exporter.run(stop.clone()), end);
        let took = begun.elapsed();
        assert!(took >= limits::SPANS_FLUSH_TIMEOUT, "{took:?}");
        assert!(took <= limits::SPANS_FLUSH_TIMEOUT + SLOW, "{took:?}");
    }

    #[tokio::test]
    async fn losses_are_told_at_once_and_then_at_intervals() {
        let (_, mut exporter) = make(Collector::Refuses);
        let interval = limits::SPANS_LOST_INTERVAL;
        let losses = &mut exporter.losses;
        assert!(!losses.tell(interval), "nothing is lost yet");
        losses.add(1, "refused".into());
        assert!(losses.tell(interval));
        losses.add(1, "refused".into());
        assert!(!losses.tell(interval), "it has just been told");
        assert!(losses.tell(Duration::ZERO), "the end tells what is left");
        assert_eq!(losses.unsent, 0);
    }
}

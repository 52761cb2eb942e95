//! The server's metrics, under upstream's names where upstream has one. No label comes from users:
//! resources that are not in the table of kinds are counted together.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::cache::Cache;

/// Labels of a finished request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    code: u16,
}

/// Labels of a duration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DurationLabels {
    verb: &'static str,
    resource: String,
}

/// Labels of a kind.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    resource: String,
}

/// A finished request.
#[derive(Clone, Debug)]
pub struct Finished<'a> {
    /// The verb.
    pub verb: &'static str,
    /// Group, version and resource; empty for other paths.
    pub group: &'a str,
    /// See `group`.
    pub version: &'a str,
    /// See `group`.
    pub resource: &'a str,
    /// What was asked for below the object.
    pub subresource: &'a str,
    /// The HTTP code.
    pub code: u16,
    /// How long it took, unless it is a stream.
    pub took: Option<Duration>,
}

type InFlight = Gauge<i64, AtomicI64>;

/// A request that is being answered: until it is dropped, however it ends. A client that goes away
/// ends it without an answer.
#[derive(Debug)]
#[must_use]
pub struct Begun(InFlight);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.dec();
    }
}

type Durations = Family<DurationLabels, Histogram, fn() -> Histogram>;

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations,
    in_flight: InFlight,
    objects: Family<KindLabels, Gauge>,
    watchers: Family<KindLabels, Gauge>,
}

fn histogram() -> Histogram {
    Histogram::new([
        0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let durations: Durations = Family::new_with_constructor(histogram);
        let in_flight = Gauge::default();
        let objects = Family::default();
        let watchers = Family::default();
        registry.register(
            "apiserver_request",
            "Requests by verb, resource and code",
            requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "How long requests took that are no streams",
            durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests that are being answered",
            in_flight.clone(),
        );
        registry.register(
            "apiserver_storage_objects",
            "Objects held by resource",
            objects.clone(),
        );
        registry.register(
            "apiserver_longrunning_requests",
            "Watches by resource",
            watchers.clone(),
        );
        Self {
            registry,
            requests,
            durations,
            in_flight,
            objects,
            watchers,
        }
    }
}

impl Metrics {
    /// Counts a request that begins.
    pub fn begin(&self) -> Begun {
        self.in_flight.inc();
        Begun(self.in_flight.clone())
    }

    /// Counts a request that has been answered.
    pub fn finish(&self, request: &Finished<'_>) {
        self.requests
            .get_or_create(&RequestLabels {
                verb: request.verb,
                group: request.group.to_owned(),
                version: request.version.to_owned(),
                resource: request.resource.to_owned(),
                subresource: request.subresource.to_owned(),
                code: request.code,
            })
            .inc();
        if let Some(took) = request.took {
            let labels = DurationLabels {
                verb: request.verb,
                resource: request.resource.to_owned(),
            };
            self.durations
                .get_or_create(&labels)
                .observe(took.as_secs_f64());
        }
    }

    /// The text of all metrics.
    pub fn encode(&self, cache: &Cache) -> String {
        for kind in cache.kinds() {
            let labels = KindLabels {
                resource: kind.prefix().to_owned(),
            };
            self.objects
                .get_or_create(&labels)
                .set(i64::try_from(kind.len()).unwrap_or(i64::MAX));
            let watchers = i64::try_from(kind.watchers()).unwrap_or(i64::MAX);
            self.watchers.get_or_create(&labels).set(watchers);
        }
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            tracing::error!("metrics could not be written");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::{Finished, Metrics};
    use crate::cache::Cache;

    fn in_flight(metrics: &Metrics) -> String {
        let text = metrics.encode(&Cache::new([]));
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("apiserver_current_inflight_requests"));
        line.unwrap().split_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn a_request_that_is_given_up_is_in_flight_no_more() {
        let metrics = Metrics::default();
        let answered = metrics.begin();
        let mut given_up = Box::pin(async {
            let _begun = metrics.begin();
            std::future::pending::<()>().await;
        });
        assert_eq!(given_up.as_mut().now_or_never(), None);
        assert_eq!(in_flight(&metrics), "2");
        metrics.finish(&Finished {
            verb: "get",
            group: "",
            version: "",
            resource: "",
            subresource: "",
            code: 200,
            took: None,
        });
        drop(answered);
        assert_eq!(in_flight(&metrics), "1");
        // What hyper does when the client goes away.
        drop(given_up);
        assert_eq!(in_flight(&metrics), "0");
    }
}

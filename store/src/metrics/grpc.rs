//! Calls, counted as gRPC's middleware does it in etcd. No label comes from a request.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::Histograms;
use crate::config::MetricsDetail;
use crate::rpc::{Method, Shape};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    grpc_type: &'static str,
    grpc_service: &'static str,
    grpc_method: &'static str,
    grpc_code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Client {
    r#type: &'static str,
    client_api_version: ClientVersion,
}

/// The minor release of the 3 that a client says to be of; none where it says nothing that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientVersion(Option<u8>);

impl ClientVersion {
    /// Reads `client-api-version`. A client may write anything there, and only a hundred become labels.
    pub(crate) fn of(text: &str) -> Self {
        let minor = text.strip_prefix("3.");
        let minor = minor.and_then(|minor| minor.parse().ok());
        Self(minor.filter(|minor| *minor < 100))
    }

    /// Of a client that does not say.
    pub(crate) const UNKNOWN: Self = Self(None);
}

impl EncodeLabelValue for ClientVersion {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        match self.0 {
            Some(minor) => format!("3.{minor}").encode(encoder),
            None => "unknown".encode(encoder),
        }
    }
}

/// In the buckets that are the library's own.
fn handling() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

/// What is counted of calls.
pub(super) struct Calls {
    started: Family<Of, Counter>,
    handled: Family<Handled, Counter>,
    handling: Option<Histograms<Of>>,
    received: Family<Of, Counter>,
    sent: Family<Of, Counter>,
    clients: Family<Client, Counter>,
    received_bytes: Counter,
    sent_bytes: Counter,
}

/// Counts the messages of one direction of a call.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    count: Counter,
    bytes: Counter,
}

impl Messages {
    /// So many messages began, and so many bytes of messages passed.
    pub(crate) fn add(&self, messages: u64, bytes: u64) {
        self.count.inc_by(messages);
        self.bytes.inc_by(bytes);
    }
}

impl Calls {
    pub(super) fn new(detail: MetricsDetail) -> Self {
        Self {
            started: Family::default(),
            handled: Family::default(),
            handling: match detail {
                MetricsDetail::Basic => None,
                MetricsDetail::Extensive => Some(Family::new_with_constructor(handling)),
            },
            received: Family::default(),
            sent: Family::default(),
            clients: Family::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
        }
    }

    pub(super) fn register(&self, out: &mut Registry) {
        // The library appends `_total` to the names of counters.
        out.register("grpc_server_started", "Calls begun", self.started.clone());
        out.register("grpc_server_handled", "Calls ended", self.handled.clone());
        if let Some(handling) = &self.handling {
            let (name, help) = ("grpc_server_handling_seconds", "Time to answer unary calls");
            out.register(name, help, handling.clone());
        }
        let (name, help) = ("grpc_server_msg_received", "Messages of clients");
        out.register(name, help, self.received.clone());
        let (name, help) = ("grpc_server_msg_sent", "Messages to clients");
        out.register(name, help, self.sent.clone());
        let (name, help) = (
            "etcd_server_client_requests",
            "Calls by the client's release",
        );
        out.register(name, help, self.clients.clone());
        let name = "etcd_network_client_grpc_received_bytes";
        let bytes = self.received_bytes.clone();
        out.register(name, "Bytes of clients' messages", bytes);
        let name = "etcd_network_client_grpc_sent_bytes";
        let bytes = self.sent_bytes.clone();
        out.register(name, "Bytes of messages to clients", bytes);
    }

    pub(super) fn started(&self, method: &Method, client: ClientVersion) {
        self.started.get_or_create(&of(method)).inc();
        let labels = Client {
            r#type: match method.shape {
                Shape::Unary => "unary",
                Shape::ServerStream | Shape::BidiStream => "stream",
            },
            client_api_version: client,
        };
        self.clients.get_or_create(&labels).inc();
    }

    pub(super) fn received(&self, method: &Method) -> Messages {
        Messages {
            count: self.received.get_or_create(&of(method)).clone(),
            bytes: self.received_bytes.clone(),
        }
    }

    pub(super) fn sent(&self, method: &Method) -> Messages {
        Messages {
            count: self.sent.get_or_create(&of(method)).clone(),
            bytes: self.sent_bytes.clone(),
        }
    }

    pub(super) fn handled(&self, method: &Method, code: Code, took: Duration) {
        let labels = Handled {
            grpc_type: shape(method.shape),
            grpc_service: method.service,
            grpc_method: method.name,
            grpc_code: code_name(code),
        };
        self.handled.get_or_create(&labels).inc();
        if let (Shape::Unary, Some(handling)) = (method.shape, &self.handling) {
            let times: &Histogram = &handling.get_or_create(&of(method));
            times.observe(took.as_secs_f64());
        }
    }
}

fn of(method: &Method) -> Of {
    Of {
        grpc_type: shape(method.shape),
        grpc_service: method.service,
        grpc_method: method.name,
    }
}

fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Unary => "unary",
        Shape::ServerStream => "server_stream",
        Shape::BidiStream => "bidi_stream",
    }
}

/// The library's words for codes.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

#[cfg(test)]
mod tests {
    use super::ClientVersion;

    #[test]
    fn a_client_cannot_make_labels_up() {
        assert_eq!(ClientVersion::of("3.7"), ClientVersion(Some(7)));
        for other in ["", "3", "3.", "4.0", "3.100", "3.7.1", "3.-1", "x"] {
            assert_eq!(ClientVersion::of(other), ClientVersion::UNKNOWN, "{other}");
        }
    }
}

//! Begins and ends the spans of calls, with the attributes that etcd 3.7's have, which are OpenTelemetry's
//! present names, and beside them those older names that 3.5 and 3.6 have and that say nothing else.

use std::net::SocketAddr;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span};
use tonic::Code;

use super::export::{self, Exporter};
use crate::config::Traces;
use crate::limits;

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[error("set up the export of traces")]
pub struct TracesError(#[from] ExporterBuildError);

/// Makes the two ends of the spans' queue. Connects to nobody yet; needs the runtime.
pub(crate) fn build(settings: &Traces) -> Result<(Tracer, Exporter), TracesError> {
    let otlp = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(format!("http://{}", settings.address))
        .with_timeout(limits::SPANS_EXPORT_TIMEOUT)
        .build()?;
    let mut resource = Resource::builder_empty()
        .with_detector(Box::new(EnvResourceDetector::new()))
        .with_service_name(settings.service_name.clone());
    // It must be unique, which the default is not.
    if !settings.instance_id.is_empty() {
        let id = settings.instance_id.clone();
        resource = resource.with_attribute(KeyValue::new("service.instance.id", id));
    }
    let resource = resource.build();
    let (queue, exporter) = export::queue(otlp, &resource);
    // Whoever calls decides for its own trace; only for others is chance asked.
    let share = Sampler::TraceIdRatioBased(settings.sampled_share);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(share)))
        .with_span_processor(queue)
        .build();
    let tracer = Tracer(provider.tracer("keelson/store"));
    tracing::debug!(
        address = settings.address,
        service_name = settings.service_name,
        service_instance_id = settings.instance_id,
        sampled_share = settings.sampled_share,
        "distributed tracing enabled"
    );
    tracing::info!("distributed tracing setup enabled");
    Ok((tracer, exporter))
}

/// Begins spans. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tracer(SdkTracer);

impl Tracer {
    /// The span of a call that has just come in, at the address `local`; none if it is not sampled.
    pub(crate) fn begin(
        &self,
        path: &str,
        headers: &HeaderMap,
        local: Option<SocketAddr>,
    ) -> Option<Call> {
        let name = path.strip_prefix('/')?;
        // A span's memory must have a bound, and a client may make its method's name up.
        if name.len() > limits::SPAN_NAME_BYTES_MAX {
            return None;
        }
        let (service, _) = name.split_once('/')?;
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Metadata(headers));
        let mut span = self
            .0
            .span_builder(name.to_owned())
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("rpc.method", name.to_owned()),
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.service", service.to_owned()),
                KeyValue::new("rpc.system", "grpc"),
            ])
            .start_with_context(&self.0, &parent);
        if !span.is_recording() {
            return None;
        }
        if let Some(local) = local {
            span.set_attribute(KeyValue::new("server.address", local.ip().to_string()));
            span.set_attribute(KeyValue::new("server.port", i64::from(local.port())));
        }
        Some(Call(Some(span)))
    }
}

/// The span of a call that has not ended. A call that is dropped was given up by its client.
#[derive(Debug)]
pub(crate) struct Call(Option<Span>);

impl Call {
    /// Ends the span as the call ends. Only the first end counts.
    pub(crate) fn end(&mut self, code: Code, message: &str) {
        let Some(mut span) = self.0.take() else {
            return;
        };
        span.set_attribute(KeyValue::new("rpc.response.status_code", canonical(code)));
        span.set_attribute(KeyValue::new(
            "rpc.grpc.status_code",
            i64::from(code as i32),
        ));
        if is_servers_fault(code) {
            span.set_status(Status::error(message.to_owned()));
        }
        span.end();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled, "");
    }
}

/// By OpenTelemetry's rule for servers: what the client did wrong is no error of theirs.
fn is_servers_fault(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unauthenticated => false,
    }
}

/// The name that gRPC's protocol has for a code.
fn canonical(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Where the caller's own span is named: W3C's `traceparent` and `tracestate`.
struct Metadata<'a>(&'a HeaderMap);

impl Extractor for Metadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key)?.to_str().ok()?;
        (value.len() <= limits::TRACE_HEADER_BYTES_MAX).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

//! Spans of requests, and their way to a collector over OTLP.
//!
//! Must never make a request wait: a span is put into a bounded queue as it ends, or dropped. Nothing
//! here exists where the settings do not ask for it.

mod export;
mod tracer;

pub(crate) use export::Exporter;
pub use tracer::TracesError;
pub(crate) use tracer::{Call, Tracer, build};

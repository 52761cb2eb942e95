//! The flags of distributed tracing: whether spans of requests are exported, where to, and how many.

use super::values::Values;

/// What `--distributed-tracing-sampling-rate` is a part of.
const RATE_MAX: i64 = 1_000_000;

/// Where spans of requests go, under which name, and how many of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// `--distributed-tracing-address`: the collector's host and port, for OTLP over gRPC without TLS.
    pub address: String,
    /// `--distributed-tracing-service-name`: the resource's `service.name`.
    pub service_name: String,
    /// `--distributed-tracing-instance-id`: the resource's `service.instance.id`; none where empty.
    pub instance_id: String,
    /// `--distributed-tracing-sampling-rate` as a share from 0 to 1: how many of the requests get a span
    /// whose caller has not decided that. Each costs some microseconds and up to two kilobytes.
    pub sampled_share: f64,
}

impl Traces {
    /// Reads the flags; none where spans are not asked for. What is wrong is put to `faults`.
    pub(super) fn from_values(values: &Values, faults: &mut Vec<String>) -> Option<Self> {
        if !values.flag("enable-distributed-tracing") {
            return None;
        }
        let address = values.text("distributed-tracing-address");
        let rate = values.signed("distributed-tracing-sampling-rate");
        if let Err(fault) = check_rate(rate).and_then(|()| check_address(address)) {
            // The spelling is etcd's.
            faults.push(format!(
                "distributed tracing configurition is not valid: ({fault})"
            ));
        }
        // Exact: both are far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "both are small")]
        let sampled_share = rate as f64 / RATE_MAX as f64;
        Some(Self {
            address: address.to_owned(),
            service_name: values.text("distributed-tracing-service-name").to_owned(),
            instance_id: values.text("distributed-tracing-instance-id").to_owned(),
            sampled_share,
        })
    }
}

fn check_rate(rate: i64) -> Result<(), String> {
    if rate < 0 {
        return Err("tracing sampling rate must be positive".into());
    }
    if rate > RATE_MAX {
        return Err(format!(
            "tracing sampling rate must be less than {RATE_MAX}"
        ));
    }
    Ok(())
}

/// A host and a port, and nothing else.
fn check_address(address: &str) -> Result<(), String> {
    let uri = format!("http://{address}").parse::<http::Uri>().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    let is_whole = |authority: &&http::uri::Authority| {
        authority.as_str() == address
            && !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port > 0)
            && !address.contains('@')
    };
    match authority.filter(is_whole) {
        Some(_) => Ok(()),
        None => Err(format!(
            "tracing address {address:?} does not have the form \"host:port\""
        )),
    }
}

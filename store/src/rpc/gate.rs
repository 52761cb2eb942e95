//! What every gRPC request passes before its service sees it: may it come in now, and how did it end.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use tonic::{Code, Status};

use super::context::Context;
use super::counted;
use super::names::{AUTH, CLUSTER, ELECTION, KV, LEASE, LOCK, MAINTENANCE, WATCH};
use super::status::Error;

/// The shape of a method, by gRPC's word for it in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    Unary,
    ServerStream,
    BidiStream,
}

/// A method that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Method {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
}

/// The closed set: nothing that a client makes up becomes a label.
const METHODS: &[Method] = &[
    unary(KV, "Range"),
    Method {
        service: KV,
        name: "RangeStream",
        shape: Shape::ServerStream,
    },
    unary(KV, "Put"),
    unary(KV, "DeleteRange"),
    unary(KV, "Txn"),
    unary(KV, "Compact"),
    Method {
        service: WATCH,
        name: "Watch",
        shape: Shape::BidiStream,
    },
    unary(LEASE, "LeaseGrant"),
    unary(LEASE, "LeaseRevoke"),
    Method {
        service: LEASE,
        name: "LeaseKeepAlive",
        shape: Shape::BidiStream,
    },
    unary(LEASE, "LeaseTimeToLive"),
    unary(LEASE, "LeaseLeases"),
    unary(CLUSTER, "MemberAdd"),
    unary(CLUSTER, "MemberRemove"),
    unary(CLUSTER, "MemberUpdate"),
    unary(CLUSTER, "MemberList"),
    unary(CLUSTER, "MemberPromote"),
    unary(MAINTENANCE, "Alarm"),
    unary(MAINTENANCE, "Status"),
    unary(MAINTENANCE, "Defragment"),
    unary(MAINTENANCE, "Hash"),
    unary(MAINTENANCE, "HashKV"),
    Method {
        service: MAINTENANCE,
        name: "Snapshot",
        shape: Shape::ServerStream,
    },
    unary(MAINTENANCE, "MoveLeader"),
    unary(MAINTENANCE, "Downgrade"),
    unary(AUTH, "AuthEnable"),
    unary(AUTH, "AuthDisable"),
    unary(AUTH, "AuthStatus"),
    unary(AUTH, "Authenticate"),
    unary(AUTH, "UserAdd"),
    unary(AUTH, "UserGet"),
    unary(AUTH, "UserList"),
    unary(AUTH, "UserDelete"),
    unary(AUTH, "UserChangePassword"),
    unary(AUTH, "UserGrantRole"),
    unary(AUTH, "UserRevokeRole"),
    unary(AUTH, "RoleAdd"),
    unary(AUTH, "RoleGet"),
    unary(AUTH, "RoleList"),
    unary(AUTH, "RoleDelete"),
    unary(AUTH, "RoleGrantPermission"),
    unary(AUTH, "RoleRevokePermission"),
    unary(LOCK, "Lock"),
    unary(LOCK, "Unlock"),
    unary(ELECTION, "Campaign"),
    unary(ELECTION, "Proclaim"),
    unary(ELECTION, "Leader"),
    Method {
        service: ELECTION,
        name: "Observe",
        shape: Shape::ServerStream,
    },
    unary(ELECTION, "Resign"),
];

const fn unary(service: &'static str, name: &'static str) -> Method {
    Method {
        service,
        name,
        shape: Shape::Unary,
    }
}

impl Method {
    fn of(path: &str) -> Option<&'static Self> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        METHODS
            .iter()
            .find(|method| method.service == service && method.name == name)
    }

    /// What a member that only receives the log answers by itself.
    fn is_for_learners(&self) -> bool {
        // Range decides for itself: only a serializable one is.
        matches!(
            (self.service, self.name),
            (KV, "Range") | (MAINTENANCE, "Status" | "Snapshot")
        )
    }
}

/// Lets a request in or refuses it, and counts it either way.
pub(super) async fn gate(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(method) = Method::of(request.uri().path()) else {
        return next.run(request).await;
    };
    let started = Instant::now();
    let request = counted::request(&context.metrics, method, request);
    let response = match admit(&context, method, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Status::from(error).into_http(),
    };
    let took = started.elapsed();
    // A refusal is in the headers; a stream's own end comes later.
    let status = Status::from_header_map(response.headers());
    let response = match status.as_ref().and_then(as_go_says) {
        Some(status) => status.into_http(),
        None => response,
    };
    if method.shape == Shape::Unary && took > context.limits.slow_request {
        let code = status.map_or(Code::Ok, |status| status.code());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(service = method.service, method = method.name, took_ms, code = ?code, "request stats");
    }
    counted::response(&context.metrics, method, started, response)
}

/// The transport's words for a message that is too large, in those of the library that etcd uses:
/// clients look for them. None for anything else.
fn as_go_says(status: &Status) -> Option<Status> {
    let numbers = status
        .message()
        .strip_prefix("Error, decoded message length too large: found ")?
        .strip_suffix(" bytes")?;
    let (found, limit) = numbers.split_once(" bytes, the limit is: ")?;
    let words = format!("grpc: received message larger than max ({found} vs. {limit})");
    Some(Status::resource_exhausted(words))
}

fn admit(context: &Context, method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    if context.is_learner() && !method.is_for_learners() {
        return Err(Error::NotSupportedForLearner);
    }
    if requires_leader(headers) && !context.has_leader() {
        return Err(Error::NoLeader);
    }
    Ok(())
}

/// Whether the client would rather have an error than an answer without a leader.
pub(super) fn requires_leader(headers: &HeaderMap) -> bool {
    headers
        .get("hasleader")
        .is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::{Method, as_go_says};

    #[test]
    fn only_methods_that_exist_are_known() {
        assert!(Method::of("/etcdserverpb.KV/Range").is_some_and(Method::is_for_learners));
        assert!(Method::of("/etcdserverpb.KV/Put").is_some_and(|put| !put.is_for_learners()));
        assert!(Method::of("/etcdserverpb.KV/Nothing").is_none());
        assert!(Method::of("health").is_none());
    }

    #[test]
    fn a_message_that_is_too_large_is_refused_in_gos_words() {
        let words =
            "Error, decoded message length too large: found 30 bytes, the limit is: 20 bytes";
        let status = as_go_says(&Status::out_of_range(words)).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(
            status.message(),
            "grpc: received message larger than max (30 vs. 20)"
        );
        assert!(as_go_says(&Status::out_of_range("etcdserver: too large lease TTL")).is_none());
    }
}

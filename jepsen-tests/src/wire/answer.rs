//! What an error says of the operation: that it certainly did not happen, or nothing.

use std::time::Duration;

use tonic::{Code, Status};

/// A request without an answer by then has an unknown outcome.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It certainly did not happen, now or later.
    Refused(String),
    /// It may have happened, or may happen yet.
    Unknown(String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let text = format!("{:?}: {}", status.code(), status.message());
        if is_refusal(&status) {
            Self::Refused(text)
        } else {
            Self::Unknown(text)
        }
    }
}

/// Whether an error of etcd's is only ever given to a request that had no effect and will have
/// none. Everything else is unknown, among it all that a broken connection, a lost leader, a full
/// queue of proposals or a deadline causes: the proposal may be on its way.
///
/// A full database is unknown too, though it looks definite: the put that is the first to cross the
/// quota is applied and answered with it (etcd: server/etcdserver/apply, quotaApplierV3.Put).
fn is_refusal(status: &Status) -> bool {
    match status.code() {
        // Requests are checked before they are proposed, and in apply before their first effect;
        // rights too.
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::FailedPrecondition
        | Code::NotFound
        | Code::PermissionDenied
        | Code::Unauthenticated => true,
        // Refused at the door, before the proposal; see ErrTooManyRequests.
        Code::ResourceExhausted => status.message() == "etcdserver: too many requests",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_has_an_effect_is_a_refusal() {
        let refused = [
            Status::resource_exhausted("etcdserver: too many requests"),
            Status::invalid_argument("etcdserver: key is not provided"),
            Status::not_found("etcdserver: requested lease not found"),
            Status::permission_denied("etcdserver: permission denied"),
            Status::unauthenticated("etcdserver: invalid auth token"),
            Status::out_of_range("etcdserver: mvcc: required revision has been compacted"),
        ];
        for status in refused {
            assert!(is_refusal(&status), "{status}");
        }
        let unknown = [
            Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
            Status::unavailable("etcdserver: request timed out"),
            Status::unavailable("etcdserver: leader changed"),
            Status::unavailable("etcdserver: no leader"),
            Status::unavailable("etcdserver: server stopped"),
            Status::unavailable("error reading from server: EOF"),
            Status::unknown("raft proposal dropped"),
            Status::cancelled("operation was canceled"),
            Status::deadline_exceeded("context deadline exceeded"),
            Status::internal("h2 protocol error"),
        ];
        for status in unknown {
            assert!(!is_refusal(&status), "{status}");
        }
    }
}

//! What can go wrong between this server and its store. The HTTP answer to each is decided in
//! `http/errors.rs`, never here.

use tonic::{Code, Status};

/// A failed call to the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No member answered in time and nothing was written. Retry later.
    #[error("no member of the store answers")]
    Unavailable(#[source] Option<Box<Status>>),
    /// A write was sent and its outcome is not known. Only the caller's user can decide to retry.
    #[error("etcdserver: request timed out")]
    Unknown,
    /// The revision asked for has been compacted. Do not retry; list again.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision asked for is not there yet. Retry later.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The object is larger than the store takes. Do not retry.
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The store is out of space. Retry after an operator made room.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The store refused for another reason. Do not retry.
    #[error("the store refused the request")]
    Refused(#[source] Box<Status>),
    /// The store answered something that cannot be.
    #[error("the store's answer makes no sense: {0}")]
    Protocol(&'static str),
}

/// What a failed call means for the next try.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The request did not reach a member that could carry it out: any request may be sent again.
    NotSent(Status),
    /// It may have been carried out: only reads may be sent again.
    Ambiguous(Status),
    /// It was refused for good.
    Final(Error),
}

/// Sorts a status by what the next try may do.
pub(super) fn classify(status: Status) -> Verdict {
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("compacted") => Verdict::Final(Error::Compacted),
        Code::OutOfRange if message.contains("future revision") => {
            Verdict::Final(Error::FutureRevision)
        }
        Code::InvalidArgument if message.contains("too large") => Verdict::Final(Error::TooLarge),
        // The client's own limit, or the transport's, on the size of a message.
        Code::ResourceExhausted if message.contains("message larger than max") => {
            Verdict::Final(Error::TooLarge)
        }
        Code::ResourceExhausted if message.contains("database space exceeded") => {
            Verdict::Final(Error::NoSpace)
        }
        Code::ResourceExhausted if message.contains("too many requests") => {
            Verdict::NotSent(status)
        }
        // A member refuses these before it proposes anything.
        Code::Unavailable | Code::FailedPrecondition
            if message.contains("no leader") || message.contains("not leader") =>
        {
            Verdict::NotSent(status)
        }
        Code::Unavailable if is_connect_error(&status) => Verdict::NotSent(status),
        Code::Unavailable
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Unknown
        | Code::Internal
        | Code::Aborted => Verdict::Ambiguous(status),
        _ => Verdict::Final(Error::Refused(Box::new(status))),
    }
}

/// True if the connection was never made, so that no byte of the request was sent.
fn is_connect_error(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::{Error, Verdict, classify};

    #[test]
    fn sorts_the_stores_errors() {
        let of = |code, message: &str| classify(Status::new(code, message));
        assert!(matches!(
            of(
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted"
            ),
            Verdict::Final(Error::Compacted)
        ));
        assert!(matches!(
            of(Code::InvalidArgument, "etcdserver: request is too large"),
            Verdict::Final(Error::TooLarge)
        ));
        assert!(matches!(
            of(Code::Unavailable, "etcdserver: no leader"),
            Verdict::NotSent(_)
        ));
        assert!(matches!(
            of(Code::Unavailable, "etcdserver: leader changed"),
            Verdict::Ambiguous(_)
        ));
        assert!(matches!(
            of(Code::Unavailable, "etcdserver: request timed out"),
            Verdict::Ambiguous(_)
        ));
        assert!(matches!(
            of(Code::PermissionDenied, "etcdserver: permission denied"),
            Verdict::Final(Error::Refused(_))
        ));
    }
}

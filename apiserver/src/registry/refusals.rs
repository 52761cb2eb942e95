//! Errors of the rooms below as the API's refusals: the one table between them.

use api_meta::kinds::Kind;
use api_meta::status::Status;

use super::context::Target;
use crate::cache::consistent_read::NotFresh;
use crate::storage::{Error, codec};

/// No such object.
pub(crate) fn not_found(kind: &Kind, name: &str) -> Status {
    Status::not_found(&kind.group, &kind.resource, name)
}

/// The object is newer than the writer believes.
pub(crate) fn modified(target: &Target) -> Status {
    Status::modified(&target.kind.group, &target.kind.resource, &target.name)
}

/// The object is not the one that the writer means.
pub(crate) fn precondition(target: &Target, field: &str, wanted: &str, found: &str) -> Status {
    let why = format!(
        "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
    );
    Status::conflict(
        &target.kind.group,
        &target.kind.resource,
        &target.name,
        &why,
    )
}

/// What a failed call to the store means for the client.
pub(crate) fn of_store(error: &Error) -> Status {
    match error {
        Error::Unavailable(_) => {
            tracing::warn!(error = %base::report(error), "the store does not answer");
            Status::service_unavailable("the store does not answer; try again later")
        }
        // The client alone can decide whether to try again: it knows what it wanted.
        Error::Unknown => Status::failure(500, "InternalError", error.to_string()),
        Error::Compacted => Status::expired(
            "The provided continue parameter is too old or the resourceVersion is too old.",
        ),
        Error::FutureRevision => Status::failure(500, "InternalError", error.to_string()),
        Error::TooLarge => Status::too_large("limit is 3145728"),
        Error::NoSpace => Status::failure(500, "InternalError", error.to_string()),
        Error::Refused(_) | Error::Protocol(_) => {
            tracing::error!(error = %base::report(error), "the store refused a request");
            Status::internal(error)
        }
    }
}

/// What a read that cannot be fresh means for the client.
pub(crate) fn of_freshness(error: &NotFresh) -> Status {
    match error {
        NotFresh::Store(error) => of_store(error),
        NotFresh::Behind { current, wanted } => {
            Status::too_large_resource_version(*wanted, *current)
        }
    }
}

/// An object that cannot be written as JSON.
pub(crate) fn of_codec(error: &codec::Error) -> Status {
    Status::internal(error)
}

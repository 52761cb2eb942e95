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

/// The object is not the one that whoever deletes it means. The words are those of BeforeDelete
/// upstream, which names the kind; namespaces have a deletion of their own there, with other words.
pub(crate) fn precondition(target: &Target, field: &str, wanted: &str, found: &str) -> Status {
    let Kind {
        group,
        resource,
        kind,
        ..
    } = target.kind;
    if group.is_empty() && resource == "namespaces" {
        let why = format!(
            "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
        );
        return Status::conflict(group, resource, &target.name, &why);
    }
    let happened = if field == "UID" {
        "deleted and then recreated"
    } else {
        "modified"
    };
    let why = format!(
        "the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). The object might have been {happened}"
    );
    Status::conflict(group, kind, &target.name, &why)
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
        // The limit is the store's own, which knows it.
        Error::TooLarge => Status::too_large(&error.to_string()),
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

#[cfg(test)]
mod tests {
    use api_meta::Kinds;

    use super::precondition;
    use crate::registry::Target;

    #[test]
    fn a_precondition_that_fails_is_told_in_upstreams_words() {
        let told = |group: &str, resource: &str, field: &str| {
            let kind = Kinds::builtin().by_resource(group, "v1", resource).unwrap();
            let status = precondition(&Target::new(kind, "a", "x"), field, "1", "2");
            assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
            (status.message, status.details.unwrap().kind)
        };
        assert_eq!(
            told("apps", "deployments", "UID"),
            (
                "Operation cannot be fulfilled on Deployment.apps \"x\": the UID in the precondition (1) does not match the UID in record (2). The object might have been deleted and then recreated".to_owned(),
                "Deployment".to_owned()
            )
        );
        assert_eq!(
            told("", "pods", "ResourceVersion").0,
            "Operation cannot be fulfilled on Pod \"x\": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (2). The object might have been modified"
        );
        assert_eq!(
            told("", "namespaces", "UID").0,
            "Operation cannot be fulfilled on namespaces \"x\": Precondition failed: UID in precondition: 1, UID in object meta: 2"
        );
    }
}

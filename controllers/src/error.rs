//! What can go wrong in a reconciliation. Every variant is retried with a growing delay.

/// An error of a controller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The api-server refused or did not answer.
    #[error("request to the api-server")]
    Api(#[from] kube::Error),
    /// A selector in an object cannot be used; the next change of the object may mend it.
    #[error("invalid label selector")]
    Selector(#[from] kube::core::labels::ParseExpressionError),
    /// An object is not as the controller needs it, now.
    #[error("{0}")]
    Unready(String),
}

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether the object changed under the writer: routine, the next look decides again.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

/// Whether the object is not there.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Whether an object of the name exists already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

/// Whether the resource has no such method.
pub fn is_method_not_allowed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 405)
}

/// Whether a creation failed because its namespace is being deleted: nothing is left to do there.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.details.as_ref().is_some_and(|details| {
        details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    }))
}

/// The server's message, as upstream puts it into events and conditions.
pub fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => base::report(other).to_string(),
    }
}

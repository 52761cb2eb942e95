//! What every write of these controllers has in common. It decides nothing.

use kube::api::{DeleteParams, PatchParams, PostParams, Preconditions};

/// The manager that the server notes for the fields that these controllers set; upstream's name, so that objects look
/// the same whoever manages them.
pub(crate) const FIELD_MANAGER: &str = "kube-controller-manager";

/// For creations and replacements.
pub(crate) fn write() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// For patches.
pub(crate) fn patch() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Deletes only the object with this uid, never a later one of the same name.
pub(crate) fn delete_exactly(uid: Option<&str>) -> DeleteParams {
    let uid = uid.map(str::to_owned);
    DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

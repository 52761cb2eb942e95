//! Who controls an object, and how an object is adopted or let go. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

/// The reference of the managing controller, if there is one.
pub(crate) fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references
        .as_ref()?
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// Whether the object with this uid controls it.
pub(crate) fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// The reference that a controller puts on what it creates.
pub(crate) fn controller_reference(
    api_version: &str,
    kind: &str,
    owner: &ObjectMeta,
) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: owner.name.clone().unwrap_or_default(),
        uid: owner.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The strategic merge patch that adds an owner to the object with `uid`.
pub(crate) fn adoption(owner: &OwnerReference, uid: Option<&str>) -> Value {
    json!({ "metadata": { "ownerReferences": [owner], "uid": uid } })
}

/// The strategic merge patch that takes the owner with `owner_uid` off the object with `uid`.
pub(crate) fn release(owner_uid: &str, uid: Option<&str>) -> Value {
    json!({ "metadata": { "ownerReferences": [{ "$patch": "delete", "uid": owner_uid }], "uid": uid } })
}

/// Whether an owner, as it was just read, is still the one of the cache and stays. Only such a one may adopt: what it owns
/// is deleted with it.
pub(crate) fn is_alive(cached: &ObjectMeta, fresh: &ObjectMeta) -> bool {
    cached.uid == fresh.uid && fresh.deletion_timestamp.is_none()
}

/// What a controller does about an object that it might manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours and still selected.
    Keep,
    /// It is selected and nobody's.
    Adopt,
    /// It is ours and no longer selected.
    Release,
    /// It is none of our business.
    Ignore,
}

/// Decides on one object, as upstream's reference managers do: an owner that is being deleted neither adopts nor lets go.
pub(crate) fn claim(owner: &ObjectMeta, object: &ObjectMeta, is_selected: bool) -> Claim {
    let owner_is_going = owner.deletion_timestamp.is_some();
    match controller_of(object) {
        Some(reference) if Some(&reference.uid) != owner.uid.as_ref() => Claim::Ignore,
        Some(_) if is_selected => Claim::Keep,
        Some(_) if owner_is_going => Claim::Ignore,
        Some(_) => Claim::Release,
        None if owner_is_going || !is_selected => Claim::Ignore,
        None if object.deletion_timestamp.is_some() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::{Claim, claim, controller_reference, is_alive};

    fn meta(uid: &str, owner: Option<&str>, is_going: bool) -> ObjectMeta {
        let mut meta = ObjectMeta {
            uid: Some(uid.into()),
            ..ObjectMeta::default()
        };
        if let Some(owner) = owner {
            let owner = ObjectMeta {
                uid: Some(owner.into()),
                ..ObjectMeta::default()
            };
            meta.owner_references = Some(vec![controller_reference("v1", "X", &owner)]);
        }
        if is_going {
            meta.deletion_timestamp = Some(client::times::now());
        }
        meta
    }

    #[test]
    fn claims() {
        let (owner, going) = (meta("o", None, false), meta("o", None, true));
        let orphan = meta("p", None, false);
        let ours = meta("p", Some("o"), false);
        let theirs = meta("p", Some("x"), false);
        assert_eq!(claim(&owner, &ours, true), Claim::Keep);
        assert_eq!(claim(&owner, &ours, false), Claim::Release);
        assert_eq!(claim(&going, &ours, false), Claim::Ignore);
        assert_eq!(claim(&going, &ours, true), Claim::Keep);
        assert_eq!(claim(&owner, &orphan, true), Claim::Adopt);
        assert_eq!(claim(&owner, &orphan, false), Claim::Ignore);
        assert_eq!(claim(&going, &orphan, true), Claim::Ignore);
        assert_eq!(claim(&owner, &meta("p", None, true), true), Claim::Ignore);
        assert_eq!(claim(&owner, &theirs, true), Claim::Ignore);
    }

    #[test]
    fn an_owner_that_goes_or_has_gone_is_not_alive() {
        let cached = meta("o", None, false);
        assert!(is_alive(&cached, &meta("o", None, false)));
        assert!(!is_alive(&cached, &meta("o", None, true)));
        assert!(!is_alive(&cached, &meta("other", None, false)));
    }
}

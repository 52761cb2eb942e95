//! Which resources are watched, and which resource a kind means, given what discovery says. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::discovery::{Found, Resource};

/// A resource, whichever versions it is served in and whatever may be done with it: its objects are the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) group: String,
    pub(super) plural: String,
}

impl Name {
    pub(super) fn of(resource: &Resource) -> Self {
        Self {
            group: resource.api.group.clone(),
            plural: resource.api.plural.clone(),
        }
    }
}

/// What to do about a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing watches it yet.
    Start(Resource),
    /// It has another version or kind now. Its objects are still there, and must not be taken for gone.
    Restart(Resource),
    /// It is gone, or can be watched no longer.
    Stop(Name),
}

/// The resources of kinds, by apiVersion and kind.
pub(super) type Kinds = HashMap<(String, String), Resource>;

/// What differs between the watches that run and those that are wanted.
pub(super) fn changes(watched: &BTreeMap<Name, Resource>, found: &Found) -> Vec<Change> {
    // Silence is no proof of absence, nor that another version is preferred now.
    let is_silent = |known: &Resource| found.failed.contains(&known.api.api_version);
    let wanted = found.resources.iter().filter(|one| is_monitored(one));
    let wanted: BTreeMap<Name, &Resource> = wanted.map(|one| (Name::of(one), one)).collect();
    let known = watched.iter().filter_map(|(name, known)| {
        let Some(now) = wanted.get(name) else {
            return (!is_silent(known)).then(|| Change::Stop(name.clone()));
        };
        let is_same = now.api == known.api && now.is_namespaced == known.is_namespaced;
        (!is_same && !is_silent(known)).then(|| Change::Restart((*now).clone()))
    });
    let new = wanted
        .iter()
        .filter(|(name, _)| !watched.contains_key(name))
        .map(|(_, resource)| Change::Start((*resource).clone()));
    known.chain(new).collect()
}

/// Every resource under each of its served kinds, also those that cannot be watched: an owner may be named by any of them.
pub(super) fn kinds(known: &Kinds, found: &Found) -> Kinds {
    let mut kinds = Kinds::new();
    for resource in found.resources.iter().chain(&found.others) {
        let kind = (resource.api.api_version.clone(), resource.api.kind.clone());
        kinds.entry(kind).or_insert_with(|| resource.clone());
    }
    for (kind, resource) in known {
        if found.failed.contains(&kind.0) {
            kinds
                .entry(kind.clone())
                .or_insert_with(|| resource.clone());
        }
    }
    kinds
}

fn is_monitored(resource: &Resource) -> bool {
    // Events own nothing, are owned by nothing, and there are many.
    resource.can(&["list", "watch", "delete"]) && resource.api.plural != "events"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::api::ApiResource;

    use super::{Change, Kinds, Name, changes, kinds};
    use crate::discovery::{Found, Resource};

    const ALL: &[&str] = &["list", "watch", "delete"];

    fn resource(version: &str, verbs: &[&str]) -> Resource {
        Resource {
            api: ApiResource {
                group: "g".into(),
                version: version.into(),
                api_version: format!("g/{version}"),
                kind: "A".into(),
                plural: "as".into(),
            },
            is_namespaced: true,
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        }
    }

    fn found(resources: &[Resource], failed: &[&str]) -> Found {
        Found {
            resources: resources.to_vec(),
            failed: failed.iter().map(|one| (*one).to_owned()).collect(),
            ..Found::default()
        }
    }

    #[test]
    fn watches_follow_the_group_and_the_plural() {
        let v1 = resource("v1", ALL);
        let watched = BTreeMap::from([(Name::of(&v1), v1.clone())]);
        let check =
            |resources: &[Resource], failed: &[&str]| changes(&watched, &found(resources, failed));
        let start = changes(&BTreeMap::new(), &found(std::slice::from_ref(&v1), &[]));
        assert_eq!(start, [Change::Start(v1.clone())]);
        assert_eq!(check(std::slice::from_ref(&v1), &[]), []);
        // Other verbs are the same objects under the same address.
        let more = resource("v1", &["list", "watch", "delete", "patch"]);
        assert_eq!(check(&[more], &[]), []);
        let v2 = resource("v2", ALL);
        let restart = [Change::Restart(v2.clone())];
        assert_eq!(check(std::slice::from_ref(&v2), &[]), restart);
        let stop = [Change::Stop(Name::of(&v1))];
        assert_eq!(check(&[], &[]), stop);
        assert_eq!(check(&[resource("v1", &["list"])], &[]), stop);
        // A server that does not answer has taken nothing away.
        assert_eq!(check(&[], &["g/v1"]), []);
        assert_eq!(check(&[v2], &["g/v1"]), []);
    }

    #[test]
    fn kinds_are_known_in_every_served_version() {
        let (v1, old, gone) = (
            resource("v1", ALL),
            resource("v1beta1", ALL),
            resource("v0", ALL),
        );
        let key = |version: &str| (format!("g/{version}"), "A".to_owned());
        let known = Kinds::from([(key("v0"), gone.clone())]);
        let mut found = found(std::slice::from_ref(&v1), &[]);
        found.others.push(old.clone());
        let now = kinds(&known, &found);
        assert_eq!(now.get(&key("v1")), Some(&v1));
        assert_eq!(now.get(&key("v1beta1")), Some(&old));
        assert_eq!(now.get(&key("v0")), None);
        found.failed.push("g/v0".into());
        assert_eq!(kinds(&known, &found).get(&key("v0")), Some(&gone));
    }
}

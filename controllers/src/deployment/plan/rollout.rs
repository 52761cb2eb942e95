//! The steps of a rollout: make the newest set, grow it, shrink the old ones, within the bounds of the strategy. Pure.

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use kube::core::ObjectMeta;

use super::template::{HASH_LABEL, hash};
use super::{Set, Work, history, spec};
use crate::owners::controller_reference;

/// The longest name of an object.
const NAME_LENGTH_MAX: usize = 253;

/// One step of a rolling update: either the newest set grows, or the old ones shrink.
pub(super) fn rolling(work: &mut Work<'_>) {
    let newest = newest_or_new(work);
    let target = newest_target(work, newest);
    if work.resize(newest, target) {
        return;
    }
    if shrink_old(work, newest) {
        return;
    }
    if super::status::is_complete_now(work) {
        history::clean_up(work);
    }
}

/// One step of Recreate: no new pod before the last old one is gone.
pub(super) fn recreate(work: &mut Work<'_>) {
    let mut has_shrunk = false;
    for place in work.old_active() {
        has_shrunk |= work.resize(place, 0);
    }
    if has_shrunk || is_old_running(work) {
        return;
    }
    let newest = newest_or_new(work);
    work.resize(newest, work.sizes.wanted);
    if super::status::is_complete_now(work) {
        history::clean_up(work);
    }
}

fn is_old_running(work: &Work<'_>) -> bool {
    if work
        .old()
        .into_iter()
        .any(|place| work.sets[place].actual() > 0)
    {
        return true;
    }
    let newest = work
        .newest
        .and_then(|place| work.sets[place].new.metadata.uid.as_deref());
    work.snapshot
        .running
        .iter()
        .any(|uid| Some(uid.as_str()) != newest)
}

fn newest_or_new(work: &mut Work<'_>) -> usize {
    if let Some(newest) = work.newest {
        return newest;
    }
    let deployment = work.deployment();
    let wanted = spec(deployment);
    let collisions = deployment
        .status
        .as_ref()
        .and_then(|status| status.collision_count);
    let hash = hash(&wanted.template, collisions);
    let (mut template, mut selector) = (wanted.template, wanted.selector);
    let labels = template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(HASH_LABEL.to_owned(), hash.clone());
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let room = NAME_LENGTH_MAX.saturating_sub(hash.len() + 1);
    let name = format!("{}-{hash}", name.get(..room).unwrap_or(name));
    let mut set = Set {
        old: None,
        new: ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![controller_reference(
                    "apps/v1",
                    "Deployment",
                    &deployment.metadata,
                )]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(0),
                min_ready_seconds: wanted.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        },
        is_surplus: false,
    };
    let revision = history::next_revision(work);
    history::annotate(deployment, &mut set, revision);
    work.revision = set.annotation(history::REVISION).map(str::to_owned);
    work.sets.push(set);
    let newest = work.sets.len() - 1;
    work.newest = Some(newest);
    let size = if super::is_recreate(deployment) {
        work.sizes.wanted
    } else {
        newest_target(work, newest)
    };
    let sizes = work.sizes;
    work.sets[newest].resize(size, &sizes);
    newest
}

/// The size of the newest set that the surge allows.
fn newest_target(work: &Work<'_>, newest: usize) -> i32 {
    let (size, sizes) = (work.sets[newest].size(), work.sizes);
    if size >= sizes.wanted {
        return sizes.wanted;
    }
    let room = sizes.wanted + sizes.surge - work.total();
    size + room.clamp(0, sizes.wanted - size)
}

/// Takes pods from old sets: those that are not available first, then as many as stay above the minimum.
fn shrink_old(work: &mut Work<'_>, newest: usize) -> bool {
    let old = work.old_active();
    let min_available = work.sizes.min_available();
    let newest_unavailable = work.sets[newest].size() - work.sets[newest].available();
    let room = work.total() - min_available - newest_unavailable;
    if old.is_empty() || room <= 0 {
        return false;
    }
    let mut taken = 0;
    for place in &old {
        let set = &work.sets[*place];
        let unhealthy = set.size() - set.available();
        let take = unhealthy.min(room - taken).max(0);
        let target = set.size() - take;
        work.resize(*place, target);
        taken += take;
    }
    let available: i32 = old
        .iter()
        .chain(std::iter::once(&newest))
        .map(|place| work.sets[*place].available())
        .sum();
    let mut spare = (available - min_available).max(0);
    for place in old {
        let take = work.sets[place].size().min(spare);
        let target = work.sets[place].size() - take;
        work.resize(place, target);
        spare -= take;
        taken += take;
    }
    taken > 0
}

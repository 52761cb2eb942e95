//! Decides the next step of a rollout: a snapshot in, wanted ReplicaSets and a wanted status out. Pure.

mod history;
mod rollout;
mod scaling;
mod sizes;
mod status;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use kube::core::labels::{ParseExpressionError, Selector, SelectorExt};

pub(super) use status::not_created;
pub(super) use template::is_same_template;

/// What a plan is made from.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// The Deployment.
    pub deployment: Arc<Deployment>,
    /// Its ReplicaSets.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// Whether a pod of a set other than the newest template's still is, asked of by Recreate only: by set uid.
    pub running: Vec<String>,
    /// The time.
    pub now: Timestamp,
}

/// One ReplicaSet as it is and as it is wanted.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// As it is; None for one that is to be created.
    pub old: Option<Arc<ReplicaSet>>,
    /// As it is wanted.
    pub new: ReplicaSet,
    /// Whether it is to be deleted.
    pub is_surplus: bool,
}

/// What to do.
#[derive(Debug)]
pub(super) struct Plan {
    /// The sets; those that differ from their old selves are to be written, created ones first.
    pub sets: Vec<Set>,
    /// The wanted status.
    pub status: DeploymentStatus,
    /// The wanted revision annotation, if it changes.
    pub revision: Option<String>,
    /// When to look again although nothing happens.
    pub again: Option<Duration>,
}

/// The parsed selector.
pub(super) fn selector(deployment: &Deployment) -> Result<Selector, ParseExpressionError> {
    Selector::try_from(spec(deployment).selector)
}

/// Whether sets with these labels are meant. An empty selector means none.
pub(super) fn selects(deployment: &Deployment, labels: &BTreeMap<String, String>) -> bool {
    selector(deployment).is_ok_and(|selector| !selector.selects_all() && selector.matches(labels))
}

/// Whether all old pods must be gone before a new one starts.
pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

fn spec(deployment: &Deployment) -> DeploymentSpec {
    deployment.spec.clone().unwrap_or_default()
}

/// Makes the plan.
pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut work = Work::new(snapshot);
    let is_going = snapshot.deployment.metadata.deletion_timestamp.is_some();
    let is_rollout = if is_going {
        history::revise(&mut work);
        false
    } else {
        status::note_pause(&mut work);
        history::revise(&mut work);
        if work.is_paused() {
            scaling::scale(&mut work);
            history::clean_up(&mut work);
            false
        } else if scaling::is_scaling_event(&work) {
            scaling::scale(&mut work);
            false
        } else if is_recreate(&snapshot.deployment) {
            rollout::recreate(&mut work);
            true
        } else {
            rollout::rolling(&mut work);
            true
        }
    };
    status::finish(work, is_rollout)
}

/// The working copy of a snapshot.
struct Work<'a> {
    snapshot: &'a Snapshot,
    sizes: sizes::Sizes,
    /// Oldest first.
    sets: Vec<Set>,
    /// The place in `sets` of the one with the Deployment's template.
    newest: Option<usize>,
    /// The conditions, as changed so far.
    conditions: Vec<k8s_openapi::api::apps::v1::DeploymentCondition>,
    revision: Option<String>,
    /// A newest set was found that the conditions do not know of.
    is_found: bool,
}

impl<'a> Work<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut old = snapshot.sets.clone();
        old.sort_by(|a, b| by_creation(a, b));
        let template = spec(&snapshot.deployment).template;
        let newest = old.iter().position(|set| {
            let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
            own.is_some_and(|own| is_same_template(own, &template))
        });
        let sets = old
            .into_iter()
            .map(|set| Set {
                new: set.as_ref().clone(),
                old: Some(set),
                is_surplus: false,
            })
            .collect();
        let status = snapshot.deployment.status.as_ref();
        Self {
            snapshot,
            sizes: sizes::Sizes::of(&snapshot.deployment),
            sets,
            newest,
            conditions: status
                .and_then(|status| status.conditions.clone())
                .unwrap_or_default(),
            revision: None,
            is_found: false,
        }
    }

    fn deployment(&self) -> &'a Deployment {
        &self.snapshot.deployment
    }

    fn is_paused(&self) -> bool {
        self.deployment().spec.as_ref().and_then(|spec| spec.paused) == Some(true)
    }

    /// The places of all but the newest, oldest first.
    fn old(&self) -> Vec<usize> {
        (0..self.sets.len())
            .filter(|place| Some(*place) != self.newest)
            .collect()
    }

    /// The places of old sets that want pods, oldest first.
    fn old_active(&self) -> Vec<usize> {
        self.old()
            .into_iter()
            .filter(|place| self.sets[*place].size() > 0)
            .collect()
    }

    /// Pods wanted of all sets together.
    fn total(&self) -> i32 {
        self.sets.iter().map(Set::size).sum()
    }

    /// Sets a size and the annotations that go with one. True if the size changed.
    fn resize(&mut self, place: usize, size: i32) -> bool {
        let set = &mut self.sets[place];
        if set.size() == size {
            return false;
        }
        set.resize(size, &self.sizes);
        true
    }
}

impl Set {
    fn size(&self) -> i32 {
        self.new
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(0)
    }

    fn available(&self) -> i32 {
        self.new
            .status
            .as_ref()
            .and_then(|status| status.available_replicas)
            .unwrap_or(0)
    }

    fn actual(&self) -> i32 {
        self.new.status.as_ref().map_or(0, |status| status.replicas)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.new
            .metadata
            .annotations
            .as_ref()?
            .get(key)
            .map(String::as_str)
    }

    fn annotate(&mut self, key: &str, value: String) {
        self.new
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(key.to_owned(), value);
    }

    fn resize(&mut self, size: i32, sizes: &sizes::Sizes) {
        self.new.spec.get_or_insert_default().replicas = Some(size);
        self.annotate(scaling::DESIRED, sizes.wanted.to_string());
        self.annotate(scaling::MAX, (sizes.wanted + sizes.surge).to_string());
    }

    /// Whether it is to be written.
    pub(super) fn is_changed(&self) -> bool {
        match &self.old {
            None => true,
            Some(old) => old.spec != self.new.spec || old.metadata != self.new.metadata,
        }
    }

    /// The old and the new size, where they differ.
    pub(super) fn resized(&self) -> Option<(i32, i32)> {
        let old = self
            .old
            .as_ref()
            .and_then(|old| old.spec.as_ref()?.replicas)
            .unwrap_or(0);
        (old != self.size()).then_some((old, self.size()))
    }
}

fn by_creation(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let (a, b) = (&a.metadata, &b.metadata);
    let time = |meta: &kube::core::ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
    time(a).cmp(&time(b)).then_with(|| a.name.cmp(&b.name))
}

#[cfg(test)]
mod tests;

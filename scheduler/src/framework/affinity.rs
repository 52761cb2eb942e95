//! Terms of affinity between pods, read once.

use k8s_openapi::api::core::v1::{PodAffinityTerm, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::PodInfo;
use super::selectors::matches_labels;

/// A required term: the pods it means, and the label of nodes that counts as one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The node label.
    pub topology_key: String,
    selector: LabelSelector,
    namespaces: Namespaces,
}

#[derive(Clone, Debug, PartialEq)]
enum Namespaces {
    All,
    Listed(Vec<String>),
}

impl Term {
    /// Whether the term means `pod`.
    pub fn means(&self, pod: &PodInfo) -> bool {
        let in_namespace = match &self.namespaces {
            Namespaces::All => true,
            Namespaces::Listed(names) => names.contains(&pod.namespace),
        };
        in_namespace && pod.matches(&self.selector)
    }
}

impl PodInfo {
    /// Whether the pod's labels match.
    pub fn matches(&self, selector: &LabelSelector) -> bool {
        static NONE: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
        matches_labels(selector, self.pod.metadata.labels.as_ref().unwrap_or(&NONE))
    }
}

/// The required terms of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// The pod has to be where these are.
    pub near: Vec<Term>,
    /// The pod must not be where these are.
    pub apart: Vec<Term>,
    /// A term chooses namespaces by their labels, which the scheduler does not see.
    pub by_namespace_labels: bool,
}

impl Terms {
    /// Reads a pod's terms.
    pub fn of(spec: &PodSpec, namespace: &str) -> Self {
        let affinity = spec.affinity.as_ref();
        let near = affinity.and_then(|a| {
            a.pod_affinity
                .as_ref()?
                .required_during_scheduling_ignored_during_execution
                .as_deref()
        });
        let apart = affinity.and_then(|a| {
            a.pod_anti_affinity
                .as_ref()?
                .required_during_scheduling_ignored_during_execution
                .as_deref()
        });
        let (near, apart) = (near.unwrap_or_default(), apart.unwrap_or_default());
        let by_labels = |term: &PodAffinityTerm| {
            let selector = term.namespace_selector.as_ref();
            selector.is_some_and(|s| *s != LabelSelector::default())
        };
        let read = |terms: &[PodAffinityTerm]| terms.iter().map(|t| read(t, namespace)).collect();
        Self {
            near: read(near),
            apart: read(apart),
            by_namespace_labels: near.iter().chain(apart).any(by_labels),
        }
    }
}

fn read(term: &PodAffinityTerm, namespace: &str) -> Term {
    let listed = term.namespaces.clone().unwrap_or_default();
    let namespaces = match (&term.namespace_selector, listed.is_empty()) {
        (Some(_), _) => Namespaces::All,
        (None, true) => Namespaces::Listed(vec![namespace.to_owned()]),
        (None, false) => Namespaces::Listed(listed),
    };
    // Without a selector a term means no pod.
    let nothing = || LabelSelector {
        match_expressions: Some(vec![Default::default()]),
        ..LabelSelector::default()
    };
    Term {
        topology_key: term.topology_key.clone(),
        selector: term.label_selector.clone().unwrap_or_else(nothing),
        namespaces,
    }
}

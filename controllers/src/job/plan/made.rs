//! The pods that a Job makes: the template, the owner, the finalizer, and for indexed jobs the index in every place where the
//! containers look for it. Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::FINALIZER;
use crate::owners::controller_reference;
use crate::pods::pod_of;

/// The annotation and label of a pod's index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The index that a pod works on.
pub(super) fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok()
}

/// A pod of the job, perhaps for an index.
pub(super) fn pod(job: &Job, index: Option<i32>) -> Pod {
    let name = job.metadata.name.clone().unwrap_or_default();
    let template = job
        .spec
        .as_ref()
        .map(|spec| spec.template.clone())
        .unwrap_or_default();
    let mut pod = pod_of(template);
    let meta = &mut pod.metadata;
    meta.owner_references = Some(vec![controller_reference("batch/v1", "Job", &job.metadata)]);
    meta.finalizers
        .get_or_insert_default()
        .push(FINALIZER.to_owned());
    meta.generate_name = Some(format!("{name}-"));
    let Some(index) = index else { return pod };
    meta.generate_name = Some(format!("{name}-{index}-"));
    meta.annotations
        .get_or_insert_default()
        .insert(INDEX.to_owned(), index.to_string());
    meta.labels
        .get_or_insert_default()
        .insert(INDEX.to_owned(), index.to_string());
    let spec = pod.spec.get_or_insert_default();
    if spec.hostname.as_deref().unwrap_or_default().is_empty() {
        spec.hostname = Some(format!("{name}-{index}"));
    }
    let containers = spec
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut spec.containers);
    containers.for_each(tell_index);
    pod
}

fn tell_index(container: &mut Container) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let env = container.env.get_or_insert_default();
    if env.iter().any(|one| one.name == NAME) {
        return;
    }
    env.push(EnvVar {
        name: NAME.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    });
}

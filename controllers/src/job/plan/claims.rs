//! Which pods are a job's, and how one becomes its own or nobody's. The finalizer goes the same way as the owner, in one
//! patch: a pod without a job would keep it for ever. Pure.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{FINALIZER, finished, has_finalizer, selects, unsupported};
use crate::owners::{self, Claim, adoption, controller_of, controller_reference};

/// What the job does about a pod that it has or might have.
pub(in crate::job) fn claim(job: &Job, pod: &Pod) -> Claim {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    match owners::claim(&job.metadata, &pod.metadata, selects(job, &labels)) {
        // It would only delete it.
        Claim::Adopt if finished(job).is_some() => Claim::Ignore,
        claim => claim,
    }
}

/// The strategic merge patch that makes the pod the job's.
pub(in crate::job) fn adopt(job: &Job, pod: &Pod) -> Value {
    let owner = controller_reference("batch/v1", "Job", &job.metadata);
    let mut patch = adoption(&owner, pod.metadata.uid.as_deref());
    patch["metadata"]["finalizers"] = json!([FINALIZER]);
    patch
}

/// The strategic merge patch that makes the pod nobody's.
pub(in crate::job) fn release(job: &Job, pod: &Pod) -> Value {
    let owner = job.metadata.uid.as_deref().unwrap_or_default();
    let mut patch = owners::release(owner, pod.metadata.uid.as_deref());
    patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!([FINALIZER]);
    patch
}

/// The strategic merge patch that takes the finalizer off the pod, whatever else it has become.
pub(in crate::job) fn uncount(pod: &Pod) -> Value {
    json!({ "metadata": {
        "uid": pod.metadata.uid,
        "$deleteFromPrimitiveList/finalizers": [FINALIZER],
    } })
}

/// What becomes of the finalizer of a pod that may have lost its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::job) enum Fate {
    /// There is none, or a controller to take it off.
    Settled,
    /// A job is about to adopt the pod.
    Claimed,
    /// Nobody will take it off.
    Lost,
}

/// Decides on a pod among the jobs of its namespace.
pub(in crate::job) fn fate(pod: &Pod, jobs: &[Arc<Job>]) -> Fate {
    if !has_finalizer(pod) || controller_of(&pod.metadata).is_some() {
        return Fate::Settled;
    }
    let adopts = |job: &Arc<Job>| unsupported(job).is_none() && claim(job, pod) == Claim::Adopt;
    if jobs.iter().any(adopts) {
        Fate::Claimed
    } else {
        Fate::Lost
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    use super::{FINALIZER, Fate, adopt, claim, fate, release};
    use crate::owners::{Claim, controller_reference};

    fn job() -> Job {
        let mut job = Job {
            spec: Some(JobSpec {
                selector: Some(LabelSelector {
                    match_labels: Some([("app".to_owned(), "a".to_owned())].into()),
                    ..LabelSelector::default()
                }),
                ..JobSpec::default()
            }),
            ..Job::default()
        };
        job.metadata.name = Some("j".into());
        job.metadata.uid = Some("j-uid".into());
        job
    }

    fn finished() -> Job {
        let complete = JobCondition {
            type_: "Complete".into(),
            status: "True".into(),
            ..JobCondition::default()
        };
        Job {
            status: Some(JobStatus {
                conditions: Some(vec![complete]),
                ..JobStatus::default()
            }),
            ..job()
        }
    }

    /// A pod without a controller that a job counted on.
    fn orphan() -> Pod {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("p-uid".into());
        pod.metadata.finalizers = Some(vec![FINALIZER.into()]);
        pod.metadata.labels = Some([("app".to_owned(), "a".to_owned())].into());
        pod
    }

    #[test]
    fn the_finalizer_comes_and_goes_with_the_owner() {
        let patch = adopt(&job(), &orphan());
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "j-uid");
        assert_eq!(patch["metadata"]["finalizers"][0], FINALIZER);
        let patch = release(&job(), &orphan());
        assert_eq!(patch["metadata"]["uid"], "p-uid");
        let owner = &patch["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["$patch"], &owner["uid"]),
            (&"delete".into(), &"j-uid".into())
        );
        let gone = &patch["metadata"]["$deleteFromPrimitiveList/finalizers"];
        assert_eq!(gone[0], FINALIZER);
    }

    #[test]
    fn a_job_that_has_ended_adopts_nothing() {
        assert_eq!(claim(&job(), &orphan()), Claim::Adopt);
        assert_eq!(claim(&finished(), &orphan()), Claim::Ignore);
    }

    #[test]
    fn the_finalizer_of_a_pod_without_a_job_is_nobodys() {
        let check = |pod: &Pod, jobs: &[Job]| {
            let jobs: Vec<Arc<Job>> = jobs.iter().cloned().map(Arc::new).collect();
            fate(pod, &jobs)
        };
        assert_eq!(check(&orphan(), &[]), Fate::Lost);
        assert_eq!(check(&orphan(), &[job()]), Fate::Claimed);
        assert_eq!(check(&orphan(), &[finished()]), Fate::Lost);
        let mut other = orphan();
        other.metadata.labels = None;
        assert_eq!(check(&other, &[job()]), Fate::Lost);
        // A pod that is being deleted is adopted by nobody.
        let mut going = orphan();
        going.metadata.deletion_timestamp = Some(client::times::now());
        assert_eq!(check(&going, &[job()]), Fate::Lost);
        let mut owned = orphan();
        let owner = controller_reference("batch/v1", "Job", &job().metadata);
        owned.metadata.owner_references = Some(vec![owner]);
        assert_eq!(check(&owned, &[]), Fate::Settled);
        let mut plain = orphan();
        plain.metadata.finalizers = None;
        assert_eq!(check(&plain, &[]), Fate::Settled);
    }
}

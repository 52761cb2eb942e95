//! Jobs: the selector and the labels that tie a job to its pods are generated from its uid.

use api_meta::kinds::Kind;
use serde_json::{Value, json};

use crate::registry::context::RequestContext;
use crate::registry::strategy::{self, Strategy};
use crate::registry::tree;

/// The labels of a job's pods, in their newer and their older form.
const LABELS: [(&str, &str); 2] = [
    ("batch.kubernetes.io/controller-uid", "controller-uid"),
    ("batch.kubernetes.io/job-name", "job-name"),
];

pub(crate) struct Job;

impl Strategy for Job {
    fn prepare_create(&self, _: &RequestContext, kind: &Kind, object: &mut Value) {
        strategy::reset_status(kind, object);
        if object.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
            return;
        }
        let (uid, name) = (tree::uid(object).to_owned(), tree::name(object).to_owned());
        let spec = tree::child(object, "spec");
        let template = tree::submap(spec, "template");
        let labels = tree::submap(tree::submap(template, "metadata"), "labels");
        for ((newer, older), value) in LABELS.iter().zip([&uid, &name]) {
            labels.insert((*newer).to_owned(), value.clone().into());
            labels.insert((*older).to_owned(), value.clone().into());
        }
        let labels = labels.clone();
        // A user's own selector without manualSelector is left for validation to refuse.
        if spec.get("selector").is_none_or(Value::is_null) {
            spec.insert(
                "selector".into(),
                json!({"matchLabels": {LABELS[0].0: uid}}),
            );
        }
        // A job without labels has those of its pods.
        let own = tree::submap(tree::metadata(object), "labels");
        if own.is_empty() {
            *own = labels;
        }
    }
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::json;

    use super::{Job, Strategy};
    use crate::registry::RequestContext;

    #[test]
    fn a_job_selects_its_own_pods() {
        let kind = Kinds::builtin().by_resource("batch", "v1", "jobs").unwrap();
        let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}});
        Job.prepare_create(&RequestContext::default(), kind, &mut job);
        assert_eq!(
            job["spec"]["selector"]["matchLabels"],
            json!({"batch.kubernetes.io/controller-uid": "u"})
        );
        assert_eq!(
            job["spec"]["template"]["metadata"]["labels"]["job-name"],
            "j"
        );
        let mut manual =
            json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"manualSelector": true}});
        Job.prepare_create(&RequestContext::default(), kind, &mut manual);
        assert!(manual["spec"].get("selector").is_none());
    }
}

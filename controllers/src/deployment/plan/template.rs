//! When two pod templates are the same, and the name part that tells different ones apart. Pure.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::PodTemplateSpec;

/// The label that separates the pods of a Deployment's ReplicaSets.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The letters of upstream's names: no vowels and nothing that looks like one, so that no words arise.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two templates differ in nothing but the hash label. Templates are compared whole, never by hash: ReplicaSets
/// that another implementation named are found all the same.
pub(crate) fn is_same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a.spec == b.spec && without_hash(a) == without_hash(b)
}

fn without_hash(template: &PodTemplateSpec) -> Cow<'_, Option<kube::core::ObjectMeta>> {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|meta| meta.labels.as_ref());
    if !labels.is_some_and(|labels| labels.contains_key(HASH_LABEL)) {
        return Cow::Borrowed(&template.metadata);
    }
    let mut meta = template.metadata.clone().unwrap_or_default();
    if let Some(labels) = &mut meta.labels {
        labels.remove(HASH_LABEL);
        if labels.is_empty() {
            meta.labels = None;
        }
    }
    Cow::Owned(Some(meta))
}

/// The hash of a template: FNV-1a over its JSON with sorted keys and over the collision count, written in upstream's
/// letters. Upstream hashes a dump of Go's memory, which nothing else can repeat; only uniqueness is needed here.
pub(super) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let json = serde_json::to_value(template)
        .unwrap_or_default()
        .to_string();
    let mut sum = fnv(0x811c_9dc5, json.as_bytes());
    if let Some(collisions) = collisions {
        sum = fnv(sum, &i64::from(collisions).to_le_bytes());
    }
    let letter = |digit: u8| char::from(LETTERS[usize::from(digit) % LETTERS.len()]);
    sum.to_string().bytes().map(letter).collect()
}

fn fnv(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
    use kube::core::ObjectMeta;

    use super::{HASH_LABEL, hash, is_same_template};

    fn template(image: &str, labels: &[(&str, &str)]) -> PodTemplateSpec {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let container = Container {
            image: Some(image.into()),
            ..Container::default()
        };
        PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(labels),
                ..ObjectMeta::default()
            }),
            spec: Some(PodSpec {
                containers: vec![container],
                ..PodSpec::default()
            }),
        }
    }

    #[test]
    fn only_the_hash_label_is_overlooked() {
        let plain = template("a", &[("app", "x")]);
        let hashed = template("a", &[("app", "x"), (HASH_LABEL, "abc")]);
        assert!(is_same_template(&plain, &hashed));
        assert!(!is_same_template(&plain, &template("b", &[("app", "x")])));
        assert!(!is_same_template(&plain, &template("a", &[("app", "y")])));
    }

    #[test]
    fn hashes_are_stable_and_tell_apart() {
        let one = template("a", &[("app", "x")]);
        assert_eq!(hash(&one, None), hash(&one, None));
        assert_ne!(hash(&one, None), hash(&one, Some(1)));
        assert_ne!(hash(&one, Some(1)), hash(&one, Some(2)));
        assert_ne!(
            hash(&one, None),
            hash(&template("b", &[("app", "x")]), None)
        );
        assert!(hash(&one, None).len() <= 10);
    }
}

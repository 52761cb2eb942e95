//! Which objects of a kind a list or a watch wants. Tests headers only.

use api_meta::fields::FieldSelector;
use api_meta::kinds::Kind;
use api_meta::labels::Selector;
use api_meta::status::Status;

use super::options::ListOptions;
use crate::cache::Object;
use crate::cache::fan_out::Interest;
use crate::storage::keys;

/// The namespace and the selectors of a list or a watch.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Empty for all namespaces.
    pub namespace: String,
    labels: Selector,
    fields: FieldSelector,
}

impl Selection {
    /// Parses the selectors of a request.
    pub fn parse(kind: &Kind, namespace: &str, options: &ListOptions) -> Result<Self, Status> {
        let labels = Selector::parse(&options.labels)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        let fields = FieldSelector::parse(&options.fields)
            .map_err(|error| Status::bad_request(error.to_string()))?;
        fields.check(kind).map_err(|error| {
            let version = if kind.group.is_empty() {
                format!("/{}", kind.version)
            } else {
                format!("{}/{}", kind.group, kind.version)
            };
            Status::bad_request(format!(
                "Unable to find {:?} that match label selector {:?}, field selector {:?}: {error}",
                format!("{version}, Resource={}", kind.resource),
                options.labels,
                options.fields
            ))
        })?;
        // A selector may name the namespace instead of the path.
        let namespace = match (namespace, fields.required("metadata.namespace")) {
            ("", Some(named)) if kind.namespaced => named,
            (path, _) => path,
        };
        Ok(Self {
            namespace: namespace.to_owned(),
            labels,
            fields,
        })
    }

    /// Everything in a namespace, or everywhere.
    pub fn everything(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            labels: Selector::everything(),
            fields: FieldSelector::everything(),
        }
    }

    /// Whether only the namespace selects.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether the namespace and the selectors want the object.
    pub fn matches(&self, object: &Object) -> bool {
        self.is_in_namespace(object)
            && self.labels.matches(&object.header.labels)
            && self.fields.matches(&object.header)
    }

    /// Goes by the key, since an object that cannot be read has an empty header.
    fn is_in_namespace(&self, object: &Object) -> bool {
        let namespace = object.key.split_once('/').map(|(namespace, _)| namespace);
        self.namespace.is_empty() || namespace == Some(self.namespace.as_str())
    }

    /// The one object that can match, by its key.
    pub fn only_key(&self, kind: &Kind) -> Option<String> {
        let name = self
            .fields
            .required("metadata.name")
            .filter(|name| !name.is_empty())?;
        if kind.namespaced && self.namespace.is_empty() {
            return None;
        }
        let namespace = if kind.namespaced {
            self.namespace.as_str()
        } else {
            ""
        };
        Some(keys::relative(namespace, name))
    }

    /// The narrowest interest that covers it.
    pub fn interest(&self, kind: &Kind) -> Interest {
        if let Some(key) = self.only_key(kind) {
            return Interest::Key(key);
        }
        if let Some(node) = self
            .fields
            .required("spec.nodeName")
            .filter(|node| !node.is_empty())
            && self.namespace.is_empty()
        {
            return Interest::Node(node.to_owned());
        }
        if self.namespace.is_empty() {
            Interest::All
        } else {
            Interest::Namespace(self.namespace.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use bytes::Bytes;

    use super::Selection;
    use crate::cache::Object;
    use crate::registry::options::ListOptions;

    fn wanted(namespace: &str, fields: &str, keys: &[&str]) -> Vec<String> {
        let kind = Kinds::builtin()
            .by_resource("", "v1", "configmaps")
            .unwrap();
        let options = ListOptions {
            fields: fields.to_owned(),
            ..ListOptions::everything()
        };
        let selection = Selection::parse(kind, namespace, &options).unwrap();
        let object = |key: &str| {
            let (namespace, name) = key.split_once('/').unwrap();
            let json = format!(r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}"}}}}"#);
            Object::from_stored(key, &Bytes::from(json), 1)
        };
        let is_wanted = |key: &&&str| selection.matches(&object(key));
        let wanted = keys.iter().filter(is_wanted);
        wanted.map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn one_name_in_two_namespaces_is_two_objects() {
        let keys = ["a/x", "b/x", "ab/x", "a/y"];
        assert_eq!(wanted("", "", &keys), keys);
        assert_eq!(wanted("a", "", &keys), ["a/x", "a/y"]);
        assert_eq!(wanted("a", "metadata.name=x", &keys), ["a/x"]);
        assert_eq!(wanted("", "metadata.namespace=b", &keys), ["b/x"]);
        assert!(wanted("a", "metadata.namespace=b", &keys).is_empty());
    }

    #[test]
    fn an_object_that_cannot_be_read_is_still_in_its_namespace() {
        let broken = Object::from_stored("a/x", &Bytes::from_static(b"nonsense"), 1);
        assert!(Selection::everything("a").matches(&broken));
        assert!(!Selection::everything("b").matches(&broken));
    }
}

//! Publishes changes as the one task does that follows the store, for tests of other rooms.

use bytes::Bytes;

use super::kind_cache::{Change, KindCache};
use super::object::Object;

/// Puts an object under its key, `namespace/name` or the name. The position does not move.
pub(crate) fn put(kind: &KindCache, key: &str, revision: u64) {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    let json = format!(r#"{{"metadata":{{"namespace":"{namespace}","name":"{name}"}}}}"#);
    kind.publish(vec![Change {
        key: key.to_owned(),
        revision,
        old: None,
        new: Some(Object::from_stored(key, &Bytes::from(json), revision)),
    }]);
}

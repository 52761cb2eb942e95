//! Where objects lie in the store. The layout is upstream's, so that both servers find the same.

use api_meta::kinds::Kind;
use bytes::Bytes;

/// What every key begins with.
pub const ROOT: &str = "/registry/";

/// The key within a kind: `namespace/name`, or the name alone.
pub fn relative(namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}/{name}")
    }
}

/// The key of an object.
pub fn object(kind: &Kind, namespace: &str, name: &str) -> Bytes {
    absolute(&kind.storage_prefix, &relative(namespace, name))
}

/// The key of what lies at `relative` under a kind's prefix.
pub fn absolute(prefix: &str, relative: &str) -> Bytes {
    format!("{ROOT}{prefix}/{relative}").into()
}

/// The prefix that all relative keys of a list have: the namespace's, or none.
pub fn list_prefix(namespace: &str) -> String {
    if namespace.is_empty() {
        String::new()
    } else {
        format!("{namespace}/")
    }
}

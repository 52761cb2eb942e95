//! What the server serves, as documents: the legacy lists and the aggregated one that newer clients
//! ask for. Rendered once, from the table of kinds alone.

mod aggregated;
mod legacy;

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A rendered document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// The value of `ETag`, quotes included, where clients use one.
    pub etag: Option<String>,
}

const JSON: &str = "application/json";

/// Legacy documents by path.
static LEGACY: LazyLock<HashMap<String, Document>> = LazyLock::new(|| {
    let plain = |body: Vec<u8>| Document {
        content_type: JSON,
        body: body.into(),
        etag: None,
    };
    legacy::documents()
        .into_iter()
        .map(|(path, body)| (path, plain(body)))
        .collect()
});

/// Aggregated documents by path.
static AGGREGATED: LazyLock<HashMap<&'static str, Document>> = LazyLock::new(|| {
    let tagged = |body: Vec<u8>| Document {
        content_type: aggregated::CONTENT_TYPE,
        etag: Some(format!("\"{}\"", hash(&body))),
        body: body.into(),
    };
    [("/api", true), ("/apis", false)]
        .map(|(path, is_core)| (path, tagged(aggregated::document(is_core))))
        .into()
});

/// The document at `path` for a client that sent `accept`; none if discovery has no such path.
pub fn respond(path: &str, accept: &str) -> Option<&'static Document> {
    let path = path.trim_end_matches('/');
    if aggregated::is_asked_for(accept)
        && let Some(found) = AGGREGATED.get(path)
    {
        return Some(found);
    }
    LEGACY.get(path)
}

/// A document's hash as upstream writes it: upper-case hexadecimal.
pub(crate) fn hash(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::respond;

    fn json(path: &str, accept: &str) -> Value {
        serde_json::from_slice(&respond(path, accept).unwrap().body).unwrap()
    }

    #[test]
    fn old_clients_get_lists() {
        assert_eq!(json("/api", "*/*")["versions"][0], "v1");
        let groups = json("/apis", "application/json");
        let apps = groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .find(|g| g["name"] == "apps")
            .unwrap();
        assert_eq!(apps["preferredVersion"]["groupVersion"], "apps/v1");
        let resources = json("/apis/apps/v1", "");
        let scale = resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["name"] == "deployments/scale")
            .unwrap();
        assert_eq!(
            (&scale["group"], &scale["kind"]),
            (&"autoscaling".into(), &"Scale".into())
        );
        assert!(respond("/apis/nonsense/v1", "").is_none());
    }

    #[test]
    fn new_clients_get_all_at_once() {
        let accept =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let core = json("/api", accept);
        assert_eq!(core["kind"], "APIGroupDiscoveryList");
        let pods = core["items"][0]["versions"][0]["resources"]
            .as_array()
            .unwrap();
        let pods = pods.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["responseKind"]["kind"], "Pod");
        assert!(respond("/apis", accept).unwrap().etag.is_some());
    }
}

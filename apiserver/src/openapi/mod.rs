//! The schemas of what the server serves: `/openapi/v3` and one document for each group and version.
//! Rendered at the first request for each, from the tables alone. Without descriptions.

mod paths;
mod schemas;
pub mod v2;

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use api_meta::kinds::Kinds;
use serde_json::{Value, json};

use crate::discovery::{Document, hash};

/// What kubectl reads as the server's version in these documents.
const TITLE: &str = "Kubernetes";
const JSON: &str = "application/json";

/// A group and version, rendered when first asked for.
struct Group {
    group: &'static str,
    version: &'static str,
    document: OnceLock<Document>,
}

/// By path below `/openapi/v3/`, such as `api/v1` or `apis/apps/v1`.
static GROUPS: LazyLock<BTreeMap<String, Group>> = LazyLock::new(|| {
    let groups = Kinds::builtin().groups().into_iter();
    let each = groups.flat_map(|(group, versions)| versions.into_iter().map(move |v| (group, v)));
    each.map(|(group, version)| {
        let path = match group {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        (
            path,
            Group {
                group,
                version,
                document: OnceLock::new(),
            },
        )
    })
    .collect()
});

static INDEX: LazyLock<Document> = LazyLock::new(|| {
    let entry = |(path, group): (&String, &Group)| {
        // The hash in the URL lets clients keep a document for ever.
        let etag = document(group)
            .etag
            .as_deref()
            .unwrap_or_default()
            .trim_matches('"');
        (
            path.clone(),
            json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={etag}")}),
        )
    };
    let paths: serde_json::Map<String, Value> = GROUPS.iter().map(entry).collect();
    render(&json!({"paths": paths}))
});

/// The document at `path`; none if there is none. `version` is the server's own.
pub fn respond(path: &str) -> Option<&'static Document> {
    let rest = path.trim_end_matches('/').strip_prefix("/openapi/v3")?;
    match rest.strip_prefix('/') {
        None if rest.is_empty() => Some(&INDEX),
        None => None,
        Some(rest) => GROUPS.get(rest).map(document),
    }
}

fn document(group: &Group) -> &Document {
    group.document.get_or_init(|| {
        let (schemas, paths) = (
            schemas::of(group.group, group.version),
            paths::of(group.group, group.version),
        );
        render(&json!({
            "openapi": "3.0.0",
            "info": {"title": TITLE, "version": "v1.36.4"},
            "paths": paths,
            "components": {"schemas": schemas},
        }))
    })
}

fn render(value: &Value) -> Document {
    let body = value.to_string().into_bytes();
    Document {
        content_type: JSON,
        etag: Some(format!("\"{}\"", hash(&body))),
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::respond;

    fn json(path: &str) -> Value {
        serde_json::from_slice(&respond(path).unwrap().body).unwrap()
    }

    #[test]
    fn the_index_leads_to_every_document() {
        let index = json("/openapi/v3");
        let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
            .as_str()
            .unwrap();
        let path = url.split('?').next().unwrap();
        assert_eq!(json(path)["openapi"], "3.0.0");
        assert!(respond("/openapi/v3/apis/nonsense/v1").is_none());
        assert!(respond("/openapi/v3nonsense").is_none());
    }

    #[test]
    fn kubectl_finds_field_validation_and_the_kind() {
        let document = json("/openapi/v3/apis/apps/v1");
        let patch =
            &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(
            patch["x-kubernetes-group-version-kind"]["kind"],
            "Deployment"
        );
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(
            parameters
                .iter()
                .any(|parameter| parameter["name"] == "fieldValidation")
        );
    }

    #[test]
    fn every_reference_in_a_document_has_a_target_in_it() {
        let document = json("/openapi/v3/api/v1");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert_eq!(
            schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"][0]["kind"],
            "Pod"
        );
    }
}

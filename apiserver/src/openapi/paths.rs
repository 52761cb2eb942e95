//! The paths of a group's resources with what can be done at them. Clients look here for the
//! parameters that a request may carry.

use api_meta::Gvk;
use api_meta::kinds::{Kind, Kinds};
use serde_json::{Map, Value, json};

use super::schemas::name_of;

const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// All paths of a group and version.
pub(super) fn of(group: &str, version: &str) -> Map<String, Value> {
    let root = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let mut paths = Map::new();
    for kind in Kinds::builtin()
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        let place = if kind.namespaced {
            format!("{root}/namespaces/{{namespace}}")
        } else {
            root.clone()
        };
        let collection = format!("{place}/{}", kind.resource);
        let item = format!("{collection}/{{name}}");
        let verbs: Vec<&str> = kind.verbs.iter().map(String::as_str).collect();
        add(
            &mut paths,
            &collection,
            &kind.gvk(),
            &[
                ("list", "get"),
                ("create", "post"),
                ("deletecollection", "delete"),
            ],
            &verbs,
        );
        add(
            &mut paths,
            &item,
            &kind.gvk(),
            &[
                ("get", "get"),
                ("update", "put"),
                ("patch", "patch"),
                ("delete", "delete"),
            ],
            &verbs,
        );
        if kind.namespaced && verbs.contains(&"list") {
            add(
                &mut paths,
                &format!("{root}/{}", kind.resource),
                &kind.gvk(),
                &[("list", "get")],
                &verbs,
            );
        }
        subresources(&mut paths, kind, &item);
    }
    paths
}

fn subresources(paths: &mut Map<String, Value>, kind: &Kind, item: &str) {
    for sub in &kind.subresources {
        let gvk = Gvk::new(&sub.group, &sub.version, &sub.kind);
        let verbs: Vec<&str> = sub.verbs.iter().map(String::as_str).collect();
        let methods = [
            ("get", "get"),
            ("create", "post"),
            ("update", "put"),
            ("patch", "patch"),
            ("delete", "delete"),
        ];
        add(
            paths,
            &format!("{item}/{}", sub.name),
            &gvk,
            &methods,
            &verbs,
        );
    }
}

fn add(
    paths: &mut Map<String, Value>,
    path: &str,
    gvk: &Gvk,
    methods: &[(&str, &str)],
    verbs: &[&str],
) {
    let mut operations = Map::new();
    for (verb, method) in methods.iter().filter(|(verb, _)| verbs.contains(verb)) {
        operations.insert((*method).to_owned(), operation(verb, method, gvk));
    }
    if operations.is_empty() {
        return;
    }
    let variables: Vec<Value> = ["name", "namespace"]
        .iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    operations.insert("parameters".to_owned(), variables.into());
    paths.insert(path.to_owned(), Value::Object(operations));
}

fn operation(verb: &str, method: &str, gvk: &Gvk) -> Value {
    let schema = match name_of(gvk) {
        Some(name) => json!({"$ref": format!("#/components/schemas/{name}")}),
        None => json!({"type": "object"}),
    };
    let mut operation = json!({
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": {"group": gvk.group, "version": gvk.version, "kind": gvk.kind},
        "parameters": parameters(method),
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    });
    match method {
        "post" | "put" => {
            operation["requestBody"] =
                json!({"content": {"*/*": {"schema": schema}}, "required": true});
        }
        "patch" => {
            let any = json!({"schema": {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}});
            let content: Map<String, Value> = PATCH_TYPES
                .iter()
                .map(|media_type| ((*media_type).to_owned(), any.clone()))
                .collect();
            operation["requestBody"] = json!({"content": content, "required": true});
        }
        _ => {}
    }
    operation
}

fn parameters(method: &str) -> Value {
    let names: &[&str] = match method {
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "delete" => &["dryRun", "gracePeriodSeconds", "propagationPolicy"],
        _ => &[],
    };
    let parameter = |name: &&str| {
        let data_type = match *name {
            "force" => "boolean",
            "gracePeriodSeconds" => "integer",
            _ => "string",
        };
        json!({"name": name, "in": "query", "schema": {"type": data_type, "uniqueItems": true}})
    };
    names.iter().map(parameter).collect()
}

//! The table of who may depend on whom. Any other edge between our crates is a fault.

use serde_json::Value;

/// A crate, and the crates of ours that it may use in what it ships.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("bolt", &[]),
    ("proto-etcd", &[]),
    ("proto-cri", &[]),
    ("api-meta", &["base"]),
    ("api-machinery", &["base", "api-meta"]),
    ("api-types", &["base", "api-meta"]),
    ("api-rules", &["base", "api-meta", "api-types"]),
    ("client", &["base", "api-meta", "api-machinery"]),
    ("testkit", &["base", "client", "proto-etcd"]),
    ("store", &["base", "bolt", "proto-etcd"]),
    (
        "apiserver",
        &[
            "base",
            "api-meta",
            "api-machinery",
            "api-types",
            "api-rules",
            "proto-etcd",
        ],
    ),
    ("controllers", &["base", "api-meta", "api-types", "client"]),
    ("scheduler", &["base", "api-meta", "api-types", "client"]),
    (
        "node",
        &[
            "base",
            "api-meta",
            "api-types",
            "api-rules",
            "client",
            "proto-cri",
        ],
    ),
    (
        "jepsen-tests",
        &["base", "client", "store", "testkit", "proto-etcd"],
    ),
    ("simulation", &["proto-etcd", "store", "jepsen-tests"]),
    (
        "keelson",
        &[
            "base",
            "client",
            "proto-etcd",
            "store",
            "apiserver",
            "controllers",
            "scheduler",
            "node",
            "jepsen-tests",
        ],
    ),
    ("xtask", &[]),
];

/// What any crate may use in its tests.
const IN_TESTS: &[&str] = &["testkit", "proto-etcd", "client", "base", "api-machinery"];

/// Every edge that the table does not hold.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let ours = packages.filter(|package| package["source"].is_null());
    ours.flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!("crate {name} is not in the table of arrows")];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let ours = dependencies.filter(|dependency| dependency["path"].is_string());
    ours.filter_map(|dependency| {
        let to = dependency["name"].as_str().unwrap_or_default();
        let in_tests = dependency["kind"] == "dev" && IN_TESTS.contains(&to);
        (!allowed.contains(&to) && !in_tests).then(|| format!("{name} must not depend on {to}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn finds_a_planted_arrow_and_an_unknown_crate() {
        let metadata = json!({"packages": [
            {"name": "store", "source": null, "dependencies": [
                {"name": "base", "path": "x", "kind": null},
                {"name": "apiserver", "path": "x", "kind": null},
                {"name": "testkit", "path": "x", "kind": "dev"},
            ]},
            {"name": "stray", "source": null, "dependencies": []},
        ]});
        assert_eq!(
            check(&metadata),
            [
                "store must not depend on apiserver",
                "crate stray is not in the table of arrows"
            ]
        );
    }
}

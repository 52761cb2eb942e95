//! Proves against upstream's bootstrap roles, as recorded from the real server, that every account exists there and that
//! its role allows what our controllers ask for.

use serde_json::{Value, json};

use super::{CLOUD_CONTROLLERS, CONTROLLERS};

const ROLES: &str = include_str!("../../../crates/api/meta/data/bootstrap/clusterroles.json");
const BINDINGS: &str =
    include_str!("../../../crates/api/meta/data/bootstrap/clusterrolebindings.json");

/// Resource, group, verbs.
type Request = (&'static str, &'static str, &'static str);

/// What each account asks for. To be kept true to the calls in each controller; a recorder needs
/// events. Shared informers are not among them: they are the process's.
const REQUESTS: &[(&str, &[Request])] = &[
    (
        "service-account-controller",
        &[("serviceaccounts", "", "create")],
    ),
    (
        "root-ca-cert-publisher",
        &[("configmaps", "", "create update")],
    ),
    (
        "namespace-controller",
        &[
            ("namespaces", "", "get"),
            ("namespaces/status", "", "update"),
            ("namespaces/finalize", "", "update"),
            ("pods", "", "list"),
            ("anything", "any.group", "list delete deletecollection"),
        ],
    ),
    (
        "generic-garbage-collector",
        &[("anything", "any.group", "get list watch patch delete")],
    ),
    (
        "replicaset-controller",
        &[
            ("replicasets", "apps", "get"),
            ("replicasets/status", "apps", "update"),
            ("pods", "", "create patch delete"),
            EVENTS,
        ],
    ),
    (
        "deployment-controller",
        &[
            ("deployments", "apps", "get"),
            ("deployments/status", "apps", "update"),
            ("replicasets", "apps", "get create update patch delete"),
            EVENTS,
        ],
    ),
    (
        "job-controller",
        &[
            ("jobs", "batch", "get"),
            ("jobs/status", "batch", "update"),
            ("pods", "", "create patch delete"),
            EVENTS,
        ],
    ),
    (
        "ttl-after-finished-controller",
        &[("jobs", "batch", "get delete")],
    ),
    (
        "endpoint-controller",
        &[("endpoints", "", "create update delete")],
    ),
    (
        "endpointslice-controller",
        &[
            ("endpointslices", "discovery.k8s.io", "create update delete"),
            EVENTS,
        ],
    ),
    (
        "node-controller",
        &[
            ("nodes", "", "patch"),
            ("nodes/status", "", "update"),
            ("pods", "", "delete"),
            ("pods/status", "", "patch"),
            EVENTS,
        ],
    ),
    (
        "pod-garbage-collector",
        &[
            ("nodes", "", "get"),
            ("pods", "", "delete"),
            ("pods/status", "", "patch"),
        ],
    ),
    (
        "service-controller",
        &[("services/status", "", "update patch"), EVENTS],
    ),
];

const EVENTS: Request = ("events", "", "create patch");

fn named(list: &str, name: &str) -> Value {
    let list: Vec<Value> = serde_json::from_str(list).unwrap();
    let mut found = list
        .into_iter()
        .filter(|one| one["metadata"]["name"] == name);
    found.next().unwrap_or_else(|| panic!("no {name}"))
}

fn allows(role: &Value, resource: &str, group: &str, verb: &str) -> bool {
    let has = |rule: &Value, field: &str, wanted: &str| {
        let all = rule[field].as_array().into_iter().flatten();
        let mut all = all.filter_map(Value::as_str);
        all.any(|one| one == wanted || one == "*")
    };
    let rules = role["rules"].as_array().into_iter().flatten();
    let mut whole = rules.filter(|rule| rule["resourceNames"].is_null());
    whole.any(|rule| {
        has(rule, "verbs", verb)
            && has(rule, "apiGroups", group)
            && has(rule, "resources", resource)
    })
}

#[test]
fn every_account_is_bound_to_upstreams_role() {
    for entry in CONTROLLERS.iter().chain(CLOUD_CONTROLLERS) {
        let name = format!("system:controller:{}", entry.account);
        let binding = named(BINDINGS, &name);
        assert_eq!(binding["roleRef"]["name"], name);
        let subject = json!([
            { "kind": "ServiceAccount", "namespace": "kube-system", "name": entry.account },
        ]);
        assert_eq!(binding["subjects"], subject, "{}", entry.name);
    }
}

#[test]
fn every_account_may_do_what_its_controllers_do() {
    for entry in CONTROLLERS.iter().chain(CLOUD_CONTROLLERS) {
        let mut all = REQUESTS
            .iter()
            .filter(|(account, _)| *account == entry.account);
        let (account, requests) = all.next().expect(entry.account);
        let role = named(ROLES, &format!("system:controller:{account}"));
        for (resource, group, verbs) in *requests {
            for verb in verbs.split(' ') {
                let is_allowed = allows(&role, resource, group, verb);
                assert!(is_allowed, "{account} must {verb} {resource}");
            }
        }
    }
    // The check itself: upstream's role lets Services be changed through their status only.
    let role = named(ROLES, "system:controller:service-controller");
    assert!(!allows(&role, "services", "", "patch"));
}

#[test]
fn the_process_may_provide_for_the_accounts() {
    let role = named(ROLES, "system:kube-controller-manager");
    let requests = [
        ("serviceaccounts", "", "create"),
        ("serviceaccounts/token", "", "create"),
        ("anything", "any.group", "list"),
        ("anything", "any.group", "watch"),
        ("leases", "coordination.k8s.io", "create"),
        ("events", "", "create"),
    ];
    for (resource, group, verb) in requests {
        assert!(allows(&role, resource, group, verb), "{verb} {resource}");
    }
}

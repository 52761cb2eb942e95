//! Where pods go and what is said when they go nowhere, by table.

use std::sync::Arc;

use async_trait::async_trait;
use expect_test::{Expect, expect};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::{Case, Decision, decide};
use crate::cache::{Cache, Snapshot};
use crate::framework::points::{Bind, Plugin, Remedy};
use crate::framework::{PodInfo, Status};
use crate::plugins::default_profile;
use crate::testing::{important, node, node_with, pod, pod_with_cpu};

struct NoBinder;
impl Plugin for NoBinder {
    fn name(&self) -> &'static str {
        "NoBinder"
    }
}
#[async_trait]
impl Bind for NoBinder {
    async fn bind(&self, _: &PodInfo, _: &str) -> Status {
        Status::SKIP
    }
}

#[derive(Default)]
struct World {
    cache: Cache,
}

impl World {
    fn of(nodes: impl IntoIterator<Item = Arc<Node>>) -> Self {
        let mut world = Self::default();
        for node in nodes {
            world.cache.set_node(node);
        }
        world
    }

    fn with(mut self, pod: Arc<PodInfo>, node: &str) -> Self {
        self.cache.assume(pod, node);
        self
    }

    fn check(&mut self, pod: &PodInfo, want: Expect) {
        let mut snapshot = Snapshot::default();
        self.cache.refresh(&mut snapshot);
        let case = Case {
            profile: &default_profile(Arc::new(NoBinder)),
            pod,
            nodes: &snapshot,
            kept: &self.cache.nominated.seen_by(pod),
        };
        let got = match decide(&case, &mut 0) {
            Decision::Place { node, .. } => node,
            Decision::Fail(status) => format!("failed: {}", status.message()),
            Decision::Refuse(refusal) => match refusal.remedy {
                Remedy::None(..) => format!("{} {:?}", refusal.message, refusal.plugins),
                Remedy::Preempt { node, victims } => {
                    let names: Vec<_> = victims.iter().map(|v| v.name.as_str()).collect();
                    format!("{} preempts {names:?} on {node}", refusal.message)
                }
            },
        };
        want.assert_eq(&got);
    }
}

fn affinity(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    ]}}})
}

#[test]
fn the_emptier_node_wins() {
    let mut world = World::of([node("a", "4"), node("b", "4")]).with(pod_with_cpu("x", "2"), "a");
    world.check(&pod_with_cpu("p", "1"), expect!["b"]);
}

#[test]
fn no_nodes() {
    World::default().check(
        &pod_with_cpu("p", "1"),
        expect!["no nodes available to schedule pods []"],
    );
}

#[test]
fn every_reason_is_counted() {
    let taint = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    let mut world = World::of([
        node("small", "1"),
        node("full", "4"),
        node_with(
            "tainted",
            taint,
            json!({"cpu": "8", "memory": "4Gi", "pods": "10"}),
        ),
        node_with(
            "cordoned",
            json!({"unschedulable": true}),
            json!({"cpu": "8", "pods": "10"}),
        ),
        node_with(
            "crowded",
            json!({}),
            json!({"cpu": "8", "memory": "4Gi", "pods": "0"}),
        ),
    ])
    .with(pod_with_cpu("x", "3"), "full");
    world.check(
        &pod_with_cpu("p", "2"),
        expect![[r#"0/5 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/5 nodes are available: 2 No preemption victims found for incoming pod, 3 Preemption is not helpful for scheduling. ["NodeResourcesFit", "NodeUnschedulable", "TaintToleration"]"#]],
    );
}

#[test]
fn node_affinity_and_selector() {
    let mut world = World::of([node("a", "4"), node("b", "4")]);
    world.check(
        &pod(
            "p",
            json!({"affinity": affinity("kubernetes.io/hostname", "In", &["b"])}),
        ),
        expect!["b"],
    );
    world.check(
        &pod(
            "p",
            json!({"nodeSelector": {"kubernetes.io/hostname": "a"}}),
        ),
        expect!["a"],
    );
    world.check(
        &pod("p", json!({"nodeSelector": {"zone": "z"}})),
        expect![[r#"0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling. ["NodeAffinity"]"#]],
    );
    let by_name = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gone"]}]}
    ]}}});
    world.check(
        &pod("p", json!({"affinity": by_name})),
        expect![[r#"0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling. ["NodeAffinity"]"#]],
    );
}

#[test]
fn preferred_affinity_outweighs_emptiness() {
    let mut world =
        World::of([node("a", "4"), node("b", "4")]).with(pod_with_cpu("x", "500m"), "a");
    let preferred = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a"]}]}}
    ]}});
    world.check(&pod("p", json!({"affinity": preferred})), expect!["a"]);
}

#[test]
fn host_ports_conflict_by_address_and_protocol() {
    let with_port = |name: &str, ip: &str, protocol: &str| {
        let port = json!({"containerPort": 80, "hostPort": 80, "hostIP": ip, "protocol": protocol});
        pod(
            name,
            json!({"containers": [{"name": "c", "ports": [port]}]}),
        )
    };
    let mut world = World::of([node("a", "4")]).with(with_port("x", "10.0.0.1", "TCP"), "a");
    world.check(&with_port("p", "10.0.0.2", "TCP"), expect!["a"]);
    world.check(&with_port("p", "10.0.0.1", "UDP"), expect!["a"]);
    world.check(
        &with_port("p", "", "TCP"),
        expect![[r#"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod. ["NodePorts"]"#]],
    );
}

#[test]
fn a_more_important_pod_takes_the_place_of_the_least_important() {
    let mut world = World::of([node("a", "4"), node("b", "4")])
        .with(important("a1", "2", 5), "a")
        .with(important("a2", "2", 1), "a")
        .with(important("b1", "4", 3), "b");
    world.check(
        &important("p", "2", 10),
        expect![[r#"0/2 nodes are available: 2 Insufficient cpu. preempts ["a2"] on a"#]],
    );
    world.check(
        &important("p", "2", 1),
        expect![[r#"0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod. ["NodeResourcesFit"]"#]],
    );
    // The room is kept for the nominated pod.
    let nominated = important("first", "2", 10);
    world.cache.remove_pod("uid-a2");
    world.cache.nominated.set(nominated, "a");
    world.check(
        &important("p", "2", 1),
        expect![[r#"0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod. ["NodeResourcesFit"]"#]],
    );
    world.check(&important("p", "2", 11), expect!["a"]);
}

#[test]
fn preemption_leaves_alone_what_is_freed_for_another() {
    let mut world = World::of([node("a", "4")]).with(important("low", "2", 1), "a");
    world.cache.nominated.set(important("first", "2", 10), "a");
    // The free half of the node is for the first, so the other half has to be freed.
    world.check(
        &important("p", "2", 10),
        expect![[r#"0/1 nodes are available: 1 Insufficient cpu. preempts ["low"] on a"#]],
    );
    // Nobody has to go where that is not enough.
    world.check(
        &important("p", "3", 10),
        expect![[r#"0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu. ["NodeResourcesFit"]"#]],
    );
    // The most important pod yields to nobody who is to come.
    world.check(&important("p", "2", 11), expect!["a"]);
}

#[test]
fn a_pod_waits_for_the_victims_on_the_node_that_is_freed_for_it() {
    let mut leaving = (*important("low", "4", 1).pod).clone();
    leaving.metadata.deletion_timestamp = Some(client::times::now());
    leaving.status = Some(
        serde_json::from_value(json!({"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
        ]}))
        .expect("a status"),
    );
    let mut world = World::of([node("a", "4"), node("b", "4")])
        .with(Arc::new(PodInfo::new(Arc::new(leaving))), "a")
        .with(important("other", "4", 1), "b");
    let preemptor = important("p", "4", 10);
    // The pod's own status does not tell of the nomination yet; the cache does.
    world.cache.nominated.set(preemptor.clone(), "a");
    world.check(
        &preemptor,
        expect![[r#"0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node. ["NodeResourcesFit"]"#]],
    );
}

#[test]
fn what_is_not_supported_is_refused() {
    let claim = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]});
    World::of([node("a", "4")]).check(
        &pod("p", claim),
        expect![[r#"0/1 nodes are available: this scheduler does not support persistent volume claims yet. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling. ["Unsupported"]"#]],
    );
}

fn in_zone(name: &str, zone: &str) -> Arc<Node> {
    let mut node = (*node(name, "4")).clone();
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert("zone".to_owned(), zone.to_owned());
    Arc::new(node)
}

fn labelled(name: &str, app: &str, spec: Value) -> Arc<PodInfo> {
    let mut object = (*pod(name, spec).pod).clone();
    object.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
    Arc::new(PodInfo::new(Arc::new(object)))
}

fn between(kind: &str, app: &str, key: &str) -> Value {
    let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}});
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
    json!({"affinity": {kind: required}})
}

#[test]
fn pods_are_spread_over_places() {
    let spec = || {
        let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"topologySpreadConstraints": [constraint]})
    };
    let mut world = World::of([in_zone("a1", "a"), in_zone("a2", "a"), in_zone("b1", "b")])
        .with(labelled("x", "web", json!({})), "a1")
        .with(labelled("y", "other", json!({})), "b1");
    world.check(&labelled("p", "web", spec()), expect!["b1"]);
    world.cache.set_node(node("c1", "4"));
    world.cache.remove_node("b1");
    world.cache.remove_node("a2");
    // One zone is left, so it is the least of all; the node without the label is no place.
    world.check(&labelled("p", "web", spec()), expect!["a1"]);
    let strict = || {
        let mut spec = spec();
        spec["topologySpreadConstraints"][0]["minDomains"] = json!(2);
        spec
    };
    world.check(
        &labelled("p", "web", strict()),
        expect![[r#"0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) didn't match pod topology spread constraints (missing required label). preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling. ["PodTopologySpread"]"#]],
    );
}

#[test]
fn a_spread_without_a_selector_means_no_pod() {
    let mut world = World::of([in_zone("a1", "a"), in_zone("b1", "b")])
        .with(labelled("x", "web", json!({})), "a1")
        .with(labelled("y", "web", json!({})), "a1");
    // The other zone counts, so that a selector which means every pod would find a skew of three.
    let spread = |more: (&str, Value)| {
        let mut constraint = json!({"maxSkew": 1, "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule", "nodeAffinityPolicy": "Ignore"});
        constraint[more.0] = more.1;
        json!({"topologySpreadConstraints": [constraint],
            "nodeSelector": {"kubernetes.io/hostname": "a1"}})
    };
    world.check(
        &labelled("p", "web", spread(("minDomains", json!(1)))),
        expect!["a1"],
    );
    world.check(
        &labelled("p", "web", spread(("matchLabelKeys", json!(["app"])))),
        expect!["a1"],
    );
    // A selector that means them does find it.
    let web = json!({"matchLabels": {"app": "web"}});
    world.check(
        &labelled("p", "web", spread(("labelSelector", web))),
        expect![[r#"0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod topology spread constraints. preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling. ["NodeAffinity", "PodTopologySpread"]"#]],
    );
}

#[test]
fn soft_spreading_prefers_the_emptier_place() {
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    let mut world = World::of([in_zone("a1", "a"), in_zone("b1", "b")])
        .with(labelled("x", "web", json!({})), "a1");
    world.check(
        &labelled(
            "p",
            "web",
            json!({"topologySpreadConstraints": [constraint]}),
        ),
        expect!["b1"],
    );
}

#[test]
fn pods_keep_together_or_apart() {
    let mut world = World::of([in_zone("a1", "a"), in_zone("a2", "a"), in_zone("b1", "b")])
        .with(labelled("db", "db", json!({})), "b1");
    world.check(
        &labelled("p", "web", between("podAffinity", "db", "zone")),
        expect!["b1"],
    );
    world.check(
        &labelled("p", "web", between("podAffinity", "none", "zone")),
        expect![[r#"0/3 nodes are available: 3 node(s) didn't match pod affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling. ["InterPodAffinity"]"#]],
    );
    // The first of its kind may go anywhere; the emptier zone is better.
    let mut first = World::of([in_zone("a1", "a")]);
    first.check(
        &labelled("p", "web", between("podAffinity", "web", "zone")),
        expect!["a1"],
    );
    let apart = |name: &str| labelled(name, "web", between("podAntiAffinity", "web", "zone"));
    world = world.with(apart("w1"), "a1");
    world.check(&apart("w2"), expect!["b1"]);
    world = world.with(apart("w2"), "b1");
    world.check(
        &apart("w3"),
        expect![[r#"0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod. ["InterPodAffinity"]"#]],
    );
    // Those that are there keep out even one that has no terms of its own.
    world.check(
        &labelled("p", "web", json!({})),
        expect![[r#"0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod. ["InterPodAffinity"]"#]],
    );
}

//! The graph as a table of events and of the objects that each makes the collector look at.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{FOREGROUND, Graph, ORPHAN, Place, Task, Wake};

fn place(name: &str) -> Place {
    Place {
        api_version: "v1".into(),
        kind: "X".into(),
        namespace: "ns".into(),
        name: name.into(),
    }
}

fn meta(name: &str, owners: &[&str], finalizer: Option<&str>) -> ObjectMeta {
    let owner = |name: &&str| OwnerReference {
        api_version: "v1".into(),
        kind: "X".into(),
        name: (*name).into(),
        uid: (*name).into(),
        block_owner_deletion: Some(true),
        controller: None,
    };
    ObjectMeta {
        uid: Some(name.into()),
        owner_references: Some(owners.iter().map(owner).collect()),
        deletion_timestamp: finalizer.map(|_| client::times::now()),
        finalizers: finalizer.map(|name| vec![name.to_owned()]),
        ..ObjectMeta::default()
    }
}

fn text(wakes: Vec<Wake>) -> String {
    let mut all: Vec<String> = wakes
        .into_iter()
        .map(|wake| match wake.task {
            Task::Collect => format!("c:{}", wake.uid),
            Task::Orphan => format!("o:{}", wake.uid),
            Task::Verify => format!("v:{}", wake.uid),
        })
        .collect();
    all.sort();
    all.dedup();
    all.join(" ")
}

#[test]
fn dependents_of_a_gone_owner_are_looked_at() {
    let mut graph = Graph::default();
    assert_eq!(text(graph.observe(place("a"), &meta("a", &[], None))), "");
    assert_eq!(
        text(graph.observe(place("b"), &meta("b", &["a"], None))),
        ""
    );
    assert_eq!(
        text(graph.observe(place("c"), &meta("c", &["b"], None))),
        ""
    );
    assert_eq!(text(graph.remove("a")), "c:b");
    assert_eq!(text(graph.remove("b")), "c:c");
    assert_eq!(text(graph.remove("c")), "");
    assert!(graph.pending().is_empty());
}

#[test]
fn an_owner_never_seen_is_verified_and_may_appear_later() {
    let mut graph = Graph::default();
    assert_eq!(
        text(graph.observe(place("b"), &meta("b", &["a"], None))),
        "v:a"
    );
    assert_eq!(text(graph.pending()), "v:a");
    assert_eq!(text(graph.observe(place("a"), &meta("a", &[], None))), "");
    assert_eq!(graph.dependents("a").len(), 1);
    assert!(graph.pending().is_empty());
    let mut graph = Graph::default();
    graph.observe(place("b"), &meta("b", &["a"], None));
    assert_eq!(text(graph.remove("a")), "c:b");
}

#[test]
fn a_foreground_deletion_wakes_dependents_and_then_the_owner() {
    let mut graph = Graph::default();
    graph.observe(place("a"), &meta("a", &[], None));
    graph.observe(place("b"), &meta("b", &["a"], None));
    let held = meta("a", &[], Some(FOREGROUND));
    assert_eq!(text(graph.observe(place("a"), &held)), "c:a c:b");
    assert_eq!(text(graph.observe(place("a"), &held)), "");
    // A dependent that comes late is looked at too.
    assert_eq!(
        text(graph.observe(place("c"), &meta("c", &["a"], None))),
        "c:c"
    );
    assert_eq!(text(graph.remove("b")), "c:a");
}

#[test]
fn orphaning_and_changed_owners() {
    let mut graph = Graph::default();
    graph.observe(place("a"), &meta("a", &[], None));
    graph.observe(place("b"), &meta("b", &["a"], None));
    assert_eq!(
        text(graph.observe(place("a"), &meta("a", &[], Some(ORPHAN)))),
        "o:a"
    );
    assert_eq!(text(graph.observe(place("b"), &meta("b", &[], None))), "");
    assert!(graph.dependents("a").is_empty());
    assert_eq!(text(graph.remove("a")), "");
}

#[test]
fn a_reference_that_misses_its_owner_is_looked_at() {
    let mut graph = Graph::default();
    graph.observe(
        Place {
            namespace: "other".into(),
            ..place("a")
        },
        &meta("a", &[], None),
    );
    assert_eq!(
        text(graph.observe(place("b"), &meta("b", &["a"], None))),
        "c:b"
    );
    let mut graph = Graph::default();
    graph.observe(
        Place {
            namespace: String::new(),
            ..place("a")
        },
        &meta("a", &[], None),
    );
    assert_eq!(
        text(graph.observe(place("b"), &meta("b", &["a"], None))),
        ""
    );
}

#[test]
fn dependents_are_kept_while_their_owner_is_out_of_sight() {
    let mut graph = Graph::default();
    graph.observe(place("a"), &meta("a", &[], None));
    graph.observe(place("b"), &meta("b", &["a"], None));
    assert_eq!(text(graph.remove("a")), "c:b");
    assert_eq!(text(graph.pending()), "v:a");
    // Seen again, by another watch.
    assert_eq!(text(graph.observe(place("a"), &meta("a", &[], None))), "");
    assert_eq!(graph.dependents("a").len(), 1);
    let held = meta("a", &[], Some(FOREGROUND));
    assert_eq!(text(graph.observe(place("a"), &held)), "c:a c:b");
    assert_eq!(text(graph.remove("a")), "c:b");
    // Gone for good: who comes to name it is looked at, and who is left keeps being looked at.
    assert_eq!(
        text(graph.observe(place("c"), &meta("c", &["a"], None))),
        "v:a"
    );
    assert_eq!(text(graph.remove("a")), "c:b c:c");
    graph.remove("b");
    graph.remove("c");
    assert!(graph.get("a").is_none(), "nobody names it any more");
}

#[test]
fn a_mistaken_reference_is_looked_at_when_its_owner_appears() {
    let check = |seen: Place| {
        let mut graph = Graph::default();
        graph.observe(place("bad"), &meta("bad", &["a"], None));
        text(graph.observe(seen, &meta("a", &[], None)))
    };
    assert_eq!(check(place("a")), "");
    assert_eq!(check(place("other")), "c:bad");
    let elsewhere = |namespace: &str| Place {
        namespace: namespace.into(),
        ..place("a")
    };
    assert_eq!(check(elsewhere("other")), "c:bad");
    assert_eq!(check(elsewhere("")), "");
    let version = |api_version: &str| Place {
        api_version: api_version.into(),
        ..place("a")
    };
    assert_eq!(check(version("g/v1")), "c:bad");
    assert_eq!(check(version("v2")), "");
}

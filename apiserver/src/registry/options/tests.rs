//! Options as they come in queries and bodies.

use serde_json::json;

use super::{DeleteOptions, ListOptions, Propagation, Version, WATCH_SECONDS_MAX};
use crate::registry::query::Query;

fn list(query: &str) -> Option<Version> {
    ListOptions::for_list(&Query::parse(query))
        .ok()
        .map(|options| options.version)
}

#[test]
fn versions_of_lists() {
    let cases = [
        ("", Some(Version::Newest)),
        ("resourceVersion=0", Some(Version::Any)),
        ("resourceVersion=0&limit=5", Some(Version::Any)),
        ("resourceVersion=7", Some(Version::NotOlderThan(7))),
        ("resourceVersion=7&limit=5", Some(Version::Exact(7))),
        (
            "resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan",
            Some(Version::NotOlderThan(7)),
        ),
        (
            "resourceVersion=7&resourceVersionMatch=Exact",
            Some(Version::Exact(7)),
        ),
        ("resourceVersion=0&resourceVersionMatch=Exact", None),
        ("resourceVersionMatch=Exact", None),
        ("resourceVersion=7&resourceVersionMatch=Sometimes", None),
        ("resourceVersion=x", None),
        ("resourceVersion=7&continue=abc", None),
        ("limit=x", None),
        ("sendInitialEvents=true", None),
    ];
    for (query, expected) in cases {
        assert_eq!(list(query), expected, "{query}");
    }
}

#[test]
fn a_watch_without_end_is_taken_for_a_long_one() {
    let seconds = |text: &str| {
        let query = Query::parse(&format!("timeoutSeconds={text}"));
        ListOptions::for_watch(&query).unwrap().timeout_seconds
    };
    assert_eq!(seconds("9223372036854775807"), Some(WATCH_SECONDS_MAX));
    assert_eq!(seconds("7"), Some(7));
    assert_eq!((seconds("0"), seconds("-1")), (None, None));
}

#[test]
fn initial_events_need_their_match() {
    let watch = |query| ListOptions::for_watch(&Query::parse(query)).is_ok();
    assert!(watch(
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    ));
    assert!(!watch("sendInitialEvents=true"));
    assert!(!watch("sendInitialEvents=true&resourceVersionMatch=Exact"));
    assert!(!watch("resourceVersionMatch=NotOlderThan"));
}

#[test]
fn deletions_from_body_and_query() {
    let body = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"});
    let options = DeleteOptions::parse(Some(&body), &Query::parse("dryRun=All")).unwrap();
    assert_eq!(options.propagation, Some(Propagation::Foreground));
    assert_eq!(
        (
            options.grace_seconds,
            options.uid.as_deref(),
            options.dry_run
        ),
        (Some(0), Some("u"), true)
    );
    let options = DeleteOptions::parse(
        None,
        &Query::parse("gracePeriodSeconds=5&orphanDependents=true"),
    )
    .unwrap();
    assert_eq!(
        (options.grace_seconds, options.propagation),
        (Some(5), Some(Propagation::Orphan))
    );
    assert!(
        DeleteOptions::parse(
            Some(&json!({"propagationPolicy": "Maybe"})),
            &Query::default()
        )
        .is_err()
    );
    assert!(DeleteOptions::parse(None, &Query::parse("dryRun=Some")).is_err());
}

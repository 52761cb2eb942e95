//! The state of a kind: reads, reads of the past, and watches that begin exactly where they should.

use std::sync::Arc;

use bytes::Bytes;

use super::{Cache, Change, TooOld};
use crate::cache::Object;
use crate::cache::fan_out::Interest;
use crate::cache::position::Lane;
use crate::cache::watcher::End;

fn object(key: &str, revision: u64) -> Arc<Object> {
    let json = format!(r#"{{"metadata":{{"name":"{key}"}},"data":"{revision}"}}"#);
    Object::from_stored(key, &Bytes::from(json), revision)
}

fn put(key: &str, revision: u64) -> Vec<Change> {
    vec![Change {
        key: key.into(),
        revision,
        old: None,
        new: Some(object(key, revision)),
    }]
}

fn delete(key: &str, revision: u64) -> Vec<Change> {
    vec![Change {
        key: key.into(),
        revision,
        old: None,
        new: None,
    }]
}

fn state(cache: &super::Snapshot) -> Vec<(String, u64)> {
    cache
        .from("")
        .map(|object| (object.key.to_string(), object.revision))
        .collect()
}

#[test]
fn keys_find_their_kind() {
    let cache = Cache::new([
        "pods",
        "services/specs",
        "services/endpoints",
        "events",
        "leases",
    ]);
    let find = |path| {
        cache
            .split(path)
            .map(|(kind, key)| (kind.prefix().to_owned(), key))
    };
    assert_eq!(find("pods/default/a"), Some(("pods".into(), "default/a")));
    assert_eq!(
        find("services/specs/default/a"),
        Some(("services/specs".into(), "default/a"))
    );
    assert_eq!(find("services/other/a"), None);
    assert_eq!(find("masterleases/10.0.0.1"), None);
    assert_eq!(find("pods"), None);
    let lanes = ["pods", "events", "configmaps"];
    let cache = Cache::new(lanes);
    let lanes = lanes.map(|prefix| cache.kind(prefix).unwrap().lane());
    assert_eq!(lanes, [Lane::Behind, Lane::Events, Lane::Before]);
}

#[test]
fn the_past_is_rebuilt_from_the_ring() {
    let cache = Cache::new(["pods"]);
    let pods = cache.kind("pods").unwrap();
    pods.reset(vec![object("a", 3), object("b", 5)], 10);
    let mut seen = vec![(10, state(&pods.read().0))];
    let changes = [
        put("c", 11),
        put("a", 12),
        delete("b", 14),
        put("b", 15),
        delete("c", 16),
    ];
    for change in changes {
        let revision = change[0].revision;
        pods.publish(change);
        seen.push((revision, state(&pods.read().0)));
    }
    for (revision, state_then) in seen {
        assert_eq!(
            state(&pods.read_at(revision).unwrap()),
            state_then,
            "at {revision}"
        );
    }
    assert_eq!(
        state(&pods.read_at(13).unwrap()),
        state(&pods.read_at(12).unwrap())
    );
    assert!(pods.read_at(9).is_none(), "before the first list");
    assert!(pods.read_at(17).is_none(), "still to come");
}

#[test]
fn a_watch_continues_its_first_answer() {
    let cache = Cache::new(["pods"]);
    let pods = cache.kind("pods").unwrap();
    pods.reset(vec![object("a", 3)], 10);
    pods.publish(put("b", 11));
    let (snapshot, revision, watcher) = pods.watch_now(Interest::All);
    assert_eq!((snapshot.len(), revision), (2, 11));
    let (since, other) = pods.watch_after(Interest::All, 10).unwrap();
    assert_eq!(
        since.iter().map(|event| event.revision).collect::<Vec<_>>(),
        [11]
    );
    assert_eq!(
        pods.watch_after(Interest::All, 9).unwrap_err(),
        TooOld { oldest: 10 }
    );
    pods.publish(delete("b", 12));
    for watcher in [&watcher, &other] {
        let events = watcher.queue.take().unwrap();
        let event = events.front().unwrap();
        assert_eq!((events.len(), event.revision), (1, 12));
        assert_eq!(event.old.as_ref().unwrap().key.as_ref(), "b");
    }
    pods.reset(vec![], 20);
    assert_eq!(watcher.queue.take().unwrap_err(), End::Reset);
    drop((watcher, other));
    assert_eq!(pods.watchers(), 0);
}

#[test]
fn a_resumed_watch_gets_only_what_it_is_interested_in() {
    let cache = Cache::new(["pods"]);
    let pods = cache.kind("pods").unwrap();
    pods.reset(vec![], 10);
    for (revision, key) in [(11, "a/x"), (12, "b/x"), (13, "ab/x"), (14, "a/y")] {
        pods.publish(put(key, revision));
    }
    let since = |interest| {
        let (events, _) = pods.watch_after(interest, 10).unwrap();
        let revisions = events.iter().map(|event| event.revision);
        revisions.collect::<Vec<_>>()
    };
    assert_eq!(since(Interest::All), [11, 12, 13, 14]);
    assert_eq!(since(Interest::Namespace("a".into())), [11, 14]);
    assert_eq!(since(Interest::Key("b/x".into())), [12]);
    assert!(since(Interest::Node("n".into())).is_empty());
}

//! The hash of the history against values recorded from etcd 3.7.3 for the same requests.

use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{DeleteRangeRequest, RequestOp, TxnRequest};

use super::{MachineOptions, Store, mem_options, put, text};

/// `hash compact_revision hash_revision`, as etcdctl prints them.
fn check(store: &Store, revision: i64, expected: (u32, i64, i64)) {
    let (hash, _) = store.view.hash_kv(revision).unwrap();
    let hash = (hash.hash, hash.compact_revision, hash.hash_revision);
    assert_eq!(hash, expected, "at {revision}");
}

/// The same of a compaction, or none where none is kept.
fn check_compaction(store: &Store, revision: i64, expected: Option<(u32, i64, i64)>) {
    let kept = store.view.compaction_hash(revision).unwrap();
    let hash = kept.map(|(hash, _)| (hash.hash, hash.compact_revision, hash.hash_revision));
    assert_eq!(hash, expected, "of {revision}");
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn story(mut store: Store) {
    check(&store, 0, (1084519789, -1, 1));
    store.set("a", "1");
    store.set("b", "2");
    store.set("a", "3");
    let delete = DeleteRangeRequest {
        key: text("b"),
        ..Default::default()
    };
    let success = vec![
        op(Request::RequestPut(put("c", "4"))),
        op(Request::RequestPut(put("d", "5"))),
        op(Request::RequestDeleteRange(delete)),
    ];
    store
        .txn(TxnRequest {
            success,
            ..Default::default()
        })
        .unwrap();
    store.delete("c", "d");
    store.set("a", "7");
    check(&store, 0, (4198661213, -1, 7));
    check(&store, 4, (2069675932, -1, 4));
    store.compact(5).unwrap();
    // The same before and after the rows are gone.
    check(&store, 0, (2441344249, 5, 7));
    store.collect(5);
    check(&store, 0, (2441344249, 5, 7));
    check(&store, 6, (3336103744, 5, 6));
    check_compaction(&store, 5, Some((1421323504, -1, 5)));
    store.compact(6).unwrap();
    store.collect(6);
    check_compaction(&store, 6, Some((3336103744, 5, 6)));
    check_compaction(&store, 5, None);
    check(&store, 0, (2337008609, 6, 7));
    // No key is left: then etcd leaves nothing out that is there.
    store.delete("a", "e");
    check(&store, 0, (415381366, 6, 8));
    store.set("z", "1");
    check(&store, 0, (1494535071, 6, 9));
    store.delete("z", "");
    store.compact(9).unwrap();
    check(&store, 0, (3794292878, 9, 10));
    store.collect(9);
    check(&store, 0, (3794292878, 9, 10));
    check_compaction(&store, 9, Some((1494535071, 6, 9)));
    store.set("q", "1");
    check(&store, 0, (708117097, 9, 11));
    check_compaction(&store, 9, Some((1494535071, 6, 9)));
    // One after the other, each with its own hash, however fast they come.
    store.compact(10).unwrap();
    store.compact(11).unwrap();
    store.collect(11);
    let (plain, _) = store.view.hash_kv(11).unwrap();
    assert_eq!((plain.compact_revision, plain.hash_revision), (11, 11));
    check_compaction(&store, 11, Some((618645446, 10, 11)));
}

/// What is at revision 0 is less than nothing, and may be compacted once, as etcd lets one.
#[test]
fn a_compaction_at_0_is_taken_and_holds_up_none_after_it() {
    let mut store = Store::new();
    store.compact(0).unwrap();
    store.compact(0).unwrap_err();
    store.compact(-1).unwrap_err();
    store.set("a", "1");
    store.set("a", "2");
    check(&store, 1, (1084519789, 0, 1));
    store.compact(2).unwrap();
    store.compact(3).unwrap();
    store.collect(3);
    assert_eq!(store.view.compact_revision(), 3);
}

#[test]
fn the_same_history_hashes_as_on_etcd() {
    story(Store::with(mem_options()));
    story(Store::with(MachineOptions::default()));
}

/// Nothing is up to a negative revision.
#[test]
fn a_negative_revision_has_the_hash_of_nothing() {
    let mut store = Store::new();
    store.set("a", "1");
    for revision in [-1, -5, i64::MIN] {
        check(&store, revision, (1084519789, -1, revision));
    }
    store.compact(2).unwrap();
    for revision in [-1, i64::MIN] {
        check(&store, revision, (1084519789, 2, revision));
        check_compaction(&store, revision, None);
    }
}

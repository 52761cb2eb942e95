//! Hand-picked requests whose answers etcd's users rely on, most of them traps.

use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::compare::TargetUnion;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::response_op::Response;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AlarmResponse, AlarmType, CompactionResponse, Compare, DeleteRangeRequest,
    DowngradeVersionTestRequest, InternalRaftRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, TxnResponse,
};
use proto_etcd::membershippb::{Attributes, ClusterMemberAttrSetRequest};

use super::{MachineOptions, Store, mem_options, put, text};
use crate::apply::ReadError;
use crate::command::ApplyError;

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn put_op(key: &str, value: &str) -> RequestOp {
    op(Request::RequestPut(put(key, value)))
}

fn get_op(key: &str, revision: i64) -> RequestOp {
    op(Request::RequestRange(RangeRequest {
        key: text(key),
        revision,
        ..Default::default()
    }))
}

fn delete_op(key: &str) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest {
        key: text(key),
        ..Default::default()
    }))
}

fn then(ops: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        success: ops,
        ..Default::default()
    }
}

fn revision(response: &TxnResponse) -> i64 {
    response.header.as_ref().unwrap().revision
}

fn compare(key: &str, end: &str, result: i32, target: i32, union: TargetUnion) -> Compare {
    Compare {
        result,
        target,
        key: text(key),
        range_end: text(end),
        target_union: Some(union),
    }
}

#[test]
fn a_new_store_is_at_revision_one_and_not_compacted() {
    let store = Store::new();
    assert_eq!(
        (store.view.revision(), store.view.compact_revision()),
        (1, -1)
    );
    let response = store.range("a", "");
    assert_eq!((response.count, response.header.unwrap().revision), (0, 1));
}

#[test]
fn a_transaction_is_one_revision_and_nothing_is_none() {
    let mut store = Store::new();
    let both = store
        .txn(then(vec![
            put_op("a", "1"),
            put_op("b", "2"),
            get_op("a", 0),
        ]))
        .unwrap();
    assert_eq!(revision(&both), 2);
    let Some(Response::ResponseRange(own)) = &both.responses[2].response else {
        panic!()
    };
    assert_eq!(
        (own.kvs[0].value.as_ref(), own.kvs[0].mod_revision),
        (&b"1"[..], 2)
    );
    assert_eq!(own.header.as_ref().unwrap().revision, 2);

    let empty = store.txn(then(vec![])).unwrap();
    assert_eq!(revision(&empty), 2);
    let none = store.txn(then(vec![delete_op("nothing")])).unwrap();
    assert_eq!(revision(&none), 2);
    assert_eq!(store.delete("nothing", "").header.unwrap().revision, 2);
    assert_eq!(store.view.revision(), 2);
}

#[test]
fn nested_transactions_share_the_revision_and_compare_before_any_write() {
    let mut store = Store::new();
    let inner = TxnRequest {
        compare: vec![compare("a", "", 0, 0, TargetUnion::Version(0))],
        success: vec![put_op("b", "absent")],
        failure: vec![put_op("b", "present")],
    };
    let response = store
        .txn(then(vec![
            put_op("a", "1"),
            op(Request::RequestTxn(inner)),
            put_op("c", "3"),
        ]))
        .unwrap();
    assert_eq!(revision(&response), 2);
    let Some(Response::ResponseTxn(nested)) = &response.responses[1].response else {
        panic!()
    };
    assert!(nested.succeeded, "the put before it is not seen");
    assert_eq!(
        nested.header.as_ref().unwrap().revision,
        0,
        "as etcd leaves it"
    );
    assert_eq!(store.range("b", "").kvs[0].value.as_ref(), b"absent");
    assert_eq!(store.range("c", "").kvs[0].mod_revision, 2);
}

#[test]
fn an_absent_key_compares_as_zero_and_its_value_never() {
    let mut store = Store::new();
    let mut holds = |compare: Compare| {
        let txn = TxnRequest {
            compare: vec![compare],
            ..Default::default()
        };
        store.txn(txn).unwrap().succeeded
    };
    let equal = 0;
    let not_equal = 3;
    for (target, union) in [
        (0, TargetUnion::Version(0)),
        (1, TargetUnion::CreateRevision(0)),
        (2, TargetUnion::ModRevision(0)),
        (4, TargetUnion::Lease(0)),
    ] {
        assert!(
            holds(compare("a", "", equal, target, union.clone())),
            "{union:?}"
        );
        assert!(
            holds(compare("a", "z", equal, target, union)),
            "a range without keys"
        );
    }
    for result in [equal, not_equal] {
        assert!(!holds(compare(
            "a",
            "",
            result,
            3,
            TargetUnion::Value(text(""))
        )));
    }
    assert!(
        holds(compare("a", "", 77, 0, TargetUnion::Version(5))),
        "unknown results hold"
    );
    assert!(
        holds(compare("a", "", equal, 77, TargetUnion::Version(5))),
        "unknown targets equal"
    );
    assert!(
        holds(compare("a", "", equal, 2, TargetUnion::Version(5))),
        "other kinds count as 0"
    );
}

#[test]
fn a_range_compare_must_hold_for_every_key() {
    let mut store = Store::new();
    store.set("a", "1");
    store.set("b", "1");
    store.set("b", "2");
    let mut holds = |compare: Compare| {
        let txn = TxnRequest {
            compare: vec![compare],
            ..Default::default()
        };
        store.txn(txn).unwrap().succeeded
    };
    assert!(holds(compare("a", "z", 1, 0, TargetUnion::Version(0))));
    assert!(!holds(compare("a", "z", 0, 0, TargetUnion::Version(1))));
    assert!(holds(compare(
        "a",
        "z",
        3,
        3,
        TargetUnion::Value(text("0"))
    )));
    assert!(!holds(compare(
        "a",
        "z",
        0,
        3,
        TargetUnion::Value(text("1"))
    )));
}

#[test]
fn a_range_at_a_bad_revision_fails_the_transaction_before_any_write() {
    let mut store = Store::new();
    for value in ["1", "2", "3"] {
        store.set("a", value);
    }
    store.compact(3).unwrap();
    for (revision, error) in [
        (2, ApplyError::Compacted),
        (-1, ApplyError::Compacted),
        (5, ApplyError::FutureRev),
    ] {
        let txn = then(vec![put_op("b", "x"), get_op("a", revision)]);
        assert_eq!(store.txn(txn), Err(error), "at {revision}");
        assert_eq!((store.view.revision(), store.range("b", "").count), (4, 0));
    }
    let old = store
        .txn(then(vec![put_op("a", "4"), get_op("a", 4)]))
        .unwrap();
    let Some(Response::ResponseRange(seen)) = &old.responses[1].response else {
        panic!()
    };
    assert_eq!(
        seen.kvs[0].value.as_ref(),
        b"3",
        "the revision before, not the write beside it"
    );
}

#[test]
fn a_put_that_keeps_needs_something_to_keep() {
    let mut store = Store::new();
    let keep = PutRequest {
        ignore_value: true,
        ..put("a", "")
    };
    assert_eq!(
        store.put(keep.clone()).unwrap_err(),
        ApplyError::KeyNotFound
    );
    let txn = then(vec![
        put_op("b", "x"),
        op(Request::RequestPut(keep.clone())),
    ]);
    assert_eq!(store.txn(txn).unwrap_err(), ApplyError::KeyNotFound);
    assert_eq!(store.range("b", "").count, 0);

    store.grant(7, 60).unwrap();
    store
        .put(PutRequest {
            lease: 7,
            ..put("a", "1")
        })
        .unwrap();
    store.put(PutRequest { lease: 0, ..keep }).unwrap();
    let kv = store.range("a", "").kvs.remove(0);
    assert_eq!((kv.value.as_ref(), kv.lease, kv.version), (&b"1"[..], 0, 2));
    assert!(
        store.view.lease(7).unwrap().keys.is_empty(),
        "lease 0 detaches"
    );

    store
        .put(PutRequest {
            lease: 7,
            ..put("a", "2")
        })
        .unwrap();
    store
        .put(PutRequest {
            ignore_lease: true,
            prev_kv: true,
            ..put("a", "3")
        })
        .unwrap();
    assert_eq!(store.view.lease(7).unwrap().keys, [text("a")]);
}

#[test]
fn a_lease_goes_with_its_keys_in_one_revision() {
    let mut store = Store::new();
    assert_eq!(store.grant(0, 60), Err(ApplyError::LeaseNotFound));
    assert_eq!(
        store.grant(1, 9_000_000_001),
        Err(ApplyError::LeaseTtlTooLarge)
    );
    store.grant(1, 60).unwrap();
    store.grant(2, 60).unwrap();
    assert_eq!(store.grant(1, 60), Err(ApplyError::LeaseExists));
    let missing = PutRequest {
        lease: 9,
        ..put("a", "")
    };
    assert_eq!(store.put(missing).unwrap_err(), ApplyError::LeaseNotFound);
    for key in ["c", "a", "b"] {
        store
            .put(PutRequest {
                lease: 1,
                ..put(key, "x")
            })
            .unwrap();
    }
    store
        .put(PutRequest {
            lease: 2,
            ..put("b", "y")
        })
        .unwrap();
    store.delete("c", "");
    assert_eq!(store.view.lease(1).unwrap().keys, [text("a")]);
    assert_eq!(store.view.revision(), 6);
    store.revoke(1).unwrap();
    assert_eq!(store.view.revision(), 7);
    assert_eq!(store.range("a", "z").kvs.len(), 1);
    assert_eq!(
        (store.revoke(1), store.view.leases()),
        (Err(ApplyError::LeaseNotFound), vec![2])
    );
    store.grant(3, 60).unwrap();
    store.revoke(3).unwrap();
    assert_eq!(
        store.view.revision(),
        7,
        "a lease without keys makes no revision"
    );
}

#[test]
fn compactions_are_bounded_and_keep_what_is_seen() {
    let mut store = Store::new();
    assert_eq!(store.compact(2), Err(ApplyError::FutureRev));
    store.compact(1).unwrap();
    assert_eq!(store.compact(1), Err(ApplyError::Compacted));
    store.set("a", "1");
    store.set("b", "1");
    store.delete("b", "");
    let answer: CompactionResponse = store
        .ask(&InternalRaftRequest {
            compaction: Some(proto_etcd::etcdserverpb::CompactionRequest {
                revision: 4,
                physical: false,
            }),
            ..Default::default()
        })
        .unwrap();
    assert_eq!(answer.header.unwrap().revision, 4);
    store.collect(4);
    let at = |revision| {
        let request = RangeRequest {
            key: text("a"),
            revision,
            ..Default::default()
        };
        store.view.range(&request)
    };
    assert!(matches!(at(3), Err(ReadError::Compacted)));
    assert_eq!(at(4).unwrap().kvs[0].mod_revision, 2);
    assert!(matches!(at(5), Err(ReadError::FutureRev)));
    let store = store.crash(mem_options());
    assert_eq!(store.view.revision(), 1, "nothing was flushed");
}

#[test]
fn the_revision_stays_when_the_newest_is_compacted_and_restarted() {
    use crate::consensus::StateMachine;
    let mut store = Store::new();
    store.set("a", "1");
    store.delete("a", "");
    store.compact(3).unwrap();
    store.collect(3);
    store.machine.flush().unwrap();
    let mut store = store.crash(mem_options());
    assert_eq!(
        (store.view.revision(), store.view.compact_revision()),
        (3, 3)
    );
    assert_eq!(store.set("a", "2"), 4);
    assert_eq!(store.range("a", "").kvs[0].version, 1);
}

fn alarm(action: AlarmAction, alarm: AlarmType) -> InternalRaftRequest {
    let alarm = AlarmRequest {
        action: action.into(),
        member_id: 8,
        alarm: alarm.into(),
    };
    InternalRaftRequest {
        alarm: Some(alarm),
        ..Default::default()
    }
}

#[test]
fn a_full_store_takes_nothing_more_but_gives() {
    let mut store = Store::new();
    store.set("a", "1");
    store.grant(1, 60).unwrap();
    let raised: AlarmResponse = store
        .ask(&alarm(AlarmAction::Activate, AlarmType::Nospace))
        .unwrap();
    assert_eq!((raised.alarms.len(), store.view.alarms().len()), (1, 1));
    assert_eq!(store.put(put("b", "1")).unwrap_err(), ApplyError::NoSpace);
    assert_eq!(
        store.txn(then(vec![put_op("b", "1")])).unwrap_err(),
        ApplyError::NoSpace
    );
    assert_eq!(store.grant(2, 60), Err(ApplyError::NoSpace));
    store
        .txn(then(vec![get_op("a", 0), delete_op("a")]))
        .unwrap();
    store.compact(3).unwrap();
    store.revoke(1).unwrap();
    let shown: AlarmResponse = store
        .ask(&alarm(AlarmAction::Get, AlarmType::None))
        .unwrap();
    assert_eq!(shown.alarms.len(), 1);
    let cleared: AlarmResponse = store
        .ask(&alarm(AlarmAction::Deactivate, AlarmType::Nospace))
        .unwrap();
    assert_eq!((cleared.alarms.len(), store.view.alarms().len()), (1, 0));
    store.set("b", "1");
}

#[test]
fn a_suspected_corruption_stops_everything_but_alarms() {
    let mut store = Store::new();
    let _: AlarmResponse = store
        .ask(&alarm(AlarmAction::Activate, AlarmType::Corrupt))
        .unwrap();
    assert_eq!(store.put(put("b", "1")).unwrap_err(), ApplyError::Corrupt);
    assert_eq!(store.compact(1), Err(ApplyError::Corrupt));
    assert_eq!(store.revoke(1), Err(ApplyError::Corrupt));
    let _: AlarmResponse = store
        .ask(&alarm(AlarmAction::Deactivate, AlarmType::Corrupt))
        .unwrap();
    store.set("b", "1");
}

#[test]
fn over_the_quota_a_put_is_applied_and_refused() {
    let mut store = Store::with(MachineOptions {
        quota_bytes: Some(600),
        ..mem_options()
    });
    assert!(store.view.has_space(300) && !store.view.has_space(600));
    store.set("a", "1");
    let large = "x".repeat(400);
    assert_eq!(
        store.put(put("b", &large)).unwrap_err(),
        ApplyError::NoSpace
    );
    assert_eq!(
        store.range("b", "").count,
        1,
        "every member has it, whatever its quota"
    );
    store.txn(then(vec![delete_op("b")])).unwrap();
    store.compact(4).unwrap();
    store.collect(4);
    let (_, in_use) = store.view.db_size().unwrap();
    assert!(in_use < 100, "{in_use}");
}

#[test]
fn members_are_remembered_and_forgotten() {
    use crate::consensus::{Committed, LogId, Member, Payload, StateMachine};
    let mut store = Store::new();
    let attributes = Attributes {
        name: "m".into(),
        client_urls: vec!["http://localhost:1".into()],
    };
    for member_id in [3, 4] {
        let cluster_member_attr_set = Some(ClusterMemberAttrSetRequest {
            member_id,
            member_attributes: Some(attributes.clone()),
        });
        store
            .apply(&InternalRaftRequest {
                cluster_member_attr_set,
                ..Default::default()
            })
            .result
            .unwrap();
    }
    assert_eq!(store.view.member_attributes().len(), 2);
    let members = vec![Member {
        id: 4,
        ..Member::default()
    }];
    let payload = Payload::Membership {
        encoded: text("opaque"),
        members,
    };
    let log_id = LogId { term: 1, index: 3 };
    store.machine.apply(Committed { log_id, payload }).unwrap();
    assert_eq!(
        store
            .view
            .member_attributes()
            .into_keys()
            .collect::<Vec<_>>(),
        [4]
    );
    assert_eq!(
        store.machine.applied_state().unwrap().membership,
        Some(text("opaque"))
    );
}

#[test]
fn what_is_not_understood_is_refused_and_counts_as_applied() {
    let mut store = Store::new();
    let request = InternalRaftRequest {
        downgrade_version_test: Some(DowngradeVersionTestRequest::default()),
        ..Default::default()
    };
    assert_eq!(store.apply(&request).result, Err(ApplyError::Unsupported));
    store.log.push(text("\u{7f}"));
    let reply = crate::command::Reply::decode(store.replay()).unwrap();
    assert_eq!(reply.result, Err(ApplyError::Malformed));
    assert_eq!(store.view.applied().index, 2);
}

#[test]
fn a_read_only_transaction_reads_and_a_writing_one_is_refused() {
    let mut store = Store::new();
    store.set("a", "1");
    let response = store.view.txn(&then(vec![get_op("a", 0)])).unwrap();
    assert_eq!(revision(&response), 2);
    let refused = store.view.txn(&then(vec![put_op("a", "2")]));
    assert!(matches!(refused, Err(ReadError::NotReadOnly)));
}

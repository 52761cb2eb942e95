//! The KV service.

use proto_etcd::etcdserverpb::compare::TargetUnion;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::request_op::Request as Op;
use proto_etcd::etcdserverpb::*;

use super::{Session, first, normal};

fn range(key: &'static str, range_end: &'static str) -> RangeRequest {
    RangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..Default::default()
    }
}

fn put(key: &'static str) -> PutRequest {
    PutRequest {
        key: key.into(),
        ..Default::default()
    }
}

fn delete(key: &'static str, range_end: &'static str, prev_kv: bool) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.into(),
        prev_kv,
    }
}

fn then(op: Op) -> TxnRequest {
    TxnRequest {
        success: vec![RequestOp { request: Some(op) }],
        ..Default::default()
    }
}

fn compared(key: &'static str, range_end: &'static str) -> TxnRequest {
    let compare = Compare {
        key: key.into(),
        range_end: range_end.into(),
        target_union: Some(TargetUnion::Version(0)),
        ..Default::default()
    };
    TxnRequest {
        compare: vec![compare],
        ..Default::default()
    }
}

/// Reads and writes of keys.
pub(super) async fn everything(s: &mut Session, who: &str) {
    reads(s, who).await;
    puts(s, who).await;
    txns(s, who).await;
    deletes(s, who).await;
}

async fn reads(s: &mut Session, who: &str) {
    let mut kv = KvClient::new(s.channel.clone());
    for (key, end) in [
        ("a", ""),
        ("a", "c"),
        ("b", "\0"),
        ("c", ""),
        ("m", "\0"),
        ("", ""),
    ] {
        for serializable in [false, true] {
            let request = RangeRequest {
                serializable,
                ..range(key, end)
            };
            let answer = kv.range(s.by(who, request)).await;
            s.note(
                &format!("{who} reads {key:?} {end:?} {serializable}"),
                normal(answer),
            );
        }
    }
    let stream = kv.range_stream(s.by(who, range("a", "d"))).await;
    s.note(&format!("{who} streams"), normal(first(stream).await));
}

async fn puts(s: &mut Session, who: &str) {
    let mut kv = KvClient::new(s.channel.clone());
    let puts = [
        put("b"),
        put("a"),
        PutRequest {
            prev_kv: true,
            ..put("b")
        },
        PutRequest {
            prev_kv: true,
            ..put("c")
        },
        PutRequest {
            lease: 7,
            ..put("b")
        },
        PutRequest {
            lease: 8,
            ..put("b")
        },
        PutRequest {
            lease: 999,
            ..put("b")
        },
        put("n"),
        put(""),
    ];
    for request in puts {
        let answer = kv.put(s.by(who, request.clone())).await;
        s.note(&format!("{who} puts {request:?}"), normal(answer));
    }
}

async fn txns(s: &mut Session, who: &str) {
    let mut kv = KvClient::new(s.channel.clone());
    let txns = [
        then(Op::RequestRange(range("a", ""))),
        then(Op::RequestRange(range("c", ""))),
        then(Op::RequestPut(put("c"))),
        then(Op::RequestPut(PutRequest {
            lease: 8,
            ..put("b")
        })),
        then(Op::RequestPut(PutRequest {
            prev_kv: true,
            ..put("c")
        })),
        then(Op::RequestDeleteRange(delete("c", "d", true))),
        then(Op::RequestTxn(then(Op::RequestRange(range("c", ""))))),
        then(Op::RequestTxn(then(Op::RequestPut(put("a"))))),
        then(Op::RequestTxn(compared("b", "\0"))),
        compared("a", "c"),
        compared("b", "\0"),
    ];
    for request in txns {
        let answer = kv.txn(s.by(who, request.clone())).await;
        s.note(&format!("{who} does {request:?}"), normal(answer));
    }
}

async fn deletes(s: &mut Session, who: &str) {
    let mut kv = KvClient::new(s.channel.clone());
    for (key, end, prev_kv) in [("c", "d", false), ("c", "d", true), ("b", "\0", false)] {
        let answer = kv.delete_range(s.by(who, delete(key, end, prev_kv))).await;
        s.note(
            &format!("{who} deletes {key:?} {end:?} {prev_kv}"),
            normal(answer),
        );
    }
    let compaction = CompactionRequest {
        revision: 2,
        physical: false,
    };
    let answer = kv.compact(s.by(who, compaction)).await;
    s.note(&format!("{who} compacts"), normal(answer));
}

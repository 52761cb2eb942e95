//! The same requests to the real etcd 3.5 and to ours: the same answers, headers' ids apart. Only
//! requests whose answers are the same in etcd 3.5 and 3.7 are in the list.

use proto_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::*;

use super::harness::{Cluster, connect};
use super::real::{RealEtcd, normal};

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    }
}

fn get(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        ..Default::default()
    }
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: key.to_owned().into(),
        range_end: range_end.to_owned().into(),
        prev_kv: true,
    }
}

fn op(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}

fn compare(key: &str, target: TargetUnion, result: CompareResult) -> Compare {
    let kind = match target {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    let range_end = bytes::Bytes::new();
    Compare {
        key: key.to_owned().into(),
        result: result as i32,
        target: kind as i32,
        target_union: Some(target),
        range_end,
    }
}

/// Runs the list; one line for each answer.
async fn transcript(endpoint: &str) -> Vec<String> {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone());
    let mut lines = Vec::new();
    for request in puts() {
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.put(request.clone()).await)
        ));
    }
    for request in ranges() {
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.range(request.clone()).await)
        ));
    }
    for request in txns().into_iter().chain(refused_txns()) {
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.txn(request.clone()).await)
        ));
    }
    let ends = [
        ("dir/1", ""),
        ("dir/", "dir0"),
        ("nothing", ""),
        ("", ""),
        ("c", "\0"),
    ];
    for request in ends.map(|(key, range_end)| delete(key, range_end)) {
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.delete_range(request.clone()).await)
        ));
    }
    for (revision, physical) in [
        (5, true),
        (5, false),
        (3, false),
        (10_000, false),
        (9, true),
    ] {
        let request = CompactionRequest { revision, physical };
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.compact(request).await)
        ));
    }
    for request in [
        at(4, get("a", "")),
        at(9, get("", "")),
        at(9, get("\0", "\0")),
    ] {
        lines.push(format!(
            "{request:?} => {}",
            normal(kv.range(request.clone()).await)
        ));
    }
    let mut maintenance = MaintenanceClient::new(channel);
    for revision in [0, 9, 10, 4, 10_000] {
        // Later releases say more of a hash than 3.5 does.
        let answer = maintenance.hash_kv(HashKvRequest { revision }).await;
        let answer = answer.map(|answer| tonic::Response::new(answer.into_inner().hash));
        lines.push(format!("hash {revision} => {}", normal(answer)));
    }
    lines
}

fn at(revision: i64, request: RangeRequest) -> RangeRequest {
    RangeRequest {
        revision,
        ..request
    }
}

fn puts() -> Vec<PutRequest> {
    vec![
        put("a", "1"),
        put("b", "2"),
        PutRequest {
            prev_kv: true,
            ..put("a", "3")
        },
        PutRequest {
            ignore_value: true,
            ..put("a", "")
        },
        PutRequest {
            ignore_value: true,
            ..put("a", "x")
        },
        PutRequest {
            ignore_lease: true,
            lease: 1,
            ..put("a", "x")
        },
        PutRequest {
            ignore_lease: true,
            ..put("missing", "x")
        },
        PutRequest {
            lease: 99,
            ..put("a", "x")
        },
        put("", "x"),
        put("dir/1", "z"),
        put("dir/2", "y"),
        put("dir/3", "x"),
    ]
}

fn ranges() -> Vec<RangeRequest> {
    let all = get("\0", "\0");
    let mut requests = vec![
        get("a", ""),
        get("missing", ""),
        get("", ""),
        get("dir/", "dir0"),
        get("b", "a"),
        get("b", "\0"),
        all.clone(),
        RangeRequest {
            limit: 2,
            ..all.clone()
        },
        RangeRequest {
            count_only: true,
            ..all.clone()
        },
        RangeRequest {
            serializable: true,
            ..get("a", "")
        },
        RangeRequest {
            revision: 2,
            ..all.clone()
        },
        RangeRequest {
            revision: 100,
            ..all.clone()
        },
        RangeRequest {
            min_mod_revision: 3,
            max_mod_revision: 5,
            ..all.clone()
        },
        RangeRequest {
            min_create_revision: 6,
            limit: 1,
            ..all.clone()
        },
    ];
    for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
        for target in [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ] {
            let (sort_order, sort_target) = (order as i32, target as i32);
            requests.push(RangeRequest {
                sort_order,
                sort_target,
                limit: 3,
                ..all.clone()
            });
        }
    }
    requests
}

fn when(compare: Vec<Compare>, success: Vec<RequestOp>, failure: Vec<RequestOp>) -> TxnRequest {
    TxnRequest {
        compare,
        success,
        failure,
    }
}

fn puts_of(pairs: &[(&str, &str)]) -> Vec<RequestOp> {
    pairs
        .iter()
        .map(|(key, value)| op(Request::RequestPut(put(key, value))))
        .collect()
}

fn reads() -> Vec<RequestOp> {
    ["a", "missing"]
        .into_iter()
        .map(|key| op(Request::RequestRange(get(key, ""))))
        .collect()
}

fn txns() -> Vec<TxnRequest> {
    use CompareResult::{Equal, Greater, NotEqual};
    let value = |value: &'static str| TargetUnion::Value(value.into());
    let exists = vec![compare("a", TargetUnion::Version(0), Greater)];
    let nested = when(exists, puts_of(&[("n", "1")]), puts_of(&[("n", "2")]));
    let is_three = || vec![compare("a", value("3"), Equal)];
    let is_absent = vec![compare("missing", TargetUnion::ModRevision(0), Equal)];
    let has_value = vec![compare("missing", value(""), NotEqual)];
    let has_no_lease = vec![compare("missing", TargetUnion::Lease(0), Equal)];
    let read_n = op(Request::RequestRange(get("n", "")));
    vec![
        when(vec![], vec![], vec![]),
        when(vec![], reads(), vec![]),
        when(is_three(), puts_of(&[("a", "4"), ("c", "5")]), reads()),
        when(is_three(), puts_of(&[("a", "5")]), reads()),
        when(is_absent, puts_of(&[("m", "1")]), vec![]),
        when(has_value, puts_of(&[("m", "2")]), vec![]),
        when(
            has_no_lease,
            vec![op(Request::RequestDeleteRange(delete("m", "")))],
            vec![],
        ),
        when(
            vec![],
            vec![op(Request::RequestTxn(nested)), read_n],
            vec![],
        ),
    ]
}

fn refused_txns() -> Vec<TxnRequest> {
    let delete_all = op(Request::RequestDeleteRange(delete("a", "z")));
    let read_future = op(Request::RequestRange(at(1_000, get("a", ""))));
    let put_c = || op(Request::RequestPut(put("c", "1")));
    let keep = op(Request::RequestPut(PutRequest {
        ignore_value: true,
        ..put("missing", "")
    }));
    let many: Vec<RequestOp> = (0..129)
        .map(|n| op(Request::RequestPut(put(&format!("k{n}"), ""))))
        .collect();
    let no_key = compare("", TargetUnion::Version(0), CompareResult::Equal);
    vec![
        when(vec![], puts_of(&[("a", "1"), ("a", "2")]), vec![]),
        when(vec![], vec![delete_all, put_c()], vec![]),
        when(vec![], vec![RequestOp { request: None }], vec![]),
        when(vec![], vec![read_future, put_c()], vec![]),
        when(vec![no_key], vec![], vec![]),
        when(vec![], many, vec![]),
        when(vec![], vec![keep], vec![]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_real_etcd() {
    let real = RealEtcd::start().await;
    let ours = Cluster::start(1).await;
    let (theirs, ours) = (
        transcript(&real.endpoint).await,
        transcript(&ours.endpoint(0)).await,
    );
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
    assert!(theirs.len() > 60);
}

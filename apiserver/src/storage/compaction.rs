//! Forgets old revisions of the store every few minutes.
//!
//! The replicas agree through one key, `compact_rev_key`, as upstream's do: whoever moves its
//! version on compacts to the revision that the key held an interval ago; the others only learn.
//! It must never compact a revision younger than one interval, or watches would be cut off.

use std::time::Duration;

use bytes::Bytes;
use proto_etcd::etcdserverpb::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};
use tokio_util::sync::CancellationToken;

use super::{Error, Etcd};

/// The key that the replicas share. It lies outside the registry on purpose.
const KEY: &[u8] = b"compact_rev_key";

/// What one replica knows between rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The key's version at the last round.
    version: i64,
    /// The store's revision at the last round.
    revision: i64,
}

/// Compacts until stopped. Failures are logged and the next round tries again.
pub async fn run(etcd: Etcd, interval: Duration, stop: CancellationToken) {
    let mut known = Known::default();
    loop {
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        match round(&etcd, known).await {
            Ok(next) => known = next,
            Err(error) => {
                tracing::warn!(error = %base::report(&error), "compaction of the store failed");
            }
        }
    }
}

async fn round(etcd: &Etcd, known: Known) -> Result<Known, Error> {
    let answer = etcd.txn(request(known)).await?;
    let revision = answer
        .header
        .as_ref()
        .ok_or(Error::Protocol("no header"))?
        .revision;
    if !answer.succeeded {
        let version = version_of(&answer).ok_or(Error::Protocol("no compaction key"))?;
        return Ok(Known { version, revision });
    }
    let next = Known {
        version: known.version + 1,
        revision,
    };
    // The very first round only records where the store stands.
    if known.revision > 0 {
        match etcd.compact(known.revision).await {
            Ok(()) => tracing::info!(revision = known.revision, "compacted the store"),
            // Someone with other settings was faster: nothing is lost.
            Err(Error::Compacted) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(next)
}

fn request(known: Known) -> TxnRequest {
    let key = Bytes::from_static(KEY);
    let put = PutRequest {
        key: key.clone(),
        value: Bytes::from(known.revision.to_string()),
        ..PutRequest::default()
    };
    let range = RangeRequest {
        key: key.clone(),
        ..RangeRequest::default()
    };
    TxnRequest {
        compare: vec![Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Version.into(),
            key,
            target_union: Some(TargetUnion::Version(known.version)),
            range_end: Bytes::new(),
        }],
        success: vec![RequestOp {
            request: Some(Request::RequestPut(put)),
        }],
        failure: vec![RequestOp {
            request: Some(Request::RequestRange(range)),
        }],
    }
}

fn version_of(answer: &TxnResponse) -> Option<i64> {
    match &answer.responses.first()?.response {
        Some(Response::ResponseRange(range)) => Some(range.kvs.first()?.version),
        _ => None,
    }
}

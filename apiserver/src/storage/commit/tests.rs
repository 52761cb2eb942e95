//! What is made of answers that came late, twice or never. The network is played by the test.

use bytes::Bytes;
use proto_etcd::etcdserverpb::{
    RangeResponse, ResponseHeader, ResponseOp, TxnResponse, response_op::Response,
};
use proto_etcd::mvccpb::KeyValue;

use super::{Attempt, Guarded, Next, Outcome, Step, TRIES_MAX};
use crate::storage::Error;

type Found = Option<(&'static str, i64)>;

fn put(expected: i64) -> Guarded {
    Guarded {
        key: Bytes::from_static(b"k"),
        expected,
        step: Step::Put {
            value: Bytes::from_static(b"ours"),
            lease: 0,
        },
    }
}

fn delete(expected: i64) -> Guarded {
    Guarded {
        step: Step::Delete,
        ..put(expected)
    }
}

fn keys(found: &[Found]) -> Vec<Option<KeyValue>> {
    let kv = |(value, mod_revision): (&'static str, i64)| KeyValue {
        key: Bytes::from_static(b"k"),
        value: Bytes::from_static(value.as_bytes()),
        mod_revision,
        ..KeyValue::default()
    };
    found.iter().map(|found| found.map(kv)).collect()
}

fn committed(revision: i64) -> Result<TxnResponse, Error> {
    let header = ResponseHeader {
        revision,
        ..ResponseHeader::default()
    };
    Ok(TxnResponse {
        header: Some(header),
        succeeded: true,
        responses: Vec::new(),
    })
}

fn conflict(found: &[Found]) -> Result<TxnResponse, Error> {
    let answer = |kv: Option<KeyValue>| ResponseOp {
        response: Some(Response::ResponseRange(RangeResponse {
            kvs: kv.into_iter().collect(),
            ..RangeResponse::default()
        })),
    };
    Ok(TxnResponse {
        header: Some(ResponseHeader::default()),
        succeeded: false,
        responses: keys(found).into_iter().map(answer).collect(),
    })
}

/// The outcome in a word, or what is to be done next.
fn word(attempt: &Attempt<'_>, outcome: Option<Result<Outcome, Error>>) -> String {
    match outcome {
        None => format!("{:?}", attempt.next),
        Some(Ok(Outcome::Committed(revision))) => format!("Committed {revision}"),
        Some(Ok(Outcome::Conflict(_))) => "Conflict".to_owned(),
        Some(Err(error)) => format!("{error:?}"),
    }
}

/// A transaction whose first try is lost: what its keys say then, what the second try is told, and
/// what comes of it.
fn lost_first(writes: &[Guarded], seen: &[Found], second: Result<TxnResponse, Error>) -> String {
    let mut attempt = Attempt::new(writes);
    assert_eq!(attempt.next, Next::Send);
    let outcome = attempt.sent(Err(Error::Unknown));
    assert_eq!(word(&attempt, outcome), "Look");
    let outcome = attempt.looked(Ok(keys(seen)));
    assert_eq!(word(&attempt, outcome), "Send");
    let outcome = attempt.sent(second);
    word(&attempt, outcome)
}

fn lost(writes: &[Guarded], seen: Result<Vec<Option<KeyValue>>, Error>) -> String {
    let mut attempt = Attempt::new(writes);
    attempt.sent(Err(Error::Unknown));
    let outcome = attempt.looked(seen);
    word(&attempt, outcome)
}

#[test]
fn a_clear_answer_is_handed_on() {
    let writes = [put(7)];
    let first = |answer| {
        let mut attempt = Attempt::new(&writes);
        let outcome = attempt.sent(answer);
        word(&attempt, outcome)
    };
    assert_eq!(first(committed(9)), "Committed 9");
    assert_eq!(first(conflict(&[Some(("ours", 8))])), "Conflict");
    assert_eq!(first(Err(Error::NoSpace)), "NoSpace");
}

#[test]
fn a_late_first_try_of_a_creation_is_found_by_its_bytes() {
    let writes = [put(0)];
    assert_eq!(lost_first(&writes, &[None], committed(9)), "Committed 9");
    // The first try arrives between the look and the second try, which then finds its own bytes.
    let ours = conflict(&[Some(("ours", 8))]);
    assert_eq!(lost_first(&writes, &[None], ours), "Committed 8");
    // Whether the other one took the place of ours, or was there before it, is not known.
    let others = conflict(&[Some(("other", 8))]);
    assert_eq!(lost_first(&writes, &[None], others), "Unknown");
    assert_eq!(lost(&writes, Ok(keys(&[Some(("ours", 8))]))), "Committed 8");
    assert_eq!(lost(&writes, Ok(keys(&[Some(("other", 8))]))), "Unknown");
}

#[test]
fn a_late_first_try_of_an_update_is_never_told_as_a_conflict() {
    let before = [Some(("before", 7))];
    for value in ["ours", "other"] {
        // Another writer can have written the same bytes, so they prove nothing.
        let now = conflict(&[Some((value, 8))]);
        assert_eq!(lost_first(&[put(7)], &before, now), "Unknown");
        let now = keys(&[Some((value, 8))]);
        assert_eq!(lost(&[put(7)], Ok(now)), "Unknown");
    }
    assert_eq!(
        lost_first(&[delete(7)], &before, conflict(&[None])),
        "Unknown"
    );
}

#[test]
fn a_later_failure_does_not_hide_an_earlier_doubt() {
    let seen = [Some(("before", 7))];
    for error in [Error::Unavailable(None), Error::NoSpace, Error::TooLarge] {
        assert_eq!(lost_first(&[put(7)], &seen, Err(error)), "Unknown");
    }
    assert_eq!(lost(&[put(7)], Err(Error::Unavailable(None))), "Unknown");
    assert_eq!(lost(&[put(7)], Err(Error::Protocol("odd"))), "Unknown");
}

#[test]
fn what_goes_with_a_created_object_is_settled_by_the_object() {
    // The second key is shared, and others write the same bytes to it.
    let shared = |expected| Guarded {
        key: Bytes::from_static(b"shared"),
        ..put(expected)
    };
    let created = [put(0), shared(5)];
    let seen = keys(&[Some(("ours", 8)), Some(("ours", 8))]);
    assert_eq!(lost(&created, Ok(seen)), "Committed 8");
    let created = [put(0), shared(0)];
    let seen = keys(&[None, Some(("ours", 8))]);
    assert_eq!(lost(&created, Ok(seen)), "Unknown");
}

#[test]
fn tries_end() {
    let writes = [put(7)];
    let mut attempt = Attempt::new(&writes);
    let untouched = || Ok(keys(&[Some(("before", 7))]));
    for _ in 1..TRIES_MAX {
        assert!(attempt.sent(Err(Error::Unknown)).is_none());
        assert!(attempt.looked(untouched()).is_none());
        assert_eq!(attempt.next, Next::Send);
    }
    attempt.sent(Err(Error::Unknown));
    let outcome = attempt.looked(untouched());
    assert_eq!(word(&attempt, outcome), "Unknown");
}

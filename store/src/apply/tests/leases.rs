//! Leases as they are replicated, and what the leader's clocks are told of them.

use proto_etcd::etcdserverpb::{InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest};

use super::{Store, mem_options};
use crate::lease::news::Change;

#[test]
fn a_checkpoint_keeps_what_is_left_and_passes_over_what_is_gone() {
    let mut store = Store::new();
    store.grant(1, 60).unwrap();
    let point = |id, remaining_ttl| LeaseCheckpoint { id, remaining_ttl };
    let lease_checkpoint = Some(LeaseCheckpointRequest {
        checkpoints: vec![point(1, 17), point(2, 5)],
    });
    store
        .apply(&InternalRaftRequest {
            lease_checkpoint,
            ..Default::default()
        })
        .result
        .unwrap();
    assert_eq!(store.view.follow_leases(), [(1, 60, 17)]);
    let mut store = store.crash(mem_options());
    store.catch_up();
    assert_eq!(store.view.follow_leases(), [(1, 60, 17)]);
}

#[test]
fn a_lease_that_is_granted_again_is_another_one() {
    let mut store = Store::new();
    store.grant(1, 60).unwrap();
    assert_eq!(store.view.lease_news(), None, "nobody has asked yet");
    assert_eq!(store.view.follow_leases(), [(1, 60, 0)]);
    store.revoke(1).unwrap();
    store.grant(1, 30).unwrap();
    store.grant(1, 30).unwrap_err();
    let (gone, granted) = (Change::Gone(1), Change::Granted { id: 1, ttl_s: 30 });
    assert_eq!(store.view.lease_news(), Some(vec![gone, granted]));
    assert_eq!(store.view.lease_news(), Some(vec![]));
    store.view.unfollow_leases();
    store.revoke(1).unwrap();
    assert_eq!(store.view.lease_news(), None);
}

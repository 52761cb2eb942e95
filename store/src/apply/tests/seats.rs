//! Who belongs to the cluster, and who has left it.

use super::{Store, mem_options, text};
use crate::consensus::{Committed, LogId, Member, Payload, Roster, StateMachine};

#[test]
fn who_left_the_cluster_is_remembered_for_ever() {
    let mut store = Store::new();
    let mut index = 0;
    let mut seat = |store: &mut Store, ids: &[u64]| {
        index += 1;
        let member = |id: &u64| Member {
            id: *id,
            ..Member::default()
        };
        let payload = Payload::Membership {
            encoded: text("opaque"),
            members: ids.iter().map(member).collect(),
        };
        let log_id = LogId { term: 1, index };
        store.machine.apply(Committed { log_id, payload }).unwrap();
    };
    let removed =
        |store: &Store| -> Vec<u64> { (1..=4).filter(|id| store.view.is_removed(*id)).collect() };
    // Who joins later has not left before.
    seat(&mut store, &[1, 2]);
    seat(&mut store, &[1, 2, 3]);
    assert_eq!(removed(&store), [0; 0]);
    seat(&mut store, &[1, 3]);
    assert_eq!(removed(&store), [2]);
    seat(&mut store, &[3, 4]);
    assert_eq!(removed(&store), [1, 2]);
    // An empty list says nothing about anybody.
    seat(&mut store, &[]);
    assert_eq!(removed(&store), [1, 2]);
    store.machine.flush().unwrap();
    let store = store.crash(mem_options());
    assert_eq!(removed(&store), [1, 2]);
}

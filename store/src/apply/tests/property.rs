//! Random histories on the machine and on the model: every answer equal, and every state as seen
//! from every revision that is left, also after crashes, replays and collections.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proto_etcd::etcdserverpb::{InternalRaftRequest, RangeRequest};

use super::model::{self, Step};
use super::reference::Model;
use super::{MachineOptions, Store, mem_options};
use crate::apply::ReadError;
use crate::apply::memory::Memory;
use crate::command::ApplyError;

fn read_error(error: &ReadError) -> ApplyError {
    match error {
        ReadError::Compacted => ApplyError::Compacted,
        ReadError::FutureRev => ApplyError::FutureRev,
        other => panic!("{other}"),
    }
}

fn same_range(store: &Store, model: &Model, request: RangeRequest) {
    let ours = store
        .view
        .range(&request)
        .map_err(|error| read_error(&error));
    assert_eq!(ours, model.range(&request), "{request:?}");
}

/// Every state that can still be read, and what the memory holds beside it.
fn same_state(store: &Store, model: &Model) {
    assert_eq!(store.view.revision(), model.revision());
    assert_eq!(store.view.compact_revision(), model.compacted);
    assert_eq!(store.view.key_count(), model.now().len());
    for revision in 1..=model.revision() + 1 {
        let all = RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            revision,
            ..Default::default()
        };
        same_range(store, model, all);
    }
    let leases: Vec<_> = model.leases.keys().copied().collect();
    assert_eq!(store.view.leases(), leases);
    for id in leases {
        let lease = store.view.lease(id).unwrap();
        assert_eq!(
            (lease.granted_ttl, lease.keys),
            (model.leases[&id], model.keys_of(id))
        );
    }
}

/// What a start would read from the rows equals what applying them left.
fn same_when_rebuilt(store: &Store) {
    let collected = store.view.compact_revision();
    store.collect(collected);
    let generation = store.machine.generation();
    let rebuilt = Memory::load(generation).unwrap();
    let memory = store.machine.shared.memory.read();
    assert!(
        rebuilt.index == memory.index,
        "the index differs when rebuilt"
    );
    assert_eq!((rebuilt.head, rebuilt.gc), (memory.head, memory.gc));
    assert_eq!(rebuilt.leases, memory.leases);
    assert_eq!(rebuilt.applied, memory.applied);
    let rows = row_bytes(&memory);
    assert_eq!(
        memory.bytes_in_use(),
        rows,
        "the bytes in use are those of the rows"
    );
}

fn row_bytes(memory: &Memory) -> i64 {
    use crate::engine::{Family, Span};
    let mut bytes = 0;
    for family in [Family::Rev, Family::Key] {
        super::super::memory::each_row(
            memory.generation.engine(),
            family,
            Span::ALL,
            |key, value| {
                bytes += i64::try_from(key.len() + value.len()).unwrap();
                Ok(())
            },
        )
        .unwrap();
    }
    bytes
}

fn run(options: &MachineOptions, steps: Vec<Step>, ranges: Vec<RangeRequest>) {
    let mut store = Store::with(options.clone());
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Put(put) => assert_eq!(store.put(put.clone()), model.put(&put), "{put:?}"),
            Step::Delete(delete) => {
                let request = InternalRaftRequest {
                    delete_range: Some(delete.clone()),
                    ..Default::default()
                };
                assert_eq!(store.ask(&request), Ok(model.delete(&delete)), "{delete:?}");
            }
            Step::Txn(txn) => {
                let txn = model::settle_txn(txn, model.revision());
                assert_eq!(store.txn(txn.clone()), model.txn(&txn), "{txn:?}");
            }
            Step::Compact(back) => {
                let revision = model.revision() - back;
                assert_eq!(
                    store.compact(revision),
                    model.compact(revision),
                    "{revision}"
                );
            }
            Step::Grant(id) => assert_eq!(store.grant(id, 60), model.grant(id, 60)),
            Step::Revoke(id) => assert_eq!(store.revoke(id), model.revoke(id)),
            Step::Flush => {
                use crate::consensus::StateMachine;
                store.machine.flush().unwrap();
            }
            Step::Crash => {
                store = store.crash(options.clone());
                store.catch_up();
            }
            Step::Collect => store.collect(model.compacted),
        }
        assert_eq!(store.view.revision(), model.revision());
    }
    same_state(&store, &model);
    for range in ranges {
        same_range(&store, &model, model::settle(range, model.revision()));
    }
    same_when_rebuilt(&store);
    same_state(&store, &model);
    let mut store = store.crash(options.clone());
    store.catch_up();
    same_state(&store, &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_history_equals_the_model(
        steps in vec(model::step(), 1..40), ranges in vec(model::range(), 0..24),
    ) {
        run(&mem_options(), steps, ranges);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_history_on_rocks_equals_the_model(
        steps in vec(model::step(), 1..40), ranges in vec(model::range(), 0..24),
    ) {
        run(&MachineOptions::default(), steps, ranges);
    }
}

//! Crashes, snapshots and bad folders: exactly once, all or nothing, or a clear refusal.

use std::path::PathBuf;

use proto_etcd::etcdserverpb::RangeRequest;

use super::{MachineOptions, Store, mem_options, put, text};
use crate::apply::Machine;
use crate::consensus::{Committed, LogId, Payload, StateMachine};

fn both() -> [MachineOptions; 2] {
    [mem_options(), MachineOptions::default()]
}

fn fill(store: &mut Store) {
    store.grant(1, 60).unwrap();
    for round in 0..20 {
        store.set("a", &format!("value {round}"));
        store.set(&format!("k{round}"), "x");
        store
            .put(proto_etcd::etcdserverpb::PutRequest {
                lease: 1,
                ..put("leased", "y")
            })
            .unwrap();
    }
    store.delete("k1", "k2");
    store.compact(30).unwrap();
}

fn everything(store: &Store) -> (i64, i64, u32, Vec<i64>, Vec<proto_etcd::mvccpb::KeyValue>) {
    let (hash, revision) = store.view.hash_kv(0).unwrap();
    let kvs = store.range("\0", "\0").kvs;
    (
        revision,
        hash.compact_revision,
        hash.hash,
        store.view.leases(),
        kvs,
    )
}

#[test]
fn what_was_not_flushed_is_applied_again_to_the_same_state() {
    for options in both() {
        let mut store = Store::with(options.clone());
        fill(&mut store);
        store.machine.flush().unwrap();
        let flushed = store.index;
        fill_more(&mut store);
        let before = everything(&store);
        let mut store = store.crash(options);
        assert_eq!(store.index, flushed);
        store.catch_up();
        assert_eq!(everything(&store), before);
    }
}

fn fill_more(store: &mut Store) {
    for round in 0..10 {
        store.set("b", &format!("more {round}"));
    }
    store.revoke(1).unwrap();
    store.compact(60).unwrap();
}

#[test]
fn an_entry_is_applied_once_and_none_is_passed_over() {
    let mut store = Store::new();
    store.set("a", "1");
    store.set("a", "2");
    for index in [1, 2, 4] {
        let log_id = LogId { term: 1, index };
        let entry = Committed {
            log_id,
            payload: Payload::Blank,
        };
        assert!(store.machine.apply(entry).is_err(), "index {index} after 2");
    }
    assert_eq!(store.view.applied().index, 2);
}

#[test]
fn a_blank_entry_moves_the_applied_index_alone() {
    for options in both() {
        let mut store = Store::with(options.clone());
        let log_id = LogId { term: 3, index: 1 };
        store
            .machine
            .apply(Committed {
                log_id,
                payload: Payload::Blank,
            })
            .unwrap();
        assert_eq!(store.machine.flush().unwrap(), Some(log_id));
        let mut store = store.crash(options);
        assert_eq!(store.machine.applied_state().unwrap().log_id, Some(log_id));
        assert_eq!(store.view.revision(), 1);
    }
}

fn copy_of(store: &mut Store, name: &str) -> (PathBuf, crate::consensus::AppliedState) {
    let dir = store.dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    let state = store.machine.checkpoint(&dir).unwrap();
    (dir, state)
}

#[test]
fn a_snapshot_carries_the_state_of_its_moment() {
    for options in both() {
        let mut source = Store::with(options.clone());
        fill(&mut source);
        let (dir, state) = copy_of(&mut source, "copy");
        assert_eq!(state.log_id.map(|log_id| log_id.index), Some(source.index));
        let before = everything(&source);
        source.set("later", "1");

        let mut target = Store::with(options.clone());
        target.set("old", "1");
        assert_eq!(target.machine.install(dir).unwrap(), state);
        assert_eq!(everything(&target), before);
        target.index = source.index - 1;
        target.log = source.log.clone();
        target.catch_up();
        assert_eq!(everything(&target), everything(&source));
        // Installed means durable, also without a flush.
        let target = target.crash(options);
        assert_eq!(everything(&target), before);
        assert_eq!(target.range("old", "").count, 0);
    }
}

#[test]
fn a_crash_before_the_marker_moves_leaves_the_old_state() {
    let mut source = Store::new();
    fill(&mut source);
    let (dir, _) = copy_of(&mut source, "copy");
    let mut target = Store::new();
    target.set("old", "1");
    target.machine.flush().unwrap();
    std::fs::rename(dir, target.dir().join("state-2")).unwrap();
    let target = target.crash(mem_options());
    assert_eq!(target.range("old", "").count, 1);
    assert!(
        !target.dir().join("state-2").exists(),
        "what is not current goes"
    );
}

#[test]
fn a_snapshot_behind_the_state_is_refused() {
    let mut source = Store::new();
    source.set("a", "1");
    let (dir, _) = copy_of(&mut source, "copy");
    let mut target = Store::new();
    fill(&mut target);
    assert!(target.machine.install(dir).is_err());
}

#[test]
fn readers_go_on_while_a_snapshot_comes_in() {
    for options in both() {
        let mut source = Store::with(options.clone());
        fill(&mut source);
        let (dir, _) = copy_of(&mut source, "copy");
        let mut target = Store::with(options);
        target.set("old", "1");
        let view = target.view.clone();
        let held = target.machine.generation();
        target.machine.install(dir).unwrap();
        let request = RangeRequest {
            key: text("a"),
            ..Default::default()
        };
        assert_eq!(view.range(&request).unwrap().count, 1);
        let old = target.dir().join("state-1");
        assert!(old.exists(), "somebody reads it");
        drop(held);
        assert!(!old.exists());
    }
}

#[test]
fn bad_folders_are_refused_with_a_reason() {
    let refusal = |dir: &std::path::Path| match Machine::open(dir, mem_options()) {
        Ok(_) => panic!("opened"),
        Err(fatal) => format!("{:#}", fatal.source),
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("state-1")).unwrap();
    assert!(refusal(dir.path()).contains("CURRENT is missing"));
    std::fs::write(dir.path().join("CURRENT"), "nonsense").unwrap();
    assert!(refusal(dir.path()).contains("bad CURRENT"));
    std::fs::write(dir.path().join("CURRENT"), "state-1\n").unwrap();
    std::fs::write(dir.path().join("state-1/mem.rows"), "nonsense").unwrap();
    refusal(dir.path());
}

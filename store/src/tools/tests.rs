//! The state goes out in etcd's format and comes back the same, and etcd's own file comes in.

mod killed;
mod restored;

use std::collections::BTreeMap;

use bolt::{Database, Value};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, UserAddOptions};
use proto_etcd::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserGrantRoleRequest, InternalRaftRequest, RangeRequest,
};
use tempfile::TempDir;

use super::import::{self, Imported};
use super::{export, hashkv};
use crate::apply::tests::model::{self, Step};
use crate::apply::tests::{Store, mem_options};
use crate::apply::{Machine, ReadError, View, make_state};
use crate::consensus::Fatal;
use crate::engine::mem::MemOpener;

/// The rows of each bucket.
type Buckets = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What a client would save of the state.
fn save(view: &View) -> Vec<u8> {
    view.at_one_moment(|rows| {
        let shape = export::measure(rows).unwrap();
        let file = export::write(rows, shape, Vec::new()).unwrap();
        assert_eq!(file.len() as u64, shape.bytes());
        file
    })
}

fn buckets(file: &[u8]) -> Buckets {
    let database = Database::open(file).unwrap();
    let mut buckets = Buckets::new();
    let mut roots = database.rows(&database.root());
    while let Some(root) = roots.next().unwrap() {
        let Value::Bucket(bucket) = root.value else {
            panic!("a row beside the buckets");
        };
        let name = String::from_utf8(root.key.to_vec()).unwrap();
        let into = buckets.entry(name).or_default();
        let mut rows = database.rows(&bucket);
        while let Some(row) = rows.next().unwrap() {
            let Value::Bytes(value) = row.value else {
                panic!("a bucket inside a bucket");
            };
            into.insert(row.key.to_vec(), value.to_vec());
        }
    }
    buckets
}

/// A state made from a file.
struct Restored {
    imported: Imported,
    view: View,
    _machine: Machine,
    _dir: TempDir,
}

#[derive(Debug)]
struct Failed(#[expect(dead_code, reason = "shown by a test that fails")] String);

impl From<Fatal> for Failed {
    fn from(fatal: Fatal) -> Self {
        Self(base::report(&fatal).to_string())
    }
}

fn restore(file: &[u8], bump: i64) -> Result<Restored, Failed> {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(file).unwrap();
    let imported = make_state(dir.path(), &MemOpener, |engine| {
        import::import(&database, engine, bump)
            .map_err(|error| Failed(base::report(&error).to_string()))
    })?;
    let (machine, view) = Machine::open(dir.path(), mem_options())?;
    Ok(Restored {
        imported,
        view,
        _machine: machine,
        _dir: dir,
    })
}

fn take(store: &mut Store, step: Step) {
    match step {
        Step::Put(put) => drop(store.put(put)),
        Step::Delete(delete) => {
            let request = InternalRaftRequest {
                delete_range: Some(delete),
                ..Default::default()
            };
            drop(store.apply(&request));
        }
        Step::Txn(txn) => {
            let txn = model::settle_txn(txn, store.view.revision());
            drop(store.txn(txn));
        }
        Step::Compact(back) => drop(store.compact(store.view.revision() - back)),
        Step::Grant(id) => drop(store.grant(id, 60 + id)),
        Step::Revoke(id) => drop(store.revoke(id)),
        Step::Flush | Step::Crash => {}
        Step::Collect => store.collect(store.view.compact_revision()),
    }
}

/// Users and roles, as auth's commands make them.
fn add_users(store: &mut Store) {
    let options = Some(UserAddOptions { no_password: false });
    for (user, role) in [("ann", "readers"), ("root", "root"), ("bob", "readers")] {
        let requests = [
            InternalRaftRequest {
                auth_user_add: Some(AuthUserAddRequest {
                    name: user.into(),
                    hashed_password: "aGFzaA==".into(),
                    options,
                    ..Default::default()
                }),
                ..Default::default()
            },
            InternalRaftRequest {
                auth_role_add: Some(AuthRoleAddRequest { name: role.into() }),
                ..Default::default()
            },
            InternalRaftRequest {
                auth_role_grant_permission: Some(AuthRoleGrantPermissionRequest {
                    name: role.into(),
                    perm: Some(Permission {
                        perm_type: Type::Readwrite as i32,
                        key: Bytes::from_static(b"a"),
                        range_end: Bytes::from_static(b"b"),
                    }),
                }),
                ..Default::default()
            },
            InternalRaftRequest {
                auth_user_grant_role: Some(AuthUserGrantRoleRequest {
                    user: user.into(),
                    role: role.into(),
                }),
                ..Default::default()
            },
        ];
        for request in &requests {
            drop(store.apply(request));
        }
    }
}

pub(super) fn all_at(
    view: &View,
    revision: i64,
) -> Result<Vec<proto_etcd::mvccpb::KeyValue>, String> {
    let request = RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        revision,
        ..Default::default()
    };
    let answer = view.range(&request);
    answer
        .map(|answer| answer.kvs)
        .map_err(|error| error.to_string())
}

fn hash(view: &View, revision: i64) -> Result<(u32, i64, i64), String> {
    match view.hash_kv(revision) {
        Ok((hash, _)) => Ok((hash.hash, hash.compact_revision, hash.hash_revision)),
        Err(ReadError::Compacted) => Err("compacted".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Everything that a client can see is the same, at every revision that is left.
fn same(before: &View, after: &View) {
    assert_eq!(before.revision(), after.revision());
    assert_eq!(before.compact_revision(), after.compact_revision());
    for revision in 0..=before.revision() {
        assert_eq!(all_at(before, revision), all_at(after, revision));
        assert_eq!(hash(before, revision), hash(after, revision), "{revision}");
    }
    assert_eq!(before.leases(), after.leases());
    for id in before.leases() {
        assert_eq!(before.lease(id), after.lease(id));
    }
    assert_eq!(before.alarms(), after.alarms());
}

fn check(store: &Store) {
    let file = save(&store.view);
    let restored = restore(&file, 0).unwrap();
    same(&store.view, &restored.view);
    // What clients cannot see either: all but what belongs to the cluster.
    let (before, after) = (buckets(&file), buckets(&save(&restored.view)));
    for name in ["alarm", "auth", "authRoles", "authUsers", "key", "lease"] {
        if name == "key" {
            // The new one may have removed what compaction made dead, and no more.
            assert!(
                after[name]
                    .iter()
                    .all(|row| before[name].get(row.0) == Some(row.1))
            );
        } else {
            assert_eq!(before[name], after[name], "{name}");
        }
    }
    let database = Database::open(&*file).unwrap();
    for revision in 0..=store.view.revision() {
        let found = hashkv::of_file(&database, revision);
        let found = found.map(|found| (found.hash, found.compact_revision, found.hash_revision));
        assert_eq!(found.ok(), hash(&store.view, revision).ok(), "{revision}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_history_goes_out_and_comes_back(steps in vec(model::step(), 1..60)) {
        let mut store = Store::new();
        add_users(&mut store);
        for step in steps {
            take(&mut store, step);
        }
        check(&store);
    }
}

#[test]
fn an_empty_state_goes_out_and_comes_back() {
    check(&Store::new());
}

#[test]
fn a_bump_raises_the_revision_and_compacts_all_before_it() {
    let mut store = Store::new();
    store.set("a", "1");
    store.set("a", "2");
    store.set("b", "3");
    let restored = restore(&save(&store.view), 1000).unwrap();
    assert_eq!(restored.imported.head.revision, 1004);
    assert_eq!(restored.view.revision(), 1004);
    assert_eq!(restored.view.compact_revision(), 1004);
    assert_eq!(all_at(&restored.view, 0), all_at(&store.view, 0));
    assert!(all_at(&restored.view, 1003).is_err());
    assert!(restore(&save(&store.view), i64::MAX).is_err());
}

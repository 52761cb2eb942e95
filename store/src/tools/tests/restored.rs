//! Whole restores: from the file that etcd 3.5 wrote, and what must be refused.

use std::path::Path;

use proto_etcd::mvccpb::KeyValue;

use super::super::restore::{Options, RestoreError, restore};
use super::super::{file, folder, hashkv, status, verify};
use super::all_at;
use crate::data_dir::{DataDir, DataDirError};

/// Made with etcd 3.5.30, whose own tools said: hash 514703696, revision 10, 6 keys; HashKV 318028816
/// at compaction 6.
fn golden() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/bolt/testdata/etcd-3.5.snapshot"
    ))
}

fn options(root: &Path, file: &Path) -> Options {
    Options {
        file: file.into(),
        name: "m1".into(),
        data_dir: root.join("m1"),
        wal_dir: None,
        initial_cluster: "m1=http://h1:2380,m2=http://h2:2380".into(),
        cluster_token: "token".into(),
        peer_urls: "http://h1:2380".into(),
        skips_hash_check: false,
        bump_revision: 0,
    }
}

#[test]
fn the_file_of_etcd_is_counted_and_hashed_as_by_etcdutl() {
    let file = file::open(golden()).unwrap();
    let found = status::status(&file).unwrap();
    assert_eq!(
        (
            found.hash,
            found.revision,
            found.total_key,
            found.total_size
        ),
        (514_703_696, 10, 6, 49_152)
    );
    let found = hashkv::of_file(&file, 0).unwrap();
    assert_eq!(
        (found.hash, found.hash_revision, found.compact_revision),
        (318_028_816, 10, 6)
    );
    assert!(hashkv::of_file(&file, 5).is_err());
    assert!(hashkv::of_file(&file, 11).is_err());
}

#[tokio::test]
async fn the_file_of_etcd_becomes_a_member() {
    let root = tempfile::tempdir().unwrap();
    let options = options(root.path(), golden());
    let (identity, imported) = restore(&options).await.unwrap();
    assert_eq!((imported.leases, imported.head.revision), (1, 10));
    {
        let folder = folder::open(&options.data_dir, None, None).unwrap();
        assert_eq!(folder.identity, identity);
        assert_eq!(folder.view.applied().index, 2);
        let kvs = all_at(&folder.view, 0).unwrap();
        let shown: Vec<String> = kvs.iter().map(show).collect();
        assert_eq!(
            shown,
            [
                "b 8 3 2",
                "big 5 5 1",
                "c 4 4 1",
                "d 9 9 1",
                "t1 10 10 1",
                "t2 10 10 1"
            ]
        );
        let leases = folder.view.leases();
        let lease = folder.view.lease(leases[0]).unwrap();
        assert_eq!((lease.granted_ttl, lease.keys.len()), (600, 1));
    }
    let found = verify::verify(&options.data_dir, None, None).unwrap();
    assert_eq!(
        (found.entries, found.applied, found.revision, found.hash),
        (0, 2, 10, 318_028_816)
    );
    // etcd's words, and nothing is touched.
    let error = restore(&options).await.unwrap_err();
    let data_dir = options.data_dir.display();
    assert_eq!(
        error.to_string(),
        format!("data-dir \"{data_dir}\" not empty or could not be read")
    );
    verify::verify(&options.data_dir, None, None).unwrap();
}

fn show(kv: &KeyValue) -> String {
    let key = String::from_utf8_lossy(&kv.key);
    let (modified, created) = (kv.mod_revision, kv.create_revision);
    format!("{key} {modified} {created} {}", kv.version)
}

#[tokio::test]
async fn every_founder_gets_the_same_cluster_and_state() {
    let root = tempfile::tempdir().unwrap();
    let first = options(root.path(), golden());
    let mut second = first.clone();
    second.name = "m2".into();
    second.data_dir = root.path().join("m2");
    second.peer_urls = "http://h2:2380".into();
    second.wal_dir = Some(root.path().join("log"));
    let (a, from_a) = restore(&first).await.unwrap();
    let (b, from_b) = restore(&second).await.unwrap();
    assert_eq!((a.cluster_id, &a.founders), (b.cluster_id, &b.founders));
    assert_ne!(a.member_id, b.member_id);
    assert_eq!(from_a, from_b);
    verify::verify(&second.data_dir, second.wal_dir.as_deref(), None).unwrap();
    // One that was made of something else must not find the others.
    let mut other = first.clone();
    other.data_dir = root.path().join("other");
    other.bump_revision = 1;
    let (other, _) = restore(&other).await.unwrap();
    assert_eq!(
        (other.member_id, &other.founders),
        (a.member_id, &a.founders)
    );
    assert_ne!(other.cluster_id, a.cluster_id);
    second.data_dir = root.path().join("m3");
    let error = restore(&second).await.unwrap_err();
    assert!(matches!(error, RestoreError::WalDirTaken(_)), "{error}");
}

#[tokio::test]
async fn a_file_that_is_not_what_its_member_sent_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(golden()).unwrap();
    let damaged = root.path().join("damaged");
    // In a value, where only the checksum can notice.
    let at = bytes
        .windows(8)
        .position(|window| window == b"xxxxxxxx")
        .unwrap();
    bytes[at] = b'y';
    std::fs::write(&damaged, &bytes).unwrap();
    let mut options = options(root.path(), &damaged);
    let text = restore(&options).await.unwrap_err().to_string();
    assert!(text.starts_with("expected sha256 ["), "{text}");
    // Without its checksum it is what etcd's own folder holds.
    bytes.truncate(bytes.len() - 32);
    std::fs::write(&damaged, &bytes).unwrap();
    let text = restore(&options).await.unwrap_err().to_string();
    assert_eq!(text, "snapshot missing hash but --skip-hash-check=false");
    assert!(!options.data_dir.exists());
    options.skips_hash_check = true;
    restore(&options).await.unwrap();
}

#[tokio::test]
async fn flags_that_contradict_each_other_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut options = options(root.path(), golden());
    options.name = "stranger".into();
    let text = restore(&options).await.unwrap_err().to_string();
    assert_eq!(
        text,
        "couldn't find local name \"stranger\" in the initial cluster configuration"
    );
    options.name = "m1".into();
    options.peer_urls = "http://127.0.0.1:1".into();
    options.initial_cluster = "m1=http://127.0.0.1:2".into();
    let text = restore(&options).await.unwrap_err().to_string();
    assert!(text.starts_with("--initial-cluster has m1="), "{text}");
    options.initial_cluster = "m1".into();
    assert!(matches!(
        restore(&options).await,
        Err(RestoreError::Flags(_))
    ));
    assert!(!options.data_dir.exists());
}

#[tokio::test]
async fn a_restore_that_stopped_half_way_is_no_member() {
    let root = tempfile::tempdir().unwrap();
    let options = options(root.path(), golden());
    drop(DataDir::begin_restore(&options.data_dir, None).unwrap());
    assert!(matches!(
        DataDir::open(&options.data_dir, None),
        Err(DataDirError::HalfRestored(_))
    ));
    let error = restore(&options).await.unwrap_err();
    assert!(matches!(error, RestoreError::DataDirTaken(_)), "{error}");
}

//! A file that the real etcd 3.5 wrote (`etcdctl snapshot save`, its last 32 bytes the checksum).

use super::read;
use crate::Database;

const SNAPSHOT: &[u8] = include_bytes!("../../testdata/etcd-3.5.snapshot");

#[test]
fn a_snapshot_of_etcd_is_read() {
    let database = Database::open(SNAPSHOT).unwrap();
    assert_eq!(database.page_bytes(), 4096);
    assert_eq!(database.size() + 32, SNAPSHOT.len() as u64);
    let buckets = read(SNAPSHOT).unwrap();
    let names: Vec<&str> = buckets
        .keys()
        .map(|name| std::str::from_utf8(name).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "alarm",
            "auth",
            "authRoles",
            "authUsers",
            "cluster",
            "key",
            "lease",
            "members",
            "members_removed",
            "meta"
        ]
    );
    let keys = &buckets[&b"key"[..]];
    // Revision 3, the first that the compaction left.
    let first: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 3, b'_', 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(keys.keys().next().map(Vec::as_slice), Some(first));
    // A value of 6,000 bytes takes overflow pages.
    assert!(keys.values().any(|value| value.len() > 6_000));
    assert!(keys.keys().any(|key| key.len() == 18 && key[17] == b't'));
    assert_eq!(buckets[&b"cluster"[..]][&b"clusterVersion"[..]], b"3.5.0");
}

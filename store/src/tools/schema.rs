//! How etcd lays its state out in bbolt's buckets: names, keys and values, as its
//! `server/storage/schema` and `storage/mvcc/revision.go` have them.
//! ```text
//! key              main: u64 BE | '_' | sub: u64 BE [| 't', a deletion]   mvccpb.KeyValue
//! meta             consistent_index, term: u64 BE | scheduledCompactRev, finishedCompactRev: as a
//!                  key of bucket `key` | confState: JSON | storageVersion: text
//! lease            id: u64 BE                     leasepb.Lease
//! alarm            etcdserverpb.AlarmMember       nothing
//! auth             authEnabled: 0 or 1 | authRevision: u64 BE
//! authUsers        name                           authpb.User
//! authRoles        name                           authpb.Role
//! cluster          clusterVersion: text | downgrade: JSON
//! members          id in hexadecimal              JSON
//! members_removed  id in hexadecimal              "removed"
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use crate::consensus::Member;
use crate::mvcc::Revision;

pub(crate) const ALARM: &[u8] = b"alarm";
pub(crate) const AUTH: &[u8] = b"auth";
pub(crate) const AUTH_ROLES: &[u8] = b"authRoles";
pub(crate) const AUTH_USERS: &[u8] = b"authUsers";
pub(crate) const CLUSTER: &[u8] = b"cluster";
pub(crate) const KEY: &[u8] = b"key";
pub(crate) const LEASE: &[u8] = b"lease";
pub(crate) const MEMBERS: &[u8] = b"members";
pub(crate) const MEMBERS_REMOVED: &[u8] = b"members_removed";
pub(crate) const META: &[u8] = b"meta";

pub(crate) const AUTH_ENABLED: &[u8] = b"authEnabled";
pub(crate) const AUTH_REVISION: &[u8] = b"authRevision";
pub(crate) const CLUSTER_VERSION: &[u8] = b"clusterVersion";
const DOWNGRADE: &[u8] = b"downgrade";
pub(crate) const CONF_STATE: &[u8] = b"confState";
pub(crate) const CONSISTENT_INDEX: &[u8] = b"consistent_index";
pub(crate) const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";
pub(crate) const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
pub(crate) const STORAGE_VERSION: &[u8] = b"storageVersion";
pub(crate) const TERM: &[u8] = b"term";

/// `leasepb.Lease`, which no service of etcd's sends.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LeaseRecord {
    #[prost(int64, tag = "1")]
    pub(crate) id: i64,
    #[prost(int64, tag = "2")]
    pub(crate) ttl_s: i64,
    #[prost(int64, tag = "3")]
    pub(crate) remaining_ttl_s: i64,
}

/// A member as etcd's JSON has it.
#[derive(Serialize)]
struct MemberRecord<'m> {
    id: u64,
    #[serde(rename = "peerURLs")]
    peer_urls: &'m [String],
    #[serde(rename = "isLearner", skip_serializing_if = "std::ops::Not::not")]
    is_learner: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'m str,
    #[serde(rename = "clientURLs", skip_serializing_if = "<[String]>::is_empty")]
    client_urls: &'m [String],
}

/// A downgrade, as etcd's JSON has it.
#[derive(Serialize)]
struct DowngradeRecord<'d> {
    #[serde(rename = "target-version")]
    target_version: &'d str,
    enabled: bool,
}

/// raft's `ConfState`, as etcd's JSON has it.
#[derive(Serialize)]
struct ConfState {
    voters: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learners: Vec<u64>,
    auto_leave: bool,
}

/// A member's row.
pub(crate) fn member(member: &Member) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
    let record = MemberRecord {
        id: member.id,
        peer_urls: &member.peer_urls,
        is_learner: member.is_learner,
        name: &member.name,
        client_urls: &member.client_urls,
    };
    let key = format!("{:x}", member.id).into_bytes();
    Ok((key, serde_json::to_vec(&record)?))
}

/// The rows of the cluster's version, and of a downgrade that is under way.
pub(crate) fn cluster(
    version: Option<&str>,
    downgrade: Option<&str>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, serde_json::Error> {
    let mut rows = BTreeMap::new();
    if let Some(version) = version {
        rows.insert(CLUSTER_VERSION.to_vec(), version.into());
    }
    if let Some(target_version) = downgrade {
        let record = DowngradeRecord {
            target_version,
            enabled: true,
        };
        rows.insert(DOWNGRADE.to_vec(), serde_json::to_vec(&record)?);
    }
    Ok(rows)
}

/// A member that was removed, whose id no other may take.
pub(crate) fn removed(id: u64) -> (Vec<u8>, Vec<u8>) {
    (format!("{id:x}").into_bytes(), b"removed".to_vec())
}

/// Who votes and who only receives the log.
pub(crate) fn conf_state<'m>(
    members: impl Iterator<Item = &'m Member>,
) -> Result<Vec<u8>, serde_json::Error> {
    let (learners, voters): (Vec<&Member>, Vec<&Member>) =
        members.partition(|member| member.is_learner);
    let ids = |members: Vec<&Member>| members.into_iter().map(|member| member.id).collect();
    serde_json::to_vec(&ConfState {
        voters: ids(voters),
        learners: ids(learners),
        auto_leave: false,
    })
}

/// The place that a key of bucket `key` names, and whether it is that of a deletion.
pub(crate) fn parse_revision(key: &[u8]) -> Option<(Revision, bool)> {
    let (main, rest) = key.split_first_chunk::<8>()?;
    let (separator, rest) = rest.split_first()?;
    let (sub, mark) = rest.split_first_chunk::<8>()?;
    let is_tombstone = match mark {
        [] => false,
        b"t" => true,
        _ => return None,
    };
    let at = Revision {
        main: i64::try_from(u64::from_be_bytes(*main)).ok()?,
        // Far more changes than fit one request.
        sub: u32::try_from(u64::from_be_bytes(*sub)).ok()?,
    };
    (*separator == b'_').then_some((at, is_tombstone))
}

/// The revision of a row such as `scheduledCompactRev`.
pub(crate) fn main_revision(main: i64) -> Vec<u8> {
    Revision { main, sub: 0 }.etcd_key(false)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn revisions_are_etcds() {
        let at = Revision { main: 258, sub: 3 };
        let put = at.etcd_key(false);
        assert_eq!(put, b"\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03");
        assert_eq!(parse_revision(&put), Some((at, false)));
        assert_eq!(parse_revision(&at.etcd_key(true)), Some((at, true)));
        for damaged in [&put[..16], b"\0\0\0\0\0\0\x01\x02-\0\0\0\0\0\0\0\x03", b""] {
            assert_eq!(parse_revision(damaged), None);
        }
        let mut negative = put;
        negative[0] = 0x80;
        assert_eq!(parse_revision(&negative), None);
    }

    #[test]
    fn members_are_etcds() {
        let mut record = Member {
            id: 0x8e9e_05c5_2164_694d,
            name: "m0".into(),
            peer_urls: vec!["http://h:2380".into()],
            client_urls: vec![],
            is_learner: false,
        };
        let text = |record: &Member| {
            let (key, value) = member(record).unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            format!("{} {}", text(key), text(value))
        };
        expect![[
            r#"8e9e05c52164694d {"id":10276657743932975437,"peerURLs":["http://h:2380"],"name":"m0"}"#
        ]]
        .assert_eq(&text(&record));
        record.is_learner = true;
        record.name.clear();
        record.client_urls.push("http://h:2379".into());
        expect![[
            r#"8e9e05c52164694d {"id":10276657743932975437,"peerURLs":["http://h:2380"],"isLearner":true,"clientURLs":["http://h:2379"]}"#
        ]]
        .assert_eq(&text(&record));
        let states = String::from_utf8(conf_state([record].iter()).unwrap()).unwrap();
        expect![[r#"{"voters":[],"learners":[10276657743932975437],"auto_leave":false}"#]]
            .assert_eq(&states);
    }
}

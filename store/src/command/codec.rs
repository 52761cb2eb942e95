//! Commands to bytes and back.

use bytes::Bytes;
use prost::{DecodeError, Message};
use proto_etcd::etcdserverpb::InternalRaftRequest;

/// A command as the log holds it.
pub fn encode(request: &InternalRaftRequest) -> Bytes {
    request.encode_to_vec().into()
}

/// Reads a command. Keys and values share the memory of `bytes`.
pub fn decode(bytes: Bytes) -> Result<InternalRaftRequest, DecodeError> {
    InternalRaftRequest::decode(bytes)
}

/// What a command asks for, by the word that etcd's metrics have for it.
pub fn name(request: &InternalRaftRequest) -> &'static str {
    let names = [
        (request.put.is_some(), "Put"),
        (request.txn.is_some(), "Txn"),
        (request.delete_range.is_some(), "DeleteRange"),
        (request.range.is_some(), "Range"),
        (request.compaction.is_some(), "Compaction"),
        (request.lease_grant.is_some(), "LeaseGrant"),
        (request.lease_revoke.is_some(), "LeaseRevoke"),
        (request.lease_checkpoint.is_some(), "LeaseCheckpoint"),
        (request.alarm.is_some(), "Alarm"),
        (request.authenticate.is_some(), "Authenticate"),
        (request.auth_enable.is_some(), "AuthEnable"),
        (request.auth_disable.is_some(), "AuthDisable"),
        (request.auth_status.is_some(), "AuthStatus"),
        (request.auth_user_add.is_some(), "AuthUserAdd"),
        (request.auth_user_delete.is_some(), "AuthUserDelete"),
        (request.auth_user_get.is_some(), "AuthUserGet"),
        (
            request.auth_user_change_password.is_some(),
            "AuthUserChangePassword",
        ),
        (request.auth_user_grant_role.is_some(), "AuthUserGrantRole"),
        (
            request.auth_user_revoke_role.is_some(),
            "AuthUserRevokeRole",
        ),
        (request.auth_user_list.is_some(), "AuthUserList"),
        (request.auth_role_add.is_some(), "AuthRoleAdd"),
        (request.auth_role_delete.is_some(), "AuthRoleDelete"),
        (request.auth_role_get.is_some(), "AuthRoleGet"),
        (
            request.auth_role_grant_permission.is_some(),
            "AuthRoleGrantPermission",
        ),
        (
            request.auth_role_revoke_permission.is_some(),
            "AuthRoleRevokePermission",
        ),
        (request.auth_role_list.is_some(), "AuthRoleList"),
        (request.cluster_version_set.is_some(), "ClusterVersionSet"),
        (
            request.cluster_member_attr_set.is_some(),
            "ClusterMemberAttrSet",
        ),
        (request.downgrade_info_set.is_some(), "DowngradeInfoSet"),
    ];
    let asked = names.into_iter().find(|(is_it, _)| *is_it);
    asked.map_or("unknown", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proto_etcd::etcdserverpb::{PutRequest, RequestHeader};

    #[test]
    fn a_command_keeps_its_bytes() {
        let request = InternalRaftRequest {
            header: Some(RequestHeader {
                id: 7,
                ..RequestHeader::default()
            }),
            put: Some(PutRequest {
                key: "foo".into(),
                value: "bar".into(),
                lease: 1,
                ..PutRequest::default()
            }),
            ..InternalRaftRequest::default()
        };
        let bytes = encode(&request);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["220c0a03666f6f12036261721801a206020807"].assert_eq(&text);
        assert_eq!(name(&request), "Put");
        assert_eq!(decode(bytes), Ok(request));
        assert_eq!(name(&InternalRaftRequest::default()), "unknown");
    }
}

//! Which path stands for which method. The one list; what the methods take and give is read from the
//! descriptors of the protocol files.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::rpc::names::{AUTH, CLUSTER, ELECTION, KV, LEASE, LOCK, MAINTENANCE, WATCH};

/// Path below `/v3/`, service, method: etcd's `google.api.http` options.
pub(super) const ROUTES: &[(&str, &str, &str)] = &[
    ("kv/range", KV, "Range"),
    ("kv/put", KV, "Put"),
    ("kv/deleterange", KV, "DeleteRange"),
    ("kv/txn", KV, "Txn"),
    ("kv/compaction", KV, "Compact"),
    ("watch", WATCH, "Watch"),
    ("lease/grant", LEASE, "LeaseGrant"),
    ("lease/revoke", LEASE, "LeaseRevoke"),
    ("kv/lease/revoke", LEASE, "LeaseRevoke"),
    ("lease/keepalive", LEASE, "LeaseKeepAlive"),
    ("lease/timetolive", LEASE, "LeaseTimeToLive"),
    ("kv/lease/timetolive", LEASE, "LeaseTimeToLive"),
    ("lease/leases", LEASE, "LeaseLeases"),
    ("kv/lease/leases", LEASE, "LeaseLeases"),
    ("cluster/member/add", CLUSTER, "MemberAdd"),
    ("cluster/member/remove", CLUSTER, "MemberRemove"),
    ("cluster/member/update", CLUSTER, "MemberUpdate"),
    ("cluster/member/list", CLUSTER, "MemberList"),
    ("cluster/member/promote", CLUSTER, "MemberPromote"),
    ("maintenance/alarm", MAINTENANCE, "Alarm"),
    ("maintenance/status", MAINTENANCE, "Status"),
    ("maintenance/defragment", MAINTENANCE, "Defragment"),
    ("maintenance/hash", MAINTENANCE, "Hash"),
    ("maintenance/hashkv", MAINTENANCE, "HashKV"),
    ("maintenance/snapshot", MAINTENANCE, "Snapshot"),
    ("maintenance/transfer-leadership", MAINTENANCE, "MoveLeader"),
    ("maintenance/downgrade", MAINTENANCE, "Downgrade"),
    ("auth/enable", AUTH, "AuthEnable"),
    ("auth/disable", AUTH, "AuthDisable"),
    ("auth/status", AUTH, "AuthStatus"),
    ("auth/authenticate", AUTH, "Authenticate"),
    ("auth/user/add", AUTH, "UserAdd"),
    ("auth/user/get", AUTH, "UserGet"),
    ("auth/user/list", AUTH, "UserList"),
    ("auth/user/delete", AUTH, "UserDelete"),
    ("auth/user/changepw", AUTH, "UserChangePassword"),
    ("auth/user/grant", AUTH, "UserGrantRole"),
    ("auth/user/revoke", AUTH, "UserRevokeRole"),
    ("auth/role/add", AUTH, "RoleAdd"),
    ("auth/role/get", AUTH, "RoleGet"),
    ("auth/role/list", AUTH, "RoleList"),
    ("auth/role/delete", AUTH, "RoleDelete"),
    ("auth/role/grant", AUTH, "RoleGrantPermission"),
    ("auth/role/revoke", AUTH, "RoleRevokePermission"),
    ("lock/lock", LOCK, "Lock"),
    ("lock/unlock", LOCK, "Unlock"),
    ("election/campaign", ELECTION, "Campaign"),
    ("election/proclaim", ELECTION, "Proclaim"),
    ("election/leader", ELECTION, "Leader"),
    ("election/observe", ELECTION, "Observe"),
    ("election/resign", ELECTION, "Resign"),
];

/// How many messages go each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Unary,
    ServerStream,
    BidiStream,
}

/// A method behind a path.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its gRPC path.
    pub(super) rpc: PathAndQuery,
    pub(super) input: MessageDescriptor,
    pub(super) output: MessageDescriptor,
    pub(super) shape: Shape,
}

/// All targets, by their path below `/v3/`.
pub(super) struct Routes(BTreeMap<&'static str, Target>);

impl Routes {
    /// Reads the descriptors.
    pub(super) fn new() -> Self {
        let pool = DescriptorPool::decode(proto_etcd::DESCRIPTORS)
            .expect("the build has made the descriptors from the protocol files");
        let targets = ROUTES.iter().map(|(path, service, method)| {
            let target = target(&pool, service, method)
                .expect("a test looks each method up in the protocol files");
            (*path, target)
        });
        Self(targets.collect())
    }

    /// The target of a whole path. The older `/v3beta` means the same as `/v3`.
    pub(super) fn find(&self, path: &str) -> Option<&Target> {
        let below = path.strip_prefix("/v3/");
        let below = below.or_else(|| path.strip_prefix("/v3beta/"))?;
        self.0.get(below)
    }
}

fn target(pool: &DescriptorPool, service: &str, name: &str) -> Option<Target> {
    let service = pool.get_service_by_name(service)?;
    let method = service.methods().find(|method| method.name() == name)?;
    let rpc = format!("/{}/{name}", service.full_name());
    Some(Target {
        rpc: PathAndQuery::try_from(rpc).ok()?,
        input: method.input(),
        output: method.output(),
        shape: match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Shape::Unary,
            (false, true) => Shape::ServerStream,
            (true, _) => Shape::BidiStream,
        },
    })
}

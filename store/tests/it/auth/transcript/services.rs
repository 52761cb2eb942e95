//! The services beside KV.

use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::cluster_client::ClusterClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::*;

use super::{Session, brief, first, normal};

/// Everything but the KV service.
pub(super) async fn everything(s: &mut Session, who: &str) {
    watches(s, who).await;
    maintenance(s, who).await;
    members(s, who).await;
    users(s, who).await;
    leases(s, who).await;
}

/// Watches: each on a stream of its own.
async fn watches(s: &mut Session, who: &str) {
    let mut watch = WatchClient::new(s.channel.clone());
    for (key, end, start_revision) in [
        ("a", "", 0),
        ("a", "c", 0),
        ("b", "\0", 0),
        ("c", "", 0),
        ("", "\0", 0),
        ("c", "", -1),
    ] {
        let create = WatchCreateRequest {
            key: key.into(),
            range_end: end.into(),
            start_revision,
            ..Default::default()
        };
        let create = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        // The stream stays open until its first answer is there.
        let requests =
            futures::StreamExt::chain(futures::stream::iter([create]), futures::stream::pending());
        let answer = first(watch.watch(s.by(who, requests)).await).await;
        s.note(
            &format!("{who} watches {key:?} {end:?} {start_revision}"),
            normal(answer),
        );
    }
}

/// Leases: 7 without keys, 8 with one that ann may not write.
async fn leases(s: &mut Session, who: &str) {
    let mut lease = LeaseClient::new(s.channel.clone());
    for id in [7, 8, 9] {
        let grant = LeaseGrantRequest { ttl: 900, id };
        let answer = lease.lease_grant(s.by(who, grant)).await;
        s.note(&format!("{who} grants {id}"), normal(answer));
    }
    let leases = lease.lease_leases(s.by(who, LeaseLeasesRequest {})).await;
    s.note(&format!("{who} lists leases"), brief(leases));
    for id in [7, 8, 999] {
        for keys in [false, true] {
            let request = LeaseTimeToLiveRequest { id, keys };
            let answer = lease.lease_time_to_live(s.by(who, request)).await;
            let answer = answer.map(|mut answer| {
                answer.get_mut().ttl = 0;
                answer
            });
            s.note(&format!("{who} looks at {id} {keys}"), normal(answer));
        }
        let renew = futures::stream::iter([LeaseKeepAliveRequest { id }]);
        let answer = first(lease.lease_keep_alive(s.by(who, renew)).await).await;
        s.note(&format!("{who} renews {id}"), normal(answer));
    }
    for id in [9, 8, 999] {
        let answer = lease
            .lease_revoke(s.by(who, LeaseRevokeRequest { id }))
            .await;
        s.note(&format!("{who} revokes {id}"), normal(answer));
    }
}

/// What is for administrators, and what is for everybody who is somebody.
async fn maintenance(s: &mut Session, who: &str) {
    let mut maintenance = MaintenanceClient::new(s.channel.clone());
    let disarm = AlarmRequest {
        action: alarm_request::AlarmAction::Deactivate as i32,
        ..AlarmRequest::default()
    };
    let future = HashKvRequest { revision: 99_999 };
    let move_leader = MoveLeaderRequest { target_id: 1 };
    let alarms = maintenance.alarm(s.by(who, AlarmRequest::default())).await;
    s.note(&format!("{who} asks for alarms"), brief(alarms));
    let answer = maintenance.alarm(s.by(who, disarm)).await;
    s.note(&format!("{who} disarms"), brief(answer));
    let answer = maintenance.status(s.by(who, StatusRequest {})).await;
    s.note(&format!("{who} asks for the status"), brief(answer));
    let answer = maintenance
        .defragment(s.by(who, DefragmentRequest {}))
        .await;
    s.note(&format!("{who} defragments"), brief(answer));
    let answer = maintenance.hash(s.by(who, HashRequest {})).await;
    s.note(&format!("{who} hashes"), brief(answer));
    let answer = maintenance.hash_kv(s.by(who, future)).await;
    s.note(&format!("{who} hashes the future"), brief(answer));
    let answer = maintenance.move_leader(s.by(who, move_leader)).await;
    s.note(&format!("{who} moves the leader"), brief(answer));
    if who != "root" {
        // What an administrator gets is not the same thing on both sides.
        let answer = maintenance.snapshot(s.by(who, SnapshotRequest {})).await;
        s.note(
            &format!("{who} asks for a snapshot"),
            brief(first(answer).await),
        );
        let answer = maintenance
            .downgrade(s.by(who, DowngradeRequest::default()))
            .await;
        s.note(&format!("{who} asks for a downgrade"), brief(answer));
    }
}

async fn members(s: &mut Session, who: &str) {
    let mut cluster = ClusterClient::new(s.channel.clone());
    let (remove, promote) = (
        MemberRemoveRequest { id: 1 },
        MemberPromoteRequest { id: 1 },
    );
    let update = MemberUpdateRequest {
        id: 1,
        peer_ur_ls: vec!["http://127.0.0.1:1".into()],
    };
    let add = cluster
        .member_add(s.by(who, MemberAddRequest::default()))
        .await;
    s.note(&format!("{who} adds a member without a URL"), brief(add));
    let answer = cluster.member_remove(s.by(who, remove)).await;
    s.note(&format!("{who} removes a member"), brief(answer));
    let answer = cluster.member_update(s.by(who, update)).await;
    s.note(&format!("{who} updates a member"), brief(answer));
    let answer = cluster.member_promote(s.by(who, promote)).await;
    s.note(&format!("{who} promotes a member"), brief(answer));
    for linearizable in [false, true] {
        let list = MemberListRequest { linearizable };
        let answer = cluster.member_list(s.by(who, list)).await;
        s.note(
            &format!("{who} lists members {linearizable}"),
            brief(answer),
        );
    }
}

async fn users(s: &mut Session, who: &str) {
    let mut auth = AuthClient::new(s.channel.clone());
    let status = auth.auth_status(s.by(who, AuthStatusRequest {})).await;
    s.note(
        &format!("{who} asks for the status of users"),
        normal(status),
    );
    let answer = auth.user_list(s.by(who, AuthUserListRequest {})).await;
    s.note(&format!("{who} lists users"), normal(answer));
    let answer = auth.role_list(s.by(who, AuthRoleListRequest {})).await;
    s.note(&format!("{who} lists roles"), normal(answer));
    for name in ["ann", "root", "r", "", "nobody"] {
        let request = AuthUserGetRequest { name: name.into() };
        let answer = auth.user_get(s.by(who, request)).await;
        s.note(&format!("{who} looks at user {name:?}"), normal(answer));
        let request = AuthRoleGetRequest { role: name.into() };
        let answer = auth.role_get(s.by(who, request)).await;
        s.note(&format!("{who} looks at role {name:?}"), normal(answer));
    }
    if who != "root" {
        let answer = auth
            .user_add(s.by(who, AuthUserAddRequest::default()))
            .await;
        s.note(&format!("{who} adds a user without a name"), normal(answer));
        let answer = auth.auth_enable(s.by(who, AuthEnableRequest {})).await;
        s.note(&format!("{who} enables"), normal(answer));
        let answer = auth.auth_disable(s.by(who, AuthDisableRequest {})).await;
        s.note(&format!("{who} disables"), normal(answer));
    }
}

//! Users and roles in the state machine: who is refused, what outlives a crash, what a snapshot
//! carries, and what a read on somebody's behalf shows.

use std::time::Instant;

use bytes::Bytes;
use proto_etcd::authpb::Permission;
use proto_etcd::authpb::permission::Type;
use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::*;

use super::{MachineOptions, Store, mem_options, put, text};
use crate::apply::ReadError;
use crate::auth::{Identity, State};
use crate::command::ApplyError;
use crate::consensus::StateMachine;

fn identity(store: &Store, user: &str) -> Identity {
    Identity {
        user: user.into(),
        revision: store.view.auth().revision,
    }
}

fn header(identity: &Identity) -> Option<RequestHeader> {
    Some(RequestHeader {
        username: identity.user.clone(),
        auth_revision: identity.revision,
        ..Default::default()
    })
}

/// Applies a command in a user's name.
pub(super) fn send(
    store: &mut Store,
    user: &str,
    request: InternalRaftRequest,
) -> Result<Bytes, ApplyError> {
    let header = header(&identity(store, user));
    store
        .apply(&InternalRaftRequest { header, ..request })
        .result
}

pub(super) fn user_add(name: &str) -> InternalRaftRequest {
    InternalRaftRequest {
        auth_user_add: Some(AuthUserAddRequest {
            name: name.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn role_add(name: &str) -> InternalRaftRequest {
    InternalRaftRequest {
        auth_role_add: Some(AuthRoleAddRequest { name: name.into() }),
        ..Default::default()
    }
}

pub(super) fn grant(user: &str, role: &str) -> InternalRaftRequest {
    InternalRaftRequest {
        auth_user_grant_role: Some(AuthUserGrantRoleRequest {
            user: user.into(),
            role: role.into(),
        }),
        ..Default::default()
    }
}

pub(super) fn permit(role: &str, kind: Type, key: &str, range_end: &str) -> InternalRaftRequest {
    InternalRaftRequest {
        auth_role_grant_permission: Some(AuthRoleGrantPermissionRequest {
            name: role.into(),
            perm: Some(Permission {
                perm_type: kind as i32,
                key: text(key),
                range_end: text(range_end),
            }),
        }),
        ..Default::default()
    }
}

pub(super) fn enable() -> InternalRaftRequest {
    InternalRaftRequest {
        auth_enable: Some(AuthEnableRequest::default()),
        ..Default::default()
    }
}

pub(super) fn disable() -> InternalRaftRequest {
    InternalRaftRequest {
        auth_disable: Some(AuthDisableRequest::default()),
        ..Default::default()
    }
}

fn authenticate(name: &str, simple_token: &str) -> InternalRaftRequest {
    InternalRaftRequest {
        authenticate: Some(InternalAuthenticateRequest {
            name: name.into(),
            simple_token: simple_token.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn put_of(put: PutRequest) -> InternalRaftRequest {
    InternalRaftRequest {
        put: Some(put),
        ..Default::default()
    }
}

/// Root, and ann who may read from a on before c, and write b.
fn guarded(options: MachineOptions) -> Store {
    let mut store = Store::with(options);
    store.set("a", "1");
    store.set("z", "secret");
    let commands = [
        user_add("root"),
        user_add("ann"),
        role_add("r"),
        grant("root", "root"),
        grant("ann", "r"),
        permit("r", Type::Read, "a", "c"),
        permit("r", Type::Write, "b", ""),
        enable(),
    ];
    for command in commands {
        store.apply(&command).result.unwrap();
    }
    store
}

#[test]
fn a_command_is_refused_for_who_may_not_and_changes_nothing() {
    let mut store = guarded(mem_options());
    let before = store.view.revision();
    let unnamed = store.put(put("b", "1"));
    assert_eq!(unnamed, Err(ApplyError::UserEmpty));
    let delete = InternalRaftRequest {
        delete_range: Some(DeleteRangeRequest {
            key: text("a"),
            range_end: text("\0"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let hidden = RequestOp {
        request: Some(Request::RequestRange(RangeRequest {
            key: text("z"),
            ..Default::default()
        })),
    };
    let txn = InternalRaftRequest {
        txn: Some(TxnRequest {
            failure: vec![hidden],
            ..Default::default()
        }),
        ..Default::default()
    };
    let denied = [
        put_of(put("a", "2")),
        put_of(PutRequest {
            prev_kv: true,
            ..put("z", "2")
        }),
        delete,
        txn,
        user_add("bob"),
        disable(),
    ];
    for request in denied {
        let refused = send(&mut store, "ann", request.clone());
        assert_eq!(refused, Err(ApplyError::PermissionDenied), "{request:?}");
    }
    assert_eq!(store.view.revision(), before);
    assert!(send(&mut store, "ann", put_of(put("b", "2"))).is_ok());
    assert!(send(&mut store, "root", put_of(put("a", "2"))).is_ok());
    assert_eq!(store.view.revision(), before + 2);
}

#[test]
fn a_lease_is_ended_by_who_may_write_its_keys() {
    let mut store = guarded(mem_options());
    for id in [1, 2] {
        store.grant(id, 60).unwrap();
    }
    let hang = |key, lease| {
        put_of(PutRequest {
            lease,
            ..put(key, "")
        })
    };
    send(&mut store, "root", hang("b", 1)).unwrap();
    send(&mut store, "root", hang("z", 2)).unwrap();
    let refused = send(&mut store, "ann", hang("b", 2));
    assert_eq!(refused, Err(ApplyError::PermissionDenied), "z hangs on it");
    let revoke = |id| InternalRaftRequest {
        lease_revoke: Some(LeaseRevokeRequest { id }),
        ..Default::default()
    };
    let refused = send(&mut store, "ann", revoke(2));
    assert_eq!(refused, Err(ApplyError::PermissionDenied));
    assert_eq!(store.revoke(1), Err(ApplyError::UserEmpty));
    assert!(send(&mut store, "ann", revoke(1)).is_ok());
    let header = Some(crate::auth::check::own_header());
    let expiry = InternalRaftRequest {
        header,
        ..revoke(2)
    };
    assert!(
        store.apply(&expiry).result.is_ok(),
        "leases end for everybody"
    );
}

#[test]
fn what_was_allowed_at_an_older_revision_is_asked_for_again() {
    let mut store = guarded(mem_options());
    let ann = identity(&store, "ann");
    send(&mut store, "root", role_add("s")).unwrap();
    let header = header(&ann);
    let request = InternalRaftRequest {
        header,
        ..put_of(put("b", "1"))
    };
    assert_eq!(
        store.apply(&request).result,
        Err(ApplyError::AuthOldRevision)
    );
    let range = RangeRequest {
        key: text("a"),
        ..Default::default()
    };
    let read = |identity: &Identity| store.view.range_for(identity, &range);
    let old = read(&ann);
    assert!(
        matches!(old, Err(ReadError::Refused(ApplyError::AuthOldRevision))),
        "{old:?}"
    );
    assert_eq!(read(&identity(&store, "ann")).unwrap().kvs.len(), 1);
}

#[test]
fn a_corrupt_store_still_knows_its_users() {
    let mut store = guarded(mem_options());
    let alarm = AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: 1,
        alarm: AlarmType::Corrupt as i32,
    };
    store.apply(&InternalRaftRequest {
        alarm: Some(alarm),
        ..Default::default()
    });
    let refused = send(&mut store, "ann", put_of(put("z", "")));
    assert_eq!(refused, Err(ApplyError::Corrupt), "whoever asks");
    assert!(send(&mut store, "root", user_add("bob")).is_ok());
    assert!(store.apply(&authenticate("ann", "abc")).result.is_ok());
}

#[test]
fn a_token_is_known_once_its_entry_is_applied() {
    let mut store = guarded(mem_options());
    let response: AuthenticateResponse = store.ask(&authenticate("ann", "abc")).unwrap();
    assert_eq!(response.token, format!("abc.{}", store.index));
    let find = |store: &Store| store.view.tokens().find(&response.token, Instant::now());
    assert_eq!(find(&store).as_deref(), Some("ann"));
    send(&mut store, "root", role_add("s")).unwrap();
    assert!(find(&store).is_some(), "other changes leave it");
    let change = InternalRaftRequest {
        auth_user_change_password: Some(AuthUserChangePasswordRequest {
            name: "ann".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    send(&mut store, "root", change).unwrap();
    assert_eq!(find(&store), None);
    let response: AuthenticateResponse = store.ask(&authenticate("ann", "def")).unwrap();
    send(&mut store, "root", disable()).unwrap();
    store.apply(&enable()).result.unwrap();
    assert_eq!(
        store.view.tokens().find(&response.token, Instant::now()),
        None
    );
}

#[test]
fn reads_on_somebodys_behalf_show_what_they_may_see() {
    let store = guarded(mem_options());
    let view = &store.view;
    let (root, ann) = (identity(&store, "root"), identity(&store, "ann"));
    let nobody = Identity::default();
    assert_eq!(view.user_roles(&ann, "ann").unwrap(), ["r"]);
    assert_eq!(
        view.user_roles(&ann, "root"),
        Err(ApplyError::PermissionDenied)
    );
    assert_eq!(view.user_roles(&root, "ann").unwrap(), ["r"]);
    assert_eq!(view.user_roles(&nobody, "ann"), Err(ApplyError::UserEmpty));
    assert_eq!(view.permissions(&ann, "r").unwrap().len(), 2);
    assert_eq!(
        view.permissions(&ann, "root"),
        Err(ApplyError::PermissionDenied)
    );
    assert_eq!(
        view.permissions(&root, "nothing"),
        Err(ApplyError::RoleNotFound)
    );
    assert_eq!(view.user_names(&root).unwrap(), ["ann", "root"]);
    assert_eq!(view.user_names(&ann), Err(ApplyError::PermissionDenied));
    assert_eq!(view.role_names(&root).unwrap(), ["r"]);
    assert_eq!(view.check_watch(&ann, b"a", b""), Ok(()));
    let leak = view.check_watch(&ann, b"b", b"\0");
    assert_eq!(
        leak,
        Err(ApplyError::PermissionDenied),
        "b alone is not all from b on"
    );
    let range = |key: &str| RangeRequest {
        key: text(key),
        ..Default::default()
    };
    let denied = view.range_for(&ann, &range("z"));
    assert!(matches!(
        denied,
        Err(ReadError::Refused(ApplyError::PermissionDenied))
    ));
    let reading = TxnRequest {
        success: vec![RequestOp {
            request: Some(Request::RequestRange(range("z"))),
        }],
        ..Default::default()
    };
    let denied = view.txn_for(&ann, &reading);
    assert!(matches!(
        denied,
        Err(ReadError::Refused(ApplyError::PermissionDenied))
    ));
    assert!(view.txn_for(&root, &reading).is_ok());
    assert!(
        view.txn(&reading).is_ok(),
        "the store itself may read anything"
    );
}

pub(super) fn live(store: &Store) -> State {
    store.machine.shared.memory.read().auth.clone()
}

#[test]
fn users_outlive_a_crash_and_travel_in_a_snapshot() {
    for options in [mem_options(), MachineOptions::default()] {
        let mut store = guarded(options.clone());
        let history = store.view.hash_kv(0).unwrap();
        store.machine.flush().unwrap();
        send(&mut store, "root", user_add("bob")).unwrap();
        send(&mut store, "root", grant("bob", "r")).unwrap();
        let delete = InternalRaftRequest {
            auth_role_delete: Some(AuthRoleDeleteRequest { role: "r".into() }),
            ..Default::default()
        };
        send(&mut store, "root", delete).unwrap();
        let before = live(&store);
        assert_eq!(
            store.view.hash_kv(0).unwrap(),
            history,
            "no part of the history"
        );
        let mut store = store.crash(options.clone());
        store.catch_up();
        assert_eq!(live(&store), before);
        let response: AuthenticateResponse = store.ask(&authenticate("bob", "abc")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        store.machine.checkpoint(&copy).unwrap();
        let mut other = Store::with(options);
        other.machine.install(copy).unwrap();
        assert_eq!(live(&other), before);
        let token = other.view.tokens().find(&response.token, Instant::now());
        assert_eq!(token, None, "tokens are each member's own");
        assert_eq!(other.view.hash().unwrap(), store.view.hash().unwrap());
    }
}

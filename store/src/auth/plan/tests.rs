//! Commands one after another, and what each comes to: the answers of the real etcd.

use bytes::Bytes;
use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, UserAddOptions};
use proto_etcd::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest,
    AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
    InternalAuthenticateRequest,
};

use super::{Plan, Planned, TokenChange};
use crate::auth::State;
use crate::command::ApplyError;

/// A state that does what it is told.
#[derive(Default)]
struct Store(State);

impl Store {
    /// What becomes of a plan: the revision afterwards, or why not.
    fn done(&mut self, planned: Planned) -> Result<u64, ApplyError> {
        self.tokens_of(planned).map(|_| self.0.head().revision)
    }

    fn tokens_of(&mut self, planned: Planned) -> Result<Vec<TokenChange>, ApplyError> {
        let Plan { changes, tokens } = planned?;
        changes.into_iter().for_each(|change| self.0.apply(change));
        Ok(tokens)
    }

    fn add(&mut self, name: &str, hashed: &str) -> Result<u64, ApplyError> {
        let request = AuthUserAddRequest {
            name: name.into(),
            hashed_password: hashed.into(),
            ..AuthUserAddRequest::default()
        };
        self.done(self.0.plan_user_add(&request))
    }

    fn add_role(&mut self, name: &str) -> Result<u64, ApplyError> {
        let request = AuthRoleAddRequest { name: name.into() };
        self.done(self.0.plan_role_add(&request))
    }

    fn grant(&mut self, user: &str, role: &str) -> Result<u64, ApplyError> {
        let request = AuthUserGrantRoleRequest {
            user: user.into(),
            role: role.into(),
        };
        self.done(self.0.plan_user_grant_role(&request))
    }

    fn permit(&mut self, role: &str, perm: Option<Permission>) -> Result<u64, ApplyError> {
        let request = AuthRoleGrantPermissionRequest {
            name: role.into(),
            perm,
        };
        self.done(self.0.plan_role_grant(&request))
    }

    fn change_password(&mut self, name: &str, hashed: &str) -> Result<u64, ApplyError> {
        let request = AuthUserChangePasswordRequest {
            name: name.into(),
            hashed_password: hashed.into(),
            ..AuthUserChangePasswordRequest::default()
        };
        self.done(self.0.plan_user_change_password(&request))
    }

    fn permissions(&self, role: &str) -> Vec<(i32, &[u8], &[u8])> {
        let granted = &self.0.role(role).unwrap().key_permission;
        let parts = granted
            .iter()
            .map(|p| (p.perm_type, &*p.key, &*p.range_end));
        parts.collect()
    }
}

fn perm(kind: Type, key: &'static str, range_end: &'static str) -> Option<Permission> {
    Some(Permission {
        perm_type: kind as i32,
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(range_end.as_bytes()),
    })
}

#[test]
fn users_come_and_go() {
    let mut store = Store::default();
    assert_eq!(store.add("", "aa"), Err(ApplyError::UserEmpty));
    assert_eq!(store.add("ann", "aGk="), Ok(2));
    assert_eq!(store.0.user("ann").unwrap().password, "hi");
    assert_eq!(store.add("ann", "aGk="), Err(ApplyError::UserExists));
    assert_eq!(
        store.add("bob", "not base64"),
        Err(ApplyError::NoPasswordUser)
    );
    assert_eq!(store.add("cid", "aG\nk="), Ok(3), "lines are joined");
    assert_eq!(
        store.add("dan", "aGl="),
        Ok(4),
        "spare bits are passed over"
    );
    let plain = AuthUserAddRequest {
        name: "eve".into(),
        password: "pw".into(),
        ..AuthUserAddRequest::default()
    };
    let refused = store.0.plan_user_add(&plain);
    assert_eq!(
        store.done(refused),
        Err(ApplyError::NoPasswordUser),
        "nothing is hashed here"
    );
    let passwordless = AuthUserAddRequest {
        name: "fay".into(),
        hashed_password: "aGk=".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..AuthUserAddRequest::default()
    };
    let added = store.0.plan_user_add(&passwordless);
    assert_eq!(store.done(added), Ok(5));
    assert_eq!(store.0.user("fay").unwrap().password, "");
    assert_eq!(store.change_password("fay", "aGk="), Ok(6));
    assert_eq!(store.0.user("fay").unwrap().password, "");
    assert_eq!(store.change_password("ann", "aG8="), Ok(7));
    assert_eq!(store.0.user("ann").unwrap().password, "ho");
    assert_eq!(
        store.change_password("nobody", "aG8="),
        Err(ApplyError::UserNotFound)
    );
    let delete = |name: &str| AuthUserDeleteRequest { name: name.into() };
    let deleted = store.0.plan_user_delete(&delete("ann"));
    let forgotten = TokenChange::Forget { user: "ann".into() };
    assert_eq!(store.tokens_of(deleted), Ok(vec![forgotten]));
    let again = store.0.plan_user_delete(&delete("ann"));
    assert_eq!(store.done(again), Err(ApplyError::UserNotFound));
    assert_eq!(store.0.users().count(), 3);
}

#[test]
fn roles_are_granted_and_taken() {
    let mut store = Store::default();
    assert_eq!(store.add_role(""), Err(ApplyError::RoleEmpty));
    for role in ["s", "r"] {
        store.add_role(role).unwrap();
    }
    assert_eq!(store.add_role("r"), Err(ApplyError::RoleExists));
    store.add("ann", "").unwrap();
    assert_eq!(store.grant("nobody", "r"), Err(ApplyError::UserNotFound));
    assert_eq!(store.grant("ann", "t"), Err(ApplyError::RoleNotFound));
    assert_eq!(store.grant("ann", "s"), Ok(5));
    assert_eq!(
        store.grant("ann", "root"),
        Ok(6),
        "it is there without having been added"
    );
    assert_eq!(store.grant("ann", "r"), Ok(7));
    assert_eq!(store.grant("ann", "r"), Ok(7), "nothing changes");
    assert_eq!(store.0.user("ann").unwrap().roles, ["r", "root", "s"]);
    let revoke = |role: &str| AuthUserRevokeRoleRequest {
        name: "ann".into(),
        role: role.into(),
    };
    let revoked = store.0.plan_user_revoke_role(&revoke("root"));
    assert_eq!(store.done(revoked), Ok(8));
    let again = store.0.plan_user_revoke_role(&revoke("root"));
    assert_eq!(store.done(again), Err(ApplyError::RoleNotGranted));
    let delete = |role: &str| AuthRoleDeleteRequest { role: role.into() };
    let deleted = store.0.plan_role_delete(&delete("r"));
    assert_eq!(store.done(deleted), Ok(9));
    assert_eq!(store.0.user("ann").unwrap().roles, ["s"]);
    let again = store.0.plan_role_delete(&delete("r"));
    assert_eq!(store.done(again), Err(ApplyError::RoleNotFound));
}

#[test]
fn permissions_are_granted_changed_and_taken() {
    use Type::{Read, Readwrite, Write};
    let mut store = Store::default();
    store.add_role("r").unwrap();
    assert_eq!(store.permit("r", None), Err(ApplyError::PermissionNotGiven));
    assert_eq!(
        store.permit("no", perm(Read, "a", "")),
        Err(ApplyError::RoleNotFound)
    );
    for (key, end) in [("", ""), ("", "b"), ("b", "a"), ("b", "b")] {
        let refused = store.permit("no", perm(Read, key, end));
        assert_eq!(refused, Err(ApplyError::InvalidAuthMgmt), "{key:?} {end:?}");
    }
    assert_eq!(store.permit("r", perm(Read, "b", "\0")), Ok(3));
    assert_eq!(store.permit("r", perm(Write, "b", "c")), Ok(4));
    assert_eq!(store.permit("r", perm(Readwrite, "a", "")), Ok(5));
    // The one that was not the first of its key: etcd would add it a second time.
    assert_eq!(store.permit("r", perm(Read, "b", "c")), Ok(6));
    let granted = [
        (Readwrite as i32, &b"a"[..], &b""[..]),
        (Read as i32, b"b", b"\0"),
        (Read as i32, b"b", b"c"),
    ];
    assert_eq!(store.permissions("r"), granted);
    let revoke = |key: &'static str, end: &'static str| AuthRoleRevokePermissionRequest {
        role: "r".into(),
        key: Bytes::from_static(key.as_bytes()),
        range_end: Bytes::from_static(end.as_bytes()),
    };
    let revoked = store.0.plan_role_revoke(&revoke("b", "c"));
    assert_eq!(store.done(revoked), Ok(7));
    for (key, end) in [("b", "c"), ("a", "b"), ("x", "")] {
        let refused = store.0.plan_role_revoke(&revoke(key, end));
        assert_eq!(store.done(refused), Err(ApplyError::PermissionNotGranted));
    }
    assert_eq!(store.permissions("r").len(), 2);
}

#[test]
fn nobody_locks_everybody_out() {
    let mut store = Store::default();
    let enable = store.0.plan_enable();
    assert_eq!(store.done(enable), Err(ApplyError::RootUserNotExist));
    store.add("root", "").unwrap();
    let enable = store.0.plan_enable();
    assert_eq!(store.done(enable), Err(ApplyError::RootRoleNotExist));
    store.grant("root", "root").unwrap();
    let off = store.0.plan_disable();
    assert_eq!(store.done(off), Ok(3), "it is off");
    for _ in 0..2 {
        let enable = store.0.plan_enable();
        assert_eq!(
            store.done(enable),
            Ok(3),
            "the switch alone is no new revision"
        );
    }
    let root = String::from("root");
    let refused = [
        store
            .0
            .plan_user_delete(&AuthUserDeleteRequest { name: root.clone() }),
        store
            .0
            .plan_role_delete(&AuthRoleDeleteRequest { role: root.clone() }),
        store.0.plan_user_revoke_role(&AuthUserRevokeRoleRequest {
            name: root.clone(),
            role: root,
        }),
    ];
    for planned in refused {
        assert_eq!(planned, Err(ApplyError::InvalidAuthMgmt));
    }
    let off = store.0.plan_disable();
    assert_eq!(store.tokens_of(off), Ok(vec![TokenChange::ForgetAll]));
    assert_eq!(store.0.head().revision, 4);
    let delete = AuthUserDeleteRequest {
        name: "root".into(),
    };
    let deleted = store.0.plan_user_delete(&delete);
    assert_eq!(store.done(deleted), Ok(5), "while it is off, anything goes");
}

#[test]
fn tokens_are_for_users_with_a_password() {
    let mut store = Store::default();
    store.add("root", "").unwrap();
    store.grant("root", "root").unwrap();
    let ask = |name: &str, part: &str| InternalAuthenticateRequest {
        name: name.into(),
        simple_token: part.into(),
        ..InternalAuthenticateRequest::default()
    };
    let early = store.0.plan_authenticate(&ask("root", "abc"), 9);
    assert_eq!(early, Err(ApplyError::AuthNotEnabled));
    assert_eq!(store.0.password_of("root"), Err(ApplyError::AuthNotEnabled));
    let passwordless = AuthUserAddRequest {
        name: "fay".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..AuthUserAddRequest::default()
    };
    let added = store.0.plan_user_add(&passwordless);
    store.done(added).unwrap();
    let enable = store.0.plan_enable();
    store.done(enable).unwrap();
    let (plan, token) = store.0.plan_authenticate(&ask("root", "abc"), 9).unwrap();
    assert_eq!(token, "abc.9");
    let user = "root".into();
    assert_eq!(plan.tokens, [TokenChange::Assign { token, user }]);
    assert!(plan.changes.is_empty());
    let other_kind = store.0.plan_authenticate(&ask("root", ""), 9);
    assert_eq!(other_kind, Ok((Plan::default(), String::new())));
    for name in ["nobody", "fay"] {
        let refused = store.0.plan_authenticate(&ask(name, "abc"), 9);
        assert_eq!(refused, Err(ApplyError::AuthFailed), "{name}");
    }
    assert_eq!(store.0.password_of("nobody"), Err(ApplyError::AuthFailed));
    assert_eq!(store.0.password_of("fay"), Err(ApplyError::NoPasswordUser));
    assert_eq!(store.0.password_of("root"), Ok((Bytes::new(), 4)));
}

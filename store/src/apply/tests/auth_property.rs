//! Random commands on users and roles: refusals change nothing, changes are new revisions, and what
//! is loaded from the rows is what was applied.

use proptest::prelude::*;
use proto_etcd::authpb::permission::Type;
use proto_etcd::etcdserverpb::{
    AuthRoleDeleteRequest, AuthRoleRevokePermissionRequest, AuthUserDeleteRequest,
    AuthUserRevokeRoleRequest, InternalRaftRequest,
};

use super::auth::{disable, enable, grant, live, permit, role_add, send, user_add};
use super::{Store, mem_options, text};
use crate::consensus::StateMachine;

fn command() -> impl Strategy<Value = InternalRaftRequest> {
    let name = || prop::sample::select(vec!["root", "ann", "bob"]);
    let role = || prop::sample::select(vec!["root", "r", "s"]);
    let key = || prop::sample::select(vec!["a", "b", "c"]);
    let kind = || prop::sample::select(vec![Type::Read, Type::Write, Type::Readwrite]);
    let with = |fill: fn(&mut InternalRaftRequest, &str, &str)| {
        move |(a, b): (&str, &str)| {
            let mut request = InternalRaftRequest::default();
            fill(&mut request, a, b);
            request
        }
    };
    prop_oneof![
        name().prop_map(user_add),
        role().prop_map(role_add),
        (name(), role()).prop_map(|(name, role)| grant(name, role)),
        (role(), kind(), key(), key())
            .prop_map(|(role, kind, key, end)| permit(role, kind, key, end)),
        Just(enable()),
        Just(disable()),
        (name(), role()).prop_map(with(|request, name, role| {
            request.auth_user_revoke_role = Some(AuthUserRevokeRoleRequest {
                name: name.into(),
                role: role.into(),
            });
        })),
        (name(), role()).prop_map(with(|request, name, _| {
            request.auth_user_delete = Some(AuthUserDeleteRequest { name: name.into() });
        })),
        (name(), role()).prop_map(with(|request, _, role| {
            request.auth_role_delete = Some(AuthRoleDeleteRequest { role: role.into() });
        })),
        (role(), key()).prop_map(with(|request, role, key| {
            request.auth_role_revoke_permission = Some(AuthRoleRevokePermissionRequest {
                role: role.into(),
                key: text(key),
                range_end: text("c"),
            });
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_loaded_is_what_was_applied(
        commands in prop::collection::vec((command(), any::<bool>()), 1..40),
    ) {
        let mut store = Store::new();
        for (command, is_root) in commands {
            let user = if is_root { "root" } else { "ann" };
            let before = live(&store);
            let result = send(&mut store, user, command);
            let after = live(&store);
            // A refusal changes nothing, and what changes more than the switch is a new revision.
            prop_assert!(result.is_ok() || before == after);
            let is_new = after.head().revision == before.head().revision + 1;
            prop_assert!(is_new || after.head().revision == before.head().revision);
            let same_rows = before.users().eq(after.users()) && before.roles().eq(after.roles());
            prop_assert!(is_new || same_rows);
        }
        let before = live(&store);
        store.machine.flush().unwrap();
        let store = store.crash(mem_options());
        prop_assert_eq!(live(&store), before);
    }
}

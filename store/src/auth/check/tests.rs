//! Who may do what, by hand-picked users: each case names a request and who may send it.

use bytes::Bytes;
use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, Role, User};
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

use super::Asker;
use crate::auth::{Change, State};
use crate::command::ApplyError;
use crate::keys::sys::AuthRow;
use crate::lease::Table;

const REVISION: u64 = 7;
const USERS: [&str; 4] = ["root", "reader", "writer", "both"];

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Each user but root has a right to the keys from `a` on before `c`.
fn state() -> State {
    let mut state = State::default();
    let kinds = [
        ("reader", Type::Read),
        ("writer", Type::Write),
        ("both", Type::Readwrite),
    ];
    for (name, kind) in kinds {
        state.apply(Change::SetRole(Role {
            name: text(name),
            key_permission: vec![Permission {
                perm_type: kind as i32,
                key: text("a"),
                range_end: text("c"),
            }],
        }));
    }
    for name in USERS {
        state.apply(Change::SetUser(User {
            name: text(name),
            roles: vec![name.to_owned()],
            ..User::default()
        }));
    }
    state.apply(Change::Head(AuthRow {
        is_enabled: true,
        revision: REVISION,
    }));
    state
}

fn asker(user: &str) -> Asker<'_> {
    Asker {
        user,
        revision: REVISION,
    }
}

/// Those for whom `check` has no objection; the others must be denied, and nobody else let in.
fn permitted(check: impl Fn(&State, Asker<'_>) -> Result<(), ApplyError>) -> String {
    let state = state();
    assert_eq!(check(&state, Asker::default()), Err(ApplyError::UserEmpty));
    assert_eq!(
        check(&state, asker("gone")),
        Err(ApplyError::PermissionDenied)
    );
    let old = Asker {
        user: "both",
        revision: REVISION - 1,
    };
    assert_eq!(check(&state, old), Err(ApplyError::AuthOldRevision));
    let mut off = state.clone();
    off.apply(Change::Head(AuthRow::default()));
    assert_eq!(check(&off, Asker::default()), Ok(()), "switched off");
    let may = |user: &&str| match check(&state, asker(user)) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, ApplyError::PermissionDenied, "{user}");
            false
        }
    };
    USERS.into_iter().filter(may).collect::<Vec<_>>().join(" ")
}

fn get(key: &'static str, range_end: &'static str) -> RangeRequest {
    RangeRequest {
        key: text(key),
        range_end: text(range_end),
        ..RangeRequest::default()
    }
}

fn put(key: &'static str) -> PutRequest {
    PutRequest {
        key: text(key),
        ..PutRequest::default()
    }
}

fn delete(key: &'static str, range_end: &'static str, prev_kv: bool) -> DeleteRangeRequest {
    DeleteRangeRequest {
        key: text(key),
        range_end: text(range_end),
        prev_kv,
    }
}

fn op(request: Request) -> RequestOp {
    let request = Some(request);
    RequestOp { request }
}

fn leases() -> Table {
    let mut leases = Table::default();
    for (id, key) in [(1, "a"), (2, "z")] {
        leases.set(id, 10, 0);
        leases.move_key(&text(key), 0, id);
    }
    leases.set(3, 10, 0);
    leases
}

#[test]
fn reads_and_writes_of_keys() {
    let range = |range: RangeRequest| permitted(|state, who| state.check_range(who, &range));
    assert_eq!(range(get("a", "")), "root reader both");
    assert_eq!(range(get("a", "c")), "root reader both");
    assert_eq!(range(get("a", "d")), "root");
    assert_eq!(range(get("a", "\0")), "root");
    assert_eq!(range(get("z", "")), "root");
    let put = |put: PutRequest| permitted(|state, who| state.check_put(who, &put, &leases()));
    assert_eq!(put(self::put("b")), "root writer both");
    assert_eq!(put(self::put("c")), "root");
    let seeing = PutRequest {
        prev_kv: true,
        ..self::put("b")
    };
    assert_eq!(put(seeing), "root both");
    let delete = |d: DeleteRangeRequest| permitted(|state, who| state.check_delete(who, &d));
    assert_eq!(delete(self::delete("a", "c", false)), "root writer both");
    assert_eq!(delete(self::delete("a", "c", true)), "root both");
    assert_eq!(delete(self::delete("a", "\0", false)), "root");
}

#[test]
fn a_lease_goes_with_the_right_to_write_its_keys() {
    let hang = |lease| {
        let put = PutRequest { lease, ..put("a") };
        permitted(|state, who| state.check_put(who, &put, &leases()))
    };
    assert_eq!(hang(1), "root writer both");
    assert_eq!(hang(2), "root", "the key z hangs on it");
    assert_eq!(hang(3), "root writer both");
    assert_eq!(hang(4), "root writer both", "there is no such lease");
    let state = state();
    let revoke = |user, lease| state.check_lease_write(asker(user), lease, &leases());
    assert_eq!(revoke("writer", 1), Ok(()));
    assert_eq!(revoke("reader", 1), Err(ApplyError::PermissionDenied));
    assert_eq!(revoke("writer", 2), Err(ApplyError::PermissionDenied));
    assert_eq!(revoke("reader", 3), Ok(()), "no key is lost");
    let own = super::own_header();
    let own = Asker::of(Some(&own));
    assert_eq!(
        state.check_lease_write(own, 2, &leases()),
        Ok(()),
        "leases end"
    );
    let see = |user, key| state.check_lease_read(asker(user), &[text(key)]);
    assert_eq!(see("reader", "a"), Ok(()));
    assert_eq!(see("writer", "a"), Err(ApplyError::PermissionDenied));
    assert_eq!(see("root", "z"), Ok(()));
}

#[test]
fn a_transaction_is_checked_in_both_branches_at_every_depth() {
    let txn = |txn: &TxnRequest| permitted(|state, who| state.check_txn(who, txn, &leases()));
    let ops = [
        (op(Request::RequestRange(get("a", "c"))), "root reader both"),
        (op(Request::RequestRange(get("a", "\0"))), "root"),
        (op(Request::RequestPut(put("a"))), "root writer both"),
        (op(Request::RequestPut(put("z"))), "root"),
        (
            op(Request::RequestPut(PutRequest {
                prev_kv: true,
                ..put("a")
            })),
            "root both",
        ),
        (
            op(Request::RequestPut(PutRequest {
                lease: 2,
                ..put("a")
            })),
            "root",
        ),
        (
            op(Request::RequestDeleteRange(delete("a", "", false))),
            "root writer both",
        ),
        (
            op(Request::RequestDeleteRange(delete("a", "", true))),
            "root both",
        ),
    ];
    for (op_of, expected) in ops {
        let success = TxnRequest {
            success: vec![op_of.clone()],
            ..TxnRequest::default()
        };
        let failure = TxnRequest {
            failure: vec![op_of.clone()],
            ..TxnRequest::default()
        };
        assert_eq!(txn(&success), expected, "then {op_of:?}");
        assert_eq!(txn(&failure), expected, "else {op_of:?}");
        let nested = TxnRequest {
            failure: vec![op(Request::RequestTxn(success))],
            ..TxnRequest::default()
        };
        assert_eq!(txn(&nested), expected, "nested {op_of:?}");
    }
    for (key, range_end, expected) in [
        ("a", "", "root reader both"),
        ("a", "c", "root reader both"),
        ("a", "\0", "root"),
    ] {
        let compare = Compare {
            key: text(key),
            range_end: text(range_end),
            ..Compare::default()
        };
        let compares = TxnRequest {
            compare: vec![compare],
            ..TxnRequest::default()
        };
        assert_eq!(txn(&compares), expected);
        let nested = TxnRequest {
            success: vec![op(Request::RequestTxn(compares))],
            ..TxnRequest::default()
        };
        assert_eq!(txn(&nested), expected, "nested");
    }
}

#[test]
fn administrators_have_the_root_role() {
    let state = state();
    let admin = |user| state.check_admin(asker(user));
    assert_eq!(admin("root"), Ok(()));
    assert_eq!(admin("both"), Err(ApplyError::PermissionDenied));
    assert_eq!(admin("gone"), Err(ApplyError::UserNotFound));
    assert_eq!(admin(""), Err(ApplyError::UserEmpty));
    // No revision makes an administrator old: the next command is looked at anew anyhow.
    let old = Asker {
        user: "root",
        revision: 1,
    };
    assert_eq!(state.check_admin(old), Ok(()));
    assert_eq!(State::default().check_admin(Asker::default()), Ok(()));
    assert_eq!(
        state.check_user(Asker::default()),
        Err(ApplyError::UserEmpty)
    );
    assert_eq!(state.check_user(asker("gone")), Ok(()));
    assert_eq!(State::default().check_user(Asker::default()), Ok(()));
}

#[test]
fn a_read_wants_the_present_revision() {
    let state = state();
    let present = |revision| {
        state.check_present(Asker {
            user: "both",
            revision,
        })
    };
    assert_eq!(present(REVISION), Ok(()));
    assert_eq!(present(REVISION - 1), Err(ApplyError::AuthOldRevision));
    assert_eq!(present(REVISION + 1), Err(ApplyError::AuthOldRevision));
    let off = State::default();
    assert_eq!(off.check_present(asker("both")), Ok(()));
}

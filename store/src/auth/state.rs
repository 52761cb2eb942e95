//! Users, roles and the switch, as every member holds them. Changed by apply alone, row for row as
//! the disk; rebuilt from the rows at start.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, Role, User};

use super::ROOT;
use super::ranges::Ranges;
use crate::keys::sys::AuthRow;

/// A change of one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The switch or the revision.
    Head(AuthRow),
    /// A user is new or different.
    SetUser(User),
    /// The user of that name is gone.
    RemoveUser(Bytes),
    /// A role is new or different.
    SetRole(Role),
    /// The role of that name is gone.
    RemoveRole(Bytes),
}

/// A user and what its roles add up to.
#[derive(Clone, Debug, PartialEq)]
struct Account {
    user: User,
    read: Ranges,
    write: Ranges,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    head: AuthRow,
    users: BTreeMap<Bytes, Account>,
    roles: BTreeMap<Bytes, Role>,
}

impl State {
    /// The switch and the revision.
    pub fn head(&self) -> AuthRow {
        self.head
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name.as_bytes()).map(|account| &account.user)
    }

    /// All users by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values().map(|account| &account.user)
    }

    /// A role.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name.as_bytes())
    }

    /// All roles by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// What a user may read, and what it may write.
    pub(super) fn grants(&self, name: &str) -> Option<(&Ranges, &Ranges)> {
        let account = self.users.get(name.as_bytes())?;
        Some((&account.read, &account.write))
    }

    /// Does a change. Rows may come in any order: a user's rights are put together again whenever one
    /// of its roles comes.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Head(head) => self.head = head,
            Change::SetUser(user) => {
                let account = self.account(user);
                self.users.insert(account.user.name.clone(), account);
            }
            Change::RemoveUser(name) => {
                self.users.remove(&name);
            }
            Change::SetRole(role) => {
                let name = role.name.clone();
                self.roles.insert(name.clone(), role);
                self.renew_holders(&name);
            }
            Change::RemoveRole(name) => {
                self.roles.remove(&name);
                self.renew_holders(&name);
            }
        }
    }

    fn renew_holders(&mut self, role: &[u8]) {
        let holders: Vec<User> = self
            .users()
            .filter(|user| user.roles.iter().any(|held| held.as_bytes() == role))
            .cloned()
            .collect();
        for user in holders {
            let account = self.account(user);
            self.users.insert(account.user.name.clone(), account);
        }
    }

    fn account(&self, user: User) -> Account {
        // A role that is not there grants nothing.
        let roles = user.roles.iter().filter_map(|role| self.role(role));
        let permissions: Vec<&Permission> = roles.flat_map(|role| &role.key_permission).collect();
        let with = |kind: Type| {
            let granted = permissions.iter().filter(move |permission| {
                permission.perm_type == Type::Readwrite as i32
                    || permission.perm_type == kind as i32
            });
            Ranges::union(granted.map(|permission| (&permission.key, &permission.range_end)))
        };
        let (read, write) = (with(Type::Read), with(Type::Write));
        Account { user, read, write }
    }
}

/// True if a user may do everything.
pub(super) fn is_root(user: &User) -> bool {
    user.roles.iter().any(|role| role == ROOT)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto_etcd::authpb::permission::Type;
    use proto_etcd::authpb::{Permission, Role, User};

    use super::{Change, State};

    fn user(roles: &[&str]) -> Change {
        Change::SetUser(User {
            name: Bytes::from_static(b"ann"),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..User::default()
        })
    }

    fn role(name: &'static str, kind: Type, key: &'static str) -> Change {
        let permission = Permission {
            perm_type: kind as i32,
            key: Bytes::from_static(key.as_bytes()),
            range_end: Bytes::new(),
        };
        Change::SetRole(Role {
            name: Bytes::from_static(name.as_bytes()),
            key_permission: vec![permission],
        })
    }

    fn rights(state: &State, key: &str) -> (bool, bool) {
        let (read, write) = state.grants("ann").unwrap();
        (
            read.covers(key.as_bytes(), b""),
            write.covers(key.as_bytes(), b""),
        )
    }

    #[test]
    fn rights_follow_roles_in_whatever_order_the_rows_come() {
        let changes = [
            user(&["r", "rw", "w"]),
            role("r", Type::Read, "a"),
            role("w", Type::Write, "b"),
            role("rw", Type::Readwrite, "c"),
        ];
        let (mut forwards, mut backwards) = (State::default(), State::default());
        changes
            .iter()
            .for_each(|change| forwards.apply(change.clone()));
        let backwards_order = changes.iter().rev();
        backwards_order.for_each(|change| backwards.apply(change.clone()));
        assert_eq!(forwards, backwards);
        assert_eq!(rights(&forwards, "a"), (true, false));
        assert_eq!(rights(&forwards, "b"), (false, true));
        assert_eq!(rights(&forwards, "c"), (true, true));
        assert_eq!(rights(&forwards, "d"), (false, false));
        forwards.apply(Change::RemoveRole(Bytes::from_static(b"rw")));
        assert_eq!(rights(&forwards, "c"), (false, false));
        forwards.apply(user(&["w"]));
        assert_eq!(rights(&forwards, "a"), (false, false));
        assert_eq!(rights(&forwards, "b"), (false, true));
        forwards.apply(Change::RemoveUser(Bytes::from_static(b"ann")));
        assert!(forwards.grants("ann").is_none());
    }
}

//! Reads on somebody's behalf. The right is looked at under the same lock as what is read, so that
//! no answer holds what its asker could not read at the moment that the answer is of.

use bytes::Bytes;
use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, Role};
use proto_etcd::etcdserverpb::{RangeRequest, RangeResponse, TxnRequest, TxnResponse};

use super::View;
use super::memory::Memory;
use super::view::ReadError;
use crate::auth::{Identity, ROOT, Tokens};
use crate::command::ApplyError;
use crate::keys::sys::AuthRow;

impl View {
    /// Whether requests must say who sends them, and the revision of users and roles.
    pub fn auth(&self) -> AuthRow {
        self.shared.memory.read().auth.head()
    }

    /// The simple tokens that this member knows.
    pub fn tokens(&self) -> &Tokens {
        &self.shared.tokens
    }

    /// As [`View::range`].
    pub fn range_for(
        &self,
        identity: &Identity,
        request: &RangeRequest,
    ) -> Result<RangeResponse, ReadError> {
        self.range_if(request, |memory| {
            let asker = identity.asker();
            memory.auth.check_range(asker, request)?;
            memory.auth.check_present(asker)
        })
    }

    /// As [`View::txn`].
    pub fn txn_for(
        &self,
        identity: &Identity,
        request: &TxnRequest,
    ) -> Result<TxnResponse, ReadError> {
        self.txn_if(request, |memory| {
            let asker = identity.asker();
            memory.auth.check_txn(asker, request, &memory.leases)?;
            memory.auth.check_present(asker)
        })
    }

    /// Refuses all but administrators.
    pub fn check_admin(&self, identity: &Identity) -> Result<(), ApplyError> {
        let memory = self.shared.memory.read();
        memory.auth.check_admin(identity.asker())
    }

    /// Refuses who does not say who they are.
    pub fn check_user(&self, identity: &Identity) -> Result<(), ApplyError> {
        let memory = self.shared.memory.read();
        memory.auth.check_user(identity.asker())
    }

    /// Refuses to watch keys that may not be read.
    pub fn check_watch(
        &self,
        identity: &Identity,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), ApplyError> {
        let memory = self.shared.memory.read();
        memory.auth.check_read(identity.asker(), key, range_end)
    }

    /// Refuses to renew a lease with keys that may not be written.
    pub fn check_renewal(&self, identity: &Identity, lease: i64) -> Result<(), ApplyError> {
        let memory = self.shared.memory.read();
        let asker = identity.asker();
        memory.auth.check_user(asker)?;
        memory.auth.check_lease_write(asker, lease, &memory.leases)
    }

    /// Refuses to name keys that may not be read.
    pub fn check_lease_keys(&self, identity: &Identity, keys: &[Bytes]) -> Result<(), ApplyError> {
        let memory = self.shared.memory.read();
        memory.auth.check_lease_read(identity.asker(), keys)
    }

    /// The ids of all leases, for who may read all keys that hang on them.
    pub fn leases_for(&self, identity: &Identity) -> Result<Vec<i64>, ApplyError> {
        let memory = self.shared.memory.read();
        let asker = identity.asker();
        memory.auth.check_user(asker)?;
        let keys = memory.leases.iter().flat_map(|(_, lease)| &lease.keys);
        memory.auth.check_lease_read(asker, keys)?;
        Ok(memory.leases.iter().map(|(id, _)| id).collect())
    }

    /// The hash of a user's password, and the revision that it is of.
    pub fn password_of(&self, name: &str) -> Result<(Bytes, u64), ApplyError> {
        self.shared.memory.read().auth.password_of(name)
    }

    /// A user's roles, for administrators and for the user.
    pub fn user_roles(&self, identity: &Identity, name: &str) -> Result<Vec<String>, ApplyError> {
        let memory = self.shared.memory.read();
        let is_admin = memory.auth.check_admin(identity.asker());
        if name != identity.user {
            is_admin?;
        }
        let user = memory.auth.user(name).ok_or(ApplyError::UserNotFound)?;
        Ok(user.roles.clone())
    }

    /// A role's permissions, for administrators and for users that have it.
    pub fn permissions(
        &self,
        identity: &Identity,
        name: &str,
    ) -> Result<Vec<Permission>, ApplyError> {
        let memory = self.shared.memory.read();
        let user = memory.auth.user(&identity.user);
        let is_holder = user.is_some_and(|user| user.roles.iter().any(|role| role == name));
        let is_admin = memory.auth.check_admin(identity.asker());
        if !is_holder {
            is_admin?;
        }
        let role = memory.auth.role(name).ok_or(ApplyError::RoleNotFound)?;
        Ok(permissions_of(role))
    }

    /// All users' names, for administrators.
    pub fn user_names(&self, identity: &Identity) -> Result<Vec<String>, ApplyError> {
        self.names(identity, |memory| {
            memory.auth.users().map(|user| text(&user.name)).collect()
        })
    }

    /// All roles' names, for administrators.
    pub fn role_names(&self, identity: &Identity) -> Result<Vec<String>, ApplyError> {
        self.names(identity, |memory| {
            memory.auth.roles().map(|role| text(&role.name)).collect()
        })
    }

    fn names(
        &self,
        identity: &Identity,
        read: impl FnOnce(&Memory) -> Vec<String>,
    ) -> Result<Vec<String>, ApplyError> {
        let memory = self.shared.memory.read();
        memory.auth.check_admin(identity.asker())?;
        Ok(read(&memory))
    }
}

/// The root role may do everything, whatever was granted to it.
fn permissions_of(role: &Role) -> Vec<Permission> {
    if role.name == ROOT.as_bytes() {
        return vec![Permission {
            perm_type: Type::Readwrite as i32,
            key: Bytes::new(),
            range_end: Bytes::from_static(&[0]),
        }];
    }
    role.key_permission.clone()
}

/// Names come as text and are stored as bytes.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

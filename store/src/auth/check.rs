//! May they? The rules of etcd, for every request that touches keys.
//!
//! A request carries the name of its user and the revision of the auth state at which that name was
//! looked up. Whatever has changed since may have taken the user's rights, so that an older revision
//! is refused and the client comes again with what holds now.

use bytes::Bytes;
use proto_etcd::etcdserverpb::request_op::Request;
use proto_etcd::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestHeader, RequestOp, TxnRequest,
};

use super::ROOT;
use super::state::{State, is_root};
use crate::command::ApplyError;
use crate::lease::Table;

/// Who asks, as a read carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user; empty if nobody said.
    pub user: String,
    /// The revision of the auth state when the user was looked up; 0 if nobody said.
    pub revision: u64,
}

impl Identity {
    /// The same, borrowed.
    pub fn asker(&self) -> Asker<'_> {
        Asker {
            user: &self.user,
            revision: self.revision,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asker<'a> {
    /// See [`Identity`].
    pub user: &'a str,
    /// See [`Identity`].
    pub revision: u64,
}

impl<'a> Asker<'a> {
    /// As a command carries it.
    pub fn of(header: Option<&'a RequestHeader>) -> Self {
        header.map_or_else(Self::default, |header| Self {
            user: &header.username,
            revision: header.auth_revision,
        })
    }
}

/// The header of what the store itself asks for, such as the end of a lease: the root user may do it
/// whatever has changed meanwhile.
pub fn own_header() -> RequestHeader {
    RequestHeader {
        username: ROOT.into(),
        ..RequestHeader::default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl State {
    /// What only those with the root role may do.
    pub fn check_admin(&self, asker: Asker<'_>) -> Result<(), ApplyError> {
        if !self.head().is_enabled {
            return Ok(());
        }
        if asker.user.is_empty() {
            return Err(ApplyError::UserEmpty);
        }
        match self.user(asker.user) {
            None => Err(ApplyError::UserNotFound),
            Some(user) if is_root(user) => Ok(()),
            Some(_) => Err(ApplyError::PermissionDenied),
        }
    }

    /// What nobody may do who does not say who they are.
    pub fn check_user(&self, asker: Asker<'_>) -> Result<(), ApplyError> {
        if self.head().is_enabled && asker == Asker::default() {
            Err(ApplyError::UserEmpty)
        } else {
            Ok(())
        }
    }

    /// A read of keys.
    pub fn check_read(
        &self,
        asker: Asker<'_>,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), ApplyError> {
        self.check(asker, Access::Read, key, range_end)
    }

    /// A read that is answered at once. Beside the right itself, what the asker knows must be the
    /// present state: a token may carry a revision that this member has not seen.
    pub fn check_present(&self, asker: Asker<'_>) -> Result<(), ApplyError> {
        let revision = asker.revision;
        if self.head().is_enabled && revision != 0 && revision != self.head().revision {
            Err(ApplyError::AuthOldRevision)
        } else {
            Ok(())
        }
    }

    /// A range.
    pub fn check_range(&self, asker: Asker<'_>, range: &RangeRequest) -> Result<(), ApplyError> {
        self.check(asker, Access::Read, &range.key, &range.range_end)
    }

    /// A put. Who hangs a key on a lease must be able to end that lease, and who wants to see the old
    /// value must be able to read it.
    pub fn check_put(
        &self,
        asker: Asker<'_>,
        put: &PutRequest,
        leases: &Table,
    ) -> Result<(), ApplyError> {
        self.check(asker, Access::Write, &put.key, b"")?;
        self.check_lease_write(asker, put.lease, leases)?;
        if put.prev_kv {
            self.check(asker, Access::Read, &put.key, b"")?;
        }
        Ok(())
    }

    /// A delete.
    pub fn check_delete(
        &self,
        asker: Asker<'_>,
        delete: &DeleteRangeRequest,
    ) -> Result<(), ApplyError> {
        self.check(asker, Access::Write, &delete.key, &delete.range_end)?;
        if delete.prev_kv {
            self.check(asker, Access::Read, &delete.key, &delete.range_end)?;
        }
        Ok(())
    }

    /// A transaction: every comparison and both branches, at every depth, whichever is taken.
    pub fn check_txn(
        &self,
        asker: Asker<'_>,
        txn: &TxnRequest,
        leases: &Table,
    ) -> Result<(), ApplyError> {
        for compare in &txn.compare {
            self.check(asker, Access::Read, &compare.key, &compare.range_end)?;
        }
        for op in txn.success.iter().chain(&txn.failure) {
            self.check_op(asker, op, leases)?;
        }
        Ok(())
    }

    fn check_op(&self, asker: Asker<'_>, op: &RequestOp, leases: &Table) -> Result<(), ApplyError> {
        match &op.request {
            Some(Request::RequestRange(range)) => self.check_range(asker, range),
            Some(Request::RequestPut(put)) => self.check_put(asker, put, leases),
            Some(Request::RequestDeleteRange(delete)) => self.check_delete(asker, delete),
            Some(Request::RequestTxn(txn)) => self.check_txn(asker, txn, leases),
            None => Ok(()),
        }
    }

    /// The end of a lease, which deletes its keys, or its renewal, which keeps them.
    pub fn check_lease_write(
        &self,
        asker: Asker<'_>,
        lease: i64,
        leases: &Table,
    ) -> Result<(), ApplyError> {
        let keys = leases.get(lease).map(|lease| &lease.keys);
        self.check_each(asker, Access::Write, keys.into_iter().flatten())
    }

    /// The names of the keys that hang on a lease.
    pub fn check_lease_read<'a>(
        &self,
        asker: Asker<'_>,
        keys: impl IntoIterator<Item = &'a Bytes>,
    ) -> Result<(), ApplyError> {
        self.check_each(asker, Access::Read, keys)
    }

    fn check_each<'a>(
        &self,
        asker: Asker<'_>,
        access: Access,
        keys: impl IntoIterator<Item = &'a Bytes>,
    ) -> Result<(), ApplyError> {
        if self.check_admin(asker).is_ok() {
            return Ok(());
        }
        for key in keys {
            self.check(asker, access, key, b"")?;
        }
        Ok(())
    }

    fn check(
        &self,
        asker: Asker<'_>,
        access: Access,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), ApplyError> {
        if !self.head().is_enabled {
            return Ok(());
        }
        if asker.revision == 0 {
            return Err(ApplyError::UserEmpty);
        }
        if asker.revision < self.head().revision {
            return Err(ApplyError::AuthOldRevision);
        }
        let Some((read, write)) = self.grants(asker.user) else {
            return Err(ApplyError::PermissionDenied);
        };
        let granted = match access {
            Access::Read => read,
            Access::Write => write,
        };
        if self.user(asker.user).is_some_and(is_root) || granted.covers(key, range_end) {
            Ok(())
        } else {
            Err(ApplyError::PermissionDenied)
        }
    }
}

#[cfg(test)]
mod tests;

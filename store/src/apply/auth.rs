//! Users and roles at apply: may the sender of a command do it, and what do the commands on users
//! and roles themselves come to. Every member checks every command, so that all refuse the same ones.

use proto_etcd::etcdserverpb::{AuthEnableResponse, AuthenticateResponse, InternalRaftRequest};

use super::dispatch::{Command, Effects, Outcome, Stop};
use crate::auth::{Asker, Plan};
use crate::command::ApplyError;

impl From<ApplyError> for Stop {
    fn from(error: ApplyError) -> Self {
        Self::Refused(error)
    }
}

impl Command<'_> {
    /// Refuses a command on keys or leases that its sender has no right to.
    pub(super) fn permit(&self, request: &InternalRaftRequest) -> Result<(), ApplyError> {
        let (auth, leases) = (&self.memory.auth, &self.memory.leases);
        let asker = Asker::of(request.header.as_ref());
        if let Some(put) = &request.put {
            auth.check_put(asker, put, leases)
        } else if let Some(txn) = &request.txn {
            auth.check_txn(asker, txn, leases)
        } else if let Some(delete) = &request.delete_range {
            auth.check_delete(asker, delete)
        } else if let Some(range) = &request.range {
            auth.check_range(asker, range)
        } else if let Some(revoke) = &request.lease_revoke {
            auth.check_lease_write(asker, revoke.id, leases)
        } else {
            // The right to compact is asked for before it is proposed; to grant a lease needs none.
            Ok(())
        }
    }

    /// A command on users and roles; none if it is no such command.
    pub(super) fn auth(&self, request: &InternalRaftRequest) -> Result<Option<Outcome>, Stop> {
        let auth = &self.memory.auth;
        if let Some(authenticate) = &request.authenticate {
            let (plan, token) = auth.plan_authenticate(authenticate, self.index)?;
            let header = self.header();
            let response = AuthenticateResponse { header, token };
            return Ok(Some(Outcome::with(&response, effects(plan))));
        }
        let Some(planned) = self.plan(request) else {
            return Ok(None);
        };
        auth.check_admin(Asker::of(request.header.as_ref()))?;
        // All of these have a response of the same shape: the header alone.
        let header = self.header();
        let response = AuthEnableResponse { header };
        Ok(Some(Outcome::with(&response, effects(planned?))))
    }

    /// What only an administrator may do. A plan changes nothing by itself.
    fn plan(&self, request: &InternalRaftRequest) -> Option<Result<Plan, ApplyError>> {
        let auth = &self.memory.auth;
        Some(if request.auth_enable.is_some() {
            auth.plan_enable()
        } else if request.auth_disable.is_some() {
            auth.plan_disable()
        } else if let Some(request) = &request.auth_user_add {
            auth.plan_user_add(request)
        } else if let Some(request) = &request.auth_user_delete {
            auth.plan_user_delete(request)
        } else if let Some(request) = &request.auth_user_change_password {
            auth.plan_user_change_password(request)
        } else if let Some(request) = &request.auth_user_grant_role {
            auth.plan_user_grant_role(request)
        } else if let Some(request) = &request.auth_user_revoke_role {
            auth.plan_user_revoke_role(request)
        } else if let Some(request) = &request.auth_role_add {
            auth.plan_role_add(request)
        } else if let Some(request) = &request.auth_role_delete {
            auth.plan_role_delete(request)
        } else if let Some(request) = &request.auth_role_grant_permission {
            auth.plan_role_grant(request)
        } else if let Some(request) = &request.auth_role_revoke_permission {
            auth.plan_role_revoke(request)
        } else {
            return None;
        })
    }
}

fn effects(auth: Plan) -> Effects {
    Effects {
        auth,
        ..Effects::default()
    }
}

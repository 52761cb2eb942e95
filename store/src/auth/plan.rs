//! What a command on users and roles changes. Pure: a state and a request in, a plan out; the
//! refusals are etcd's, in its order.
//!
//! Every plan that changes anything counts the revision up, so that whoever was let in before is
//! looked at anew.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use proto_etcd::authpb::{Permission, Role, User, UserAddOptions};
use proto_etcd::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserChangePasswordRequest,
    AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
    InternalAuthenticateRequest,
};

use super::ROOT;
use super::state::{Change, State, is_root};
use crate::command::ApplyError;
use crate::keys::sys::AuthRow;

/// Go's reader of base64, which does not look at the bits behind the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A change of one member's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChange {
    /// A token now stands for a user.
    Assign {
        /// The token.
        token: String,
        /// The user's name.
        user: String,
    },
    /// The tokens of one user are worth nothing any more.
    Forget {
        /// The user's name.
        user: String,
    },
    /// No token is worth anything any more.
    ForgetAll,
}

/// What a command comes to.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Of the replicated state, in order.
    pub changes: Vec<Change>,
    /// Of each member's own tokens.
    pub tokens: Vec<TokenChange>,
}

impl Plan {
    fn forgetting(mut self, user: &str) -> Self {
        let user = user.to_owned();
        self.tokens.push(TokenChange::Forget { user });
        self
    }
}

type Planned = Result<Plan, ApplyError>;

impl State {
    fn changed(&self, mut changes: Vec<Change>) -> Planned {
        let AuthRow {
            is_enabled,
            revision,
        } = self.head();
        changes.push(Change::Head(AuthRow {
            is_enabled,
            revision: revision + 1,
        }));
        Ok(Plan {
            changes,
            tokens: Vec::new(),
        })
    }

    /// Turns the checks on. Somebody must be able to turn them off again.
    pub fn plan_enable(&self) -> Planned {
        let AuthRow {
            is_enabled,
            revision,
        } = self.head();
        if is_enabled {
            return Ok(Plan::default());
        }
        let root = self.user(ROOT).ok_or(ApplyError::RootUserNotExist)?;
        if !is_root(root) {
            return Err(ApplyError::RootRoleNotExist);
        }
        let head = AuthRow {
            is_enabled: true,
            revision,
        };
        Ok(Plan {
            changes: vec![Change::Head(head)],
            tokens: Vec::new(),
        })
    }

    /// Turns the checks off.
    pub fn plan_disable(&self) -> Planned {
        let AuthRow {
            is_enabled,
            revision,
        } = self.head();
        if !is_enabled {
            return Ok(Plan::default());
        }
        let head = AuthRow {
            is_enabled: false,
            revision: revision + 1,
        };
        Ok(Plan {
            changes: vec![Change::Head(head)],
            tokens: vec![TokenChange::ForgetAll],
        })
    }

    /// Gives a token to a user whose password the proposer has checked. `index` is the command's
    /// place in the log, which makes the token one that was never given before. Where members make
    /// tokens of another kind, the proposer has sent no random part, and there is none here.
    pub fn plan_authenticate(
        &self,
        request: &InternalAuthenticateRequest,
        index: u64,
    ) -> Result<(Plan, String), ApplyError> {
        if !self.head().is_enabled {
            return Err(ApplyError::AuthNotEnabled);
        }
        let user = self.user(&request.name).ok_or(ApplyError::AuthFailed)?;
        if has_no_password(user) {
            return Err(ApplyError::AuthFailed);
        }
        if request.simple_token.is_empty() {
            return Ok((Plan::default(), String::new()));
        }
        let token = format!("{}.{index}", request.simple_token);
        let assign = TokenChange::Assign {
            token: token.clone(),
            user: request.name.clone(),
        };
        let plan = Plan {
            changes: Vec::new(),
            tokens: vec![assign],
        };
        Ok((plan, token))
    }

    /// The hash of a user's password, and the revision that it is of.
    pub fn password_of(&self, name: &str) -> Result<(Bytes, u64), ApplyError> {
        let AuthRow {
            is_enabled,
            revision,
        } = self.head();
        if !is_enabled {
            return Err(ApplyError::AuthNotEnabled);
        }
        let user = self.user(name).ok_or(ApplyError::AuthFailed)?;
        if has_no_password(user) {
            return Err(ApplyError::NoPasswordUser);
        }
        Ok((user.password.clone(), revision))
    }

    /// Adds a user.
    pub fn plan_user_add(&self, request: &AuthUserAddRequest) -> Planned {
        if request.name.is_empty() {
            return Err(ApplyError::UserEmpty);
        }
        if self.user(&request.name).is_some() {
            return Err(ApplyError::UserExists);
        }
        let no_password = request.options.is_some_and(|options| options.no_password);
        let password = if no_password {
            Bytes::new()
        } else {
            hash(&request.password, &request.hashed_password)?
        };
        self.changed(vec![Change::SetUser(User {
            name: request.name.clone().into(),
            password,
            roles: Vec::new(),
            options: Some(UserAddOptions { no_password }),
        })])
    }

    /// Removes a user.
    pub fn plan_user_delete(&self, request: &AuthUserDeleteRequest) -> Planned {
        if self.head().is_enabled && request.name == ROOT {
            return Err(ApplyError::InvalidAuthMgmt);
        }
        let user = self.user(&request.name).ok_or(ApplyError::UserNotFound)?;
        let plan = self.changed(vec![Change::RemoveUser(user.name.clone())])?;
        Ok(plan.forgetting(&request.name))
    }

    /// Changes a password.
    pub fn plan_user_change_password(&self, request: &AuthUserChangePasswordRequest) -> Planned {
        let user = self.user(&request.name).ok_or(ApplyError::UserNotFound)?;
        let password = if has_no_password(user) {
            Bytes::new()
        } else {
            hash(&request.password, &request.hashed_password)?
        };
        let plan = self.changed(vec![Change::SetUser(User {
            password,
            ..user.clone()
        })])?;
        Ok(plan.forgetting(&request.name))
    }

    /// Grants a role to a user. Doing it again changes nothing.
    pub fn plan_user_grant_role(&self, request: &AuthUserGrantRoleRequest) -> Planned {
        let user = self.user(&request.user).ok_or(ApplyError::UserNotFound)?;
        // The root role is there without having been added.
        if request.role != ROOT && self.role(&request.role).is_none() {
            return Err(ApplyError::RoleNotFound);
        }
        let mut user = user.clone();
        match user.roles.binary_search(&request.role) {
            Ok(_) => Ok(Plan::default()),
            Err(at) => {
                user.roles.insert(at, request.role.clone());
                self.changed(vec![Change::SetUser(user)])
            }
        }
    }

    /// Takes a role from a user.
    pub fn plan_user_revoke_role(&self, request: &AuthUserRevokeRoleRequest) -> Planned {
        if self.head().is_enabled && request.name == ROOT && request.role == ROOT {
            return Err(ApplyError::InvalidAuthMgmt);
        }
        let user = self.user(&request.name).ok_or(ApplyError::UserNotFound)?;
        let user = without_role(user, &request.role).ok_or(ApplyError::RoleNotGranted)?;
        self.changed(vec![Change::SetUser(user)])
    }

    /// Adds a role.
    pub fn plan_role_add(&self, request: &AuthRoleAddRequest) -> Planned {
        if request.name.is_empty() {
            return Err(ApplyError::RoleEmpty);
        }
        if self.role(&request.name).is_some() {
            return Err(ApplyError::RoleExists);
        }
        self.changed(vec![Change::SetRole(Role {
            name: request.name.clone().into(),
            key_permission: Vec::new(),
        })])
    }

    /// Removes a role, and takes it from everybody.
    pub fn plan_role_delete(&self, request: &AuthRoleDeleteRequest) -> Planned {
        if self.head().is_enabled && request.role == ROOT {
            return Err(ApplyError::InvalidAuthMgmt);
        }
        let role = self.role(&request.role).ok_or(ApplyError::RoleNotFound)?;
        let holders = self
            .users()
            .filter_map(|user| without_role(user, &request.role));
        let mut changes = vec![Change::RemoveRole(role.name.clone())];
        changes.extend(holders.map(Change::SetUser));
        self.changed(changes)
    }

    /// Grants a permission to a role, or changes what it allows.
    ///
    /// etcd looks for the range to change among those that begin with the same key at the first one
    /// alone, so that a permission on another one cannot be reduced there. Here all are looked at.
    pub fn plan_role_grant(&self, request: &AuthRoleGrantPermissionRequest) -> Planned {
        let wanted = request
            .perm
            .as_ref()
            .ok_or(ApplyError::PermissionNotGiven)?;
        if !is_range(&wanted.key, &wanted.range_end) {
            return Err(ApplyError::InvalidAuthMgmt);
        }
        let mut role = self
            .role(&request.name)
            .ok_or(ApplyError::RoleNotFound)?
            .clone();
        let permissions = &mut role.key_permission;
        let same = |granted: &&mut Permission| {
            granted.key == wanted.key && granted.range_end == wanted.range_end
        };
        match permissions.iter_mut().find(same) {
            Some(granted) => granted.perm_type = wanted.perm_type,
            None => {
                let at = permissions.partition_point(|granted| granted.key <= wanted.key);
                permissions.insert(at, wanted.clone());
            }
        }
        self.changed(vec![Change::SetRole(role)])
    }

    /// Takes a permission from a role.
    pub fn plan_role_revoke(&self, request: &AuthRoleRevokePermissionRequest) -> Planned {
        let mut role = self
            .role(&request.role)
            .ok_or(ApplyError::RoleNotFound)?
            .clone();
        let before = role.key_permission.len();
        role.key_permission
            .retain(|granted| granted.key != request.key || granted.range_end != request.range_end);
        if role.key_permission.len() == before {
            return Err(ApplyError::PermissionNotGranted);
        }
        self.changed(vec![Change::SetRole(role)])
    }
}

fn has_no_password(user: &User) -> bool {
    user.options.is_some_and(|options| options.no_password)
}

/// The hash that a proposer has made, as the log carries it.
fn hash(password: &str, hashed: &str) -> Result<Bytes, ApplyError> {
    // Hashing takes chance, which has no place here. No proposer sends a plain password.
    if !password.is_empty() && hashed.is_empty() {
        return Err(ApplyError::NoPasswordUser);
    }
    let text: Vec<u8> = hashed
        .bytes()
        .filter(|byte| !b"\r\n".contains(byte))
        .collect();
    let decoded = BASE64.decode(text);
    decoded
        .map(Bytes::from)
        .map_err(|_| ApplyError::NoPasswordUser)
}

fn without_role(user: &User, role: &str) -> Option<User> {
    let mut user = user.clone();
    let before = user.roles.len();
    user.roles.retain(|held| held != role);
    (user.roles.len() < before).then_some(user)
}

/// A key, or a range that can hold one.
fn is_range(key: &[u8], range_end: &[u8]) -> bool {
    !key.is_empty() && (range_end.is_empty() || range_end == [0] || key < range_end)
}

#[cfg(test)]
mod tests;

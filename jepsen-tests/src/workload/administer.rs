//! Users, roles and permissions, as an administrator changes them.

use anyhow::{Context, Result};
use proto_etcd::authpb::{Permission, permission};
use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserAddRequest, AuthUserDeleteRequest,
    AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};
use tonic::Request;
use tonic::transport::Channel;

use crate::wire::{Dial, Failure};

const SECONDS_MAX: u64 = 60;

/// Which of the two that make a right is given or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The role's permission.
    Permission,
    /// The user's role.
    Role,
}

/// Every user's password: what is tested are rights, not secrets.
fn password(user: &str) -> String {
    format!("password-of-{user}")
}

/// The one role of a user.
fn role(user: &str) -> String {
    format!("role-of-{user}")
}

/// A new token of `user`.
pub(super) async fn login(channel: Channel, user: &str) -> Result<String, Failure> {
    let request = AuthenticateRequest {
        name: user.to_owned(),
        password: password(user),
    };
    let answer = AuthClient::new(channel).authenticate(request).await?;
    Ok(answer.into_inner().token)
}

/// `message` with a token.
pub(super) fn with_token<T>(message: T, token: &str) -> Result<Request<T>, Failure> {
    let mut request = Request::new(message);
    let token = token.parse();
    let token = token.map_err(|_| Failure::Refused("the token is no header".to_owned()))?;
    request.metadata_mut().insert("token", token);
    Ok(request)
}

/// Somebody who may change rights.
pub(super) struct Admin {
    client: AuthClient<Channel>,
    token: String,
}

impl Admin {
    pub(super) fn new(channel: Channel, token: &str) -> Self {
        Self {
            client: AuthClient::new(channel),
            token: token.to_owned(),
        }
    }

    fn ask<T>(&self, message: T) -> Result<Request<T>, Failure> {
        if self.token.is_empty() {
            return Ok(Request::new(message));
        }
        with_token(message, &self.token)
    }

    /// A user with a role that may read and write `key`. A part may be done when another fails.
    pub(super) async fn hire(&mut self, user: &str, key: &str) -> Result<(), Failure> {
        self.add_user(user).await.map_err(in_part)?;
        let request = self.ask(AuthRoleAddRequest { name: role(user) })?;
        self.client
            .role_add(request)
            .await
            .map_err(|status| in_part(status.into()))?;
        self.give(Way::Permission, user, key)
            .await
            .map_err(in_part)?;
        self.give(Way::Role, user, key).await.map_err(in_part)
    }

    async fn add_user(&mut self, user: &str) -> Result<(), Failure> {
        let request = self.ask(AuthUserAddRequest {
            name: user.to_owned(),
            password: password(user),
            ..AuthUserAddRequest::default()
        })?;
        self.client.user_add(request).await?;
        Ok(())
    }

    /// Gives one part of the right to `key`.
    pub(super) async fn give(&mut self, way: Way, user: &str, key: &str) -> Result<(), Failure> {
        match way {
            Way::Permission => {
                let request = self.ask(AuthRoleGrantPermissionRequest {
                    name: role(user),
                    perm: Some(Permission {
                        perm_type: permission::Type::Readwrite.into(),
                        key: key.to_owned().into(),
                        ..Permission::default()
                    }),
                })?;
                self.client.role_grant_permission(request).await?;
            }
            Way::Role => self.grant_role(user, &role(user)).await?,
        }
        Ok(())
    }

    async fn grant_role(&mut self, user: &str, role: &str) -> Result<(), Failure> {
        let request = self.ask(AuthUserGrantRoleRequest {
            user: user.to_owned(),
            role: role.to_owned(),
        })?;
        self.client.user_grant_role(request).await?;
        Ok(())
    }

    /// Takes it away.
    pub(super) async fn take(&mut self, way: Way, user: &str, key: &str) -> Result<(), Failure> {
        match way {
            Way::Permission => {
                let request = self.ask(AuthRoleRevokePermissionRequest {
                    role: role(user),
                    key: key.to_owned().into(),
                    ..AuthRoleRevokePermissionRequest::default()
                })?;
                self.client.role_revoke_permission(request).await?;
            }
            Way::Role => {
                let request = self.ask(AuthUserRevokeRoleRequest {
                    name: user.to_owned(),
                    role: role(user),
                })?;
                self.client.user_revoke_role(request).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn drop_user(&mut self, user: &str) -> Result<(), Failure> {
        let request = self.ask(AuthUserDeleteRequest {
            name: user.to_owned(),
        })?;
        self.client.user_delete(request).await?;
        Ok(())
    }
}

/// What a part of is done is not refused.
fn in_part(failure: Failure) -> Failure {
    match failure {
        Failure::Refused(why) | Failure::Unknown(why) => Failure::Unknown(why),
    }
}

/// Makes the cluster ask who somebody is.
pub(super) async fn enable(url: &str) -> Result<()> {
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    let mut admin = Admin::new(channel, "");
    let said = |failure: Failure| anyhow::anyhow!("{failure:?}");
    admin.add_user("root").await.map_err(said)?;
    let request = AuthRoleAddRequest {
        name: "root".to_owned(),
    };
    admin.client.role_add(request).await?;
    admin.grant_role("root", "root").await.map_err(said)?;
    admin.client.auth_enable(AuthEnableRequest {}).await?;
    Ok(())
}

/// Makes it ask nobody any more, so that everybody can read what is there.
pub(super) async fn disable(urls: &[String]) -> Result<()> {
    let mut at = 0;
    testkit::poll(SECONDS_MAX, "the end of authentication", async || {
        let url = &urls[at % urls.len()];
        at += 1;
        let channel = Dial::new(url).channel().await.ok_or("nobody answers")?;
        let said = |failure: Failure| format!("{failure:?}");
        let token = login(channel.clone(), "root").await;
        let token = match token {
            // It is off already: an answer before was lost.
            Err(failure) if said(failure.clone()).contains("authentication is not enabled") => {
                return Ok(());
            }
            other => other.map_err(said)?,
        };
        let mut client = AuthClient::new(channel);
        let request = with_token(AuthDisableRequest {}, &token).map_err(said)?;
        let asked = client.auth_disable(request).await;
        asked.map(|_| ()).map_err(|status| status.to_string())
    })
    .await
}

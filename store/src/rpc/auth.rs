//! The Auth service. Changes of users and roles go through the log; what only asks reads the applied
//! state after a read index, where etcd writes an entry of its own.
//!
//! A password must never get any further than here: it is hashed, or compared, and dropped.

use std::sync::Arc;
use std::time::Instant;

use proto_etcd::etcdserverpb::auth_server::Auth as Service;
use proto_etcd::etcdserverpb::*;
use tonic::{Request, Response, Status};

use super::context::Context;
use super::identity::Caller;
use super::status::Error;
use crate::auth::{Identity, Provider, tokens};

/// See the module.
pub(super) struct Auth(pub(super) Arc<Context>);

type Answer<T> = Result<Response<T>, Status>;

impl Auth {
    /// Proposes a command whose response is a header alone, and returns it.
    async fn change(
        &self,
        caller: &Caller,
        command: InternalRaftRequest,
    ) -> Result<Option<ResponseHeader>, Error> {
        // The responses of all these commands have the same shape.
        let response = self.0.propose_for::<AuthEnableResponse>(caller, command);
        let mut header = response.await?.header;
        self.0.complete(&mut header);
        Ok(header)
    }

    /// Who asks, once this member knows everything that was changed before they did.
    async fn ask(&self, caller: &Caller) -> Result<Identity, Error> {
        let identity = self.0.identify(caller).await?;
        self.0.linearize().await?;
        Ok(identity)
    }

    /// Hashes a new password. Only for administrators: it costs a processor, and apply would refuse
    /// anybody else afterwards.
    async fn hash(&self, caller: &Caller, password: &mut String) -> Result<String, Error> {
        if self.0.view.auth().is_enabled {
            let identity = self.ask(caller).await?;
            self.0.view.check_admin(&identity)?;
        }
        let password = std::mem::take(password);
        Ok(self.0.auth.passwords.hash(password).await?)
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(self.0.header())
    }

    async fn token(&self, request: AuthenticateRequest) -> Result<AuthenticateResponse, Error> {
        let AuthenticateRequest { name, password } = request;
        let context = &self.0;
        let deadline = context.deadline();
        context.linearize().await?;
        loop {
            let (hash, revision) = context.view.password_of(&name)?;
            let right = context.auth.passwords.is_right(password.clone(), hash);
            if !right.await? {
                tracing::warn!(user = name, "invalid authentication was requested");
                return Err(Error::AuthFailed);
            }
            let simple_token = self.random_part()?;
            // The log must not hold the password, which has been looked at.
            let authenticate = Some(InternalAuthenticateRequest {
                name: name.clone(),
                simple_token,
                password: String::new(),
            });
            let command = InternalRaftRequest {
                authenticate,
                ..Default::default()
            };
            let mut response = context.propose::<AuthenticateResponse>(command).await?;
            // If anything has changed, the password may be another one by now.
            if context.view.auth().revision == revision {
                response.token = context.token_for(&name, revision, response.token)?;
                context.complete(&mut response.header);
                return Ok(response);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout);
            }
        }
    }

    fn random_part(&self) -> Result<String, Error> {
        match &self.0.auth.provider {
            Provider::Simple => tokens::random_part()
                .map_err(|_| Error::Internal("the system gives no random bytes".into())),
            Provider::Jwt(_) | Provider::Off => Ok(String::new()),
        }
    }
}

#[tonic::async_trait]
impl Service for Auth {
    async fn auth_enable(&self, request: Request<AuthEnableRequest>) -> Answer<AuthEnableResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_enable: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthEnableResponse { header }))
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Answer<AuthDisableResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_disable: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthDisableResponse { header }))
    }

    async fn auth_status(&self, request: Request<AuthStatusRequest>) -> Answer<AuthStatusResponse> {
        self.ask(&Caller::of(&request)).await?;
        let auth = self.0.view.auth();
        Ok(Response::new(AuthStatusResponse {
            header: self.header(),
            enabled: auth.is_enabled,
            auth_revision: auth.revision,
        }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Answer<AuthenticateResponse> {
        Ok(Response::new(self.token(request.into_inner()).await?))
    }

    async fn user_add(&self, request: Request<AuthUserAddRequest>) -> Answer<AuthUserAddResponse> {
        let caller = Caller::of(&request);
        let mut request = request.into_inner();
        // As etcd, which makes the hash itself even if one comes with the request.
        if !request.options.is_some_and(|options| options.no_password) {
            request.hashed_password = self.hash(&caller, &mut request.password).await?;
        }
        let command = InternalRaftRequest {
            auth_user_add: Some(request),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(&self, request: Request<AuthUserGetRequest>) -> Answer<AuthUserGetResponse> {
        let identity = self.ask(&Caller::of(&request)).await?;
        let name = request.into_inner().name;
        let roles = self.0.view.user_roles(&identity, &name);
        let roles = roles.map_err(Error::from)?;
        let header = self.header();
        Ok(Response::new(AuthUserGetResponse { header, roles }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Answer<AuthUserListResponse> {
        let identity = self.ask(&Caller::of(&request)).await?;
        let users = self.0.view.user_names(&identity).map_err(Error::from)?;
        let header = self.header();
        Ok(Response::new(AuthUserListResponse { header, users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Answer<AuthUserDeleteResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_user_delete: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthUserDeleteResponse { header }))
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Answer<AuthUserChangePasswordResponse> {
        let caller = Caller::of(&request);
        let mut request = request.into_inner();
        if !request.password.is_empty() {
            request.hashed_password = self.hash(&caller, &mut request.password).await?;
        }
        let command = InternalRaftRequest {
            auth_user_change_password: Some(request),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Answer<AuthUserGrantRoleResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_user_grant_role: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthUserGrantRoleResponse { header }))
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Answer<AuthUserRevokeRoleResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_user_revoke_role: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthUserRevokeRoleResponse { header }))
    }

    async fn role_add(&self, request: Request<AuthRoleAddRequest>) -> Answer<AuthRoleAddResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_role_add: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthRoleAddResponse { header }))
    }

    async fn role_get(&self, request: Request<AuthRoleGetRequest>) -> Answer<AuthRoleGetResponse> {
        let identity = self.ask(&Caller::of(&request)).await?;
        let name = request.into_inner().role;
        let perm = self.0.view.permissions(&identity, &name);
        let perm = perm.map_err(Error::from)?;
        let header = self.header();
        Ok(Response::new(AuthRoleGetResponse { header, perm }))
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Answer<AuthRoleListResponse> {
        let identity = self.ask(&Caller::of(&request)).await?;
        let roles = self.0.view.role_names(&identity).map_err(Error::from)?;
        let header = self.header();
        Ok(Response::new(AuthRoleListResponse { header, roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Answer<AuthRoleDeleteResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_role_delete: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthRoleDeleteResponse { header }))
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Answer<AuthRoleGrantPermissionResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_role_grant_permission: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthRoleGrantPermissionResponse { header }))
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Answer<AuthRoleRevokePermissionResponse> {
        let caller = Caller::of(&request);
        let command = InternalRaftRequest {
            auth_role_revoke_permission: Some(request.into_inner()),
            ..Default::default()
        };
        let header = self.change(&caller, command).await?;
        Ok(Response::new(AuthRoleRevokePermissionResponse { header }))
    }
}

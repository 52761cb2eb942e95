//! Puts an account's token on each request. A request that a server refused to believe is sent once more, with the token
//! after the refused one: what was not authenticated was not executed.
//!
//! It asks for no token and holds no lock while a request is on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, header};
use kube::client::Body;
use tower::{BoxError, Service};

use super::tokens::{Token, Tokens};
use crate::servers::Failover;
use crate::transport::Counted;

/// The service below an account's client.
#[derive(Clone)]
pub(super) struct Bearer {
    servers: Failover,
    tokens: Tokens,
}

impl Bearer {
    pub(super) fn new(servers: Failover, tokens: Tokens) -> Self {
        Self { servers, tokens }
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Counted>, BoxError> {
        let (mut parts, body) = request.into_parts();
        let again = body.try_clone();
        let token = self.tokens.current().await?;
        carry(&mut parts, &token);
        let first = Request::from_parts(parts.clone(), body);
        let response = self.servers.clone().send(first).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.tokens.refuse(&token);
        let Some(body) = again else {
            return Ok(response);
        };
        let Ok(newer) = self.tokens.after(&token).await else {
            return Ok(response);
        };
        carry(&mut parts, &newer);
        let response = self.servers.send(Request::from_parts(parts, body)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.tokens.refuse(&newer);
        }
        Ok(response)
    }
}

fn carry(parts: &mut http::request::Parts, token: &Token) {
    parts
        .headers
        .insert(header::AUTHORIZATION, token.header.clone());
}

impl Service<Request<Body>> for Bearer {
    type Response = Response<Counted>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

//! From an authorized request to the one that answers it. Routes are data: the table of kinds.

use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::body::{self, Body};
use super::negotiate::Form;
use super::request_info::RequestInfo;
use super::resource::{Call, context};
use super::stack::Stack;
use super::subresource::Take;
use super::{decode, documents, errors, kubelet, render, warnings};
use crate::authn::UserInfo;
use crate::authz::escalation;
use crate::registry::context::RequestContext;
use crate::registry::query::Query;
use crate::reviews::Question;

/// Answers a request.
pub(super) async fn route(
    stack: &Stack,
    info: &RequestInfo,
    query: &Query,
    user: UserInfo,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    if !info.is_resource {
        return documents::respond(stack, info, query, request.headers(), request.method()).await;
    }
    let kind = Kinds::builtin()
        .by_resource(&info.group, &info.version, &info.resource)
        .filter(|kind| info.fits(kind))
        .ok_or_else(Status::unknown_path)?;
    let ctx = context(user, query)?;
    let answered = resource(stack, &ctx, kind, info, query, request).await;
    let mut response = answered.unwrap_or_else(|status| errors::respond(&status));
    warnings::add(response.headers_mut(), ctx.take_warnings());
    Ok(response)
}

async fn resource(
    stack: &Stack,
    ctx: &RequestContext,
    kind: &'static Kind,
    info: &RequestInfo,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let connects = matches!(
        info.subresource.as_str(),
        "log" | "exec" | "attach" | "portforward"
    );
    if connects && info.group.is_empty() && info.resource == "pods" {
        return kubelet::respond(stack, ctx, kind, info, query, request).await;
    }
    let (parts, incoming) = request.into_parts();
    let call = Call {
        stack,
        ctx,
        kind,
        info,
        query,
        headers: &parts.headers,
    };
    if matches!(info.verb, "get" | "list" | "watch") {
        return read(&call).await;
    }
    let body = body::read(incoming)
        .await
        .map_err(|error| errors::of_body(&error))?;
    if let Some(answer) = review(&call, &body).await {
        return answer;
    }
    let read = escalation::kinds_read(&ctx.user, &info.group, info.verb);
    if !read.is_empty() {
        stack.registry.catch_up(&read).await?;
    }
    write(&call, &body).await
}

async fn read(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let Call { kind, info, .. } = call;
    match (info.subresource.as_str(), info.verb) {
        ("", verb) if !kind.has_verb(verb) => Err(Status::method_not_served()),
        ("", "list") => call.list().await,
        ("", "watch") => call.watch().await,
        ("", _) => call.get().await,
        (subresource, _) if kind.subresource(subresource).is_none() => Err(Status::unknown_path()),
        ("scale", "get") => call.scale(&Bytes::new()).await,
        ("proxy", _) => Err(no_proxy()),
        ("status" | "approval" | "ephemeralcontainers" | "resize", "get") => call.get().await,
        _ => Err(Status::method_not_served()),
    }
}

async fn write(call: &Call<'_>, body: &Bytes) -> Result<Response<Body>, Status> {
    let Call { kind, info, .. } = call;
    match (info.subresource.as_str(), info.verb) {
        ("", "create") if info.resource == "bindings" && info.group.is_empty() => {
            let pods = Kinds::builtin()
                .by_resource("", "v1", "pods")
                .ok_or_else(Status::unknown_path)?;
            call.bind(body, pods).await
        }
        ("", verb) if !kind.has_verb(verb) || !kind.is_stored() => Err(Status::method_not_served()),
        ("", "create") if !info.name.is_empty() => Err(Status::method_not_served()),
        ("", "update" | "patch") if info.name.is_empty() => Err(Status::method_not_served()),
        ("", "create") => call.create(body).await,
        ("", "update") => call.update(body).await,
        ("", "patch") => call.patch(body).await,
        ("", "delete") => call.delete(body).await,
        ("", "deletecollection") => call.delete_collection(body).await,
        (subresource, _) if kind.subresource(subresource).is_none() => Err(Status::unknown_path()),
        ("status", "update") => call.update(body).await,
        ("status", "patch") => call.patch(body).await,
        ("scale", _) => call.scale(body).await,
        ("binding", "create") => call.bind(body, kind).await,
        ("eviction", "create") => call.evict(body).await,
        ("finalize", "update") => call.finalize(body).await,
        ("approval", _) => call.part(body, Take::At("/status/conditions")).await,
        ("ephemeralcontainers", _) => call.part(body, Take::At("/spec/ephemeralContainers")).await,
        ("resize", _) => call.part(body, Take::Resources).await,
        ("proxy", _) => Err(no_proxy()),
        _ => Err(Status::method_not_served()),
    }
}

fn no_proxy() -> Status {
    Status::failure(
        501,
        "NotImplemented",
        "the proxy subresource is not supported yet",
    )
}

/// Questions that are asked by creating an object.
async fn review(call: &Call<'_>, body: &Bytes) -> Option<Result<Response<Body>, Status>> {
    let Call {
        stack, ctx, info, ..
    } = call;
    let question = Question {
        group: &info.group,
        resource: &info.resource,
        subresource: &info.subresource,
        namespace: &info.namespace,
        name: &info.name,
    };
    if info.verb != "create" || !question.is_review() {
        return None;
    }
    let content_type = call.header(CONTENT_TYPE);
    let answer = async {
        let mut body = decode::decode(content_type, body)?.value;
        if info.subresource == "token" {
            let target = call.target();
            body = stack.registry.admit_token(ctx, &target, body).await?;
        }
        let warn = |text: String| ctx.warn(text);
        let answer = stack
            .reviews
            .handle(&question, body, &ctx.user, &warn)
            .await?;
        render::value(&answer, Form::default(), StatusCode::CREATED)
    };
    Some(answer.await)
}

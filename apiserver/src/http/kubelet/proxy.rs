//! Passes on what kubelets answer.
//!
//! A log is a stream that is passed on. The others are connections that both sides speak another
//! protocol over once they are upgraded; the bytes are passed through untouched in both directions.

use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use base::OnError;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use http::{HeaderName, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::super::body::{self, Body};
use super::super::errors;
use super::super::request_info::RequestInfo;
use super::super::stack::Stack;
use super::path::kubelet_path;
use crate::admission::Operation;
use crate::registry::context::{RequestContext, Target};
use crate::registry::options::Version;
use crate::registry::pipeline::Admitted;
use crate::registry::query::Query;
use crate::registry::tree;

/// What is read of a kubelet's refusal.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// The port of a kubelet whose node does not say.
const PORT: i64 = 10250;
/// Answers a request for a pod's log or a connection into it.
pub(in crate::http) async fn respond(
    stack: &Stack,
    ctx: &RequestContext,
    pods: &'static Kind,
    info: &RequestInfo,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let target = Target::new(pods, &info.namespace, &info.name);
    let pod = stack
        .registry
        .get(&target, Version::Newest)
        .await?
        .value()?;
    let subresource = info.subresource.as_str();
    if subresource == "log" && *request.method() != Method::GET {
        return Err(Status::method_not_served());
    }
    if subresource != "log" {
        let admission = Admitted {
            ctx,
            target: &target,
            subresource: Some(subresource),
            operation: Operation::Connect,
        };
        admission.without_object(&stack.registry, None).await?;
    }
    let node = tree::text(&pod, "/spec/nodeName");
    if node.is_empty() {
        if subresource == "log" {
            return Ok(errors::plain(StatusCode::OK, ""));
        }
        return Err(Status::bad_request(format!(
            "pod {} does not have a host assigned",
            info.name
        )));
    }
    let path = kubelet_path(&pod, info, query)?;
    let (host, port) = address_of(stack, node).await?;
    if subresource == "log" {
        return log(stack, &host, port, &path).await;
    }
    connect(stack, &host, port, &path, request).await
}

async fn address_of(stack: &Stack, node: &str) -> Result<(String, i64), Status> {
    let nodes = Kinds::builtin()
        .by_resource("", "v1", "nodes")
        .ok_or_else(Status::unknown_path)?;
    let target = Target::new(nodes, "", node);
    let node_object = stack.registry.get(&target, Version::Any).await?.value()?;
    let port = tree::number(&node_object, "/status/daemonEndpoints/kubeletEndpoint/Port");
    let addresses = tree::array(&node_object, "/status/addresses");
    let host = ["InternalIP", "ExternalIP", "InternalDNS", "Hostname"]
        .iter()
        .find_map(|kind| {
            addresses
                .iter()
                .find(|address| tree::text(address, "/type") == *kind)
        });
    let host = host.map(|address| tree::text(address, "/address").to_owned());
    let host = host.filter(|host| !host.is_empty()).ok_or_else(|| {
        Status::internal(format!(
            "no preferred addresses found; known addresses: [] (node {node})"
        ))
    })?;
    Ok((host, port.filter(|port| *port > 0).unwrap_or(PORT)))
}
async fn log(stack: &Stack, host: &str, port: i64, path: &str) -> Result<Response<Body>, Status> {
    let request = request(Method::GET, host, path)?;
    let answer = send(stack, host, port, request, path).await?;
    if !answer.status().is_success() {
        return Err(refusal(answer).await);
    }
    let mut response = Response::new(
        answer
            .into_body()
            .map_err(std::io::Error::other)
            .boxed_unsync(),
    );
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn connect(
    stack: &Stack,
    host: &str,
    port: i64,
    path: &str,
    mut incoming: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    if !incoming.headers().contains_key(UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let mut outgoing = request(incoming.method().clone(), host, path)?;
    for (name, value) in incoming.headers() {
        if is_passed_on(name) {
            outgoing.headers_mut().append(name.clone(), value.clone());
        }
    }
    let client_side = hyper::upgrade::on(&mut incoming);
    let mut answer = send(stack, host, port, outgoing, path).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(answer).await);
    }
    let kubelet_side = hyper::upgrade::on(&mut answer);
    let stop = stack.kubelets.tasks.stop().clone();
    stack
        .kubelets
        .tasks
        .spawn("kubelet stream", OnError::Log, async move {
            let (client, kubelet) = tokio::try_join!(client_side, kubelet_side)?;
            let (mut client, mut kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
            tokio::select! { biased;
                () = stop.cancelled() => {}
                copied = tokio::io::copy_bidirectional(&mut client, &mut kubelet) => {
                    if let Err(error) = copied {
                        tracing::debug!(%error, "a stream to a kubelet ended");
                    }
                }
            }
            Ok::<(), hyper::Error>(())
        });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in answer.headers() {
        if is_passed_on(name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(response)
}

/// The headers that make up the change of protocol, and nothing that speaks for the user.
fn is_passed_on(name: &HeaderName) -> bool {
    let name_text = name.as_str();
    *name == CONNECTION
        || *name == UPGRADE
        || name_text.starts_with("sec-websocket-")
        || name_text == "x-stream-protocol-version"
}

fn request(method: Method, host: &str, path: &str) -> Result<Request<Empty<Bytes>>, Status> {
    let uri: Uri = path.parse().map_err(Status::internal)?;
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().insert(HOST, host);
    }
    Ok(request)
}

async fn send(
    stack: &Stack,
    host: &str,
    port: i64,
    request: Request<Empty<Bytes>>,
    path: &str,
) -> Result<Response<Incoming>, Status> {
    let place = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    stack
        .kubelets
        .send(host, port, request)
        .await
        .map_err(|error| {
            let why = base::report(&error).to_string();
            let mut status = Status::internal(format!("Get \"https://{place}{path}\": {why}"));
            status.message = status.message.replacen("Internal error occurred: ", "", 1);
            status
        })
}

/// What a kubelet refused, as a Status.
async fn refusal(answer: Response<Incoming>) -> Status {
    let code = answer.status();
    let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX)
        .collect()
        .await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => Status::failure(404, "NotFound", text),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Status::internal(format!("the kubelet refused this server ({code}): {text}"))
        }
        _ => Status::internal(text),
    }
}

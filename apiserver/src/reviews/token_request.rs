//! Give me a token for this service account: the subresource `serviceaccounts/token`.

use std::sync::Arc;

use api_meta::cause::Cause;
use api_meta::gvk::split_api_version;
use api_meta::object;
use api_meta::status::Status;
use serde_json::{Value, json};

use super::AUTHENTICATION;
use super::service::answered;
use crate::authn::ServiceAccountTokens;
use crate::authn::claims::Reference;
use crate::authn::service_account::{Bound, NewToken, unix_now};
use crate::authz::builtin_kind;
use crate::cache::{Object, ObjectReader};

const SECONDS_DEFAULT: i64 = 3600;
const SECONDS_MIN: i64 = 600;
const SECONDS_MAX: i64 = 1 << 32;

/// For whom, and under which limits.
pub(super) struct Request<'a> {
    /// The namespace in the path.
    pub(super) namespace: &'a str,
    /// The service account in the path.
    pub(super) account: &'a str,
    /// The longest life of a token.
    pub(super) seconds_max: Option<i64>,
    /// Takes warnings for the client.
    pub(super) warn: &'a (dyn Fn(String) + Send + Sync),
}

/// A signed token, with the request it answers.
pub(super) async fn answer(
    tokens: &ServiceAccountTokens,
    reader: &dyn ObjectReader,
    request: &Request<'_>,
    mut body: Value,
) -> Result<Value, Status> {
    check_names(request, &body)?;
    let account = must_find(
        reader,
        "serviceaccounts",
        request.namespace,
        request.account,
    )
    .await?;
    let uid = account.header.uid.to_string();
    check_uid(request, &body, &uid)?;
    let seconds = object::i64_at(&body, &["spec", "expirationSeconds"]).unwrap_or(SECONDS_DEFAULT);
    check_seconds(seconds)?;
    let bound = bound(reader, request, &body).await?;
    let seconds = shorten(request, seconds);
    let audiences = audiences(tokens, &body);
    let now = unix_now();
    let new = NewToken {
        namespace: request.namespace.to_owned(),
        account: Reference {
            name: request.account.to_owned(),
            uid: uid.clone(),
        },
        audiences: audiences.clone(),
        seconds,
        bound,
    };
    let token = tokens
        .issue(new, now)
        .map_err(|error| Status::internal(format!("failed to generate token: {error}")))?;
    let reference = object::at(&body, &["spec", "boundObjectRef"])
        .cloned()
        .unwrap_or(Value::Null);
    let metadata = json!({
        "name": request.account,
        "namespace": request.namespace,
        "uid": uid,
        "creationTimestamp": timestamp(now)?,
    });
    let spec = json!({
        "audiences": audiences,
        "expirationSeconds": seconds,
        "boundObjectRef": reference,
    });
    object::set(&mut body, &["metadata"], metadata);
    object::set(&mut body, &["spec"], spec);
    let end = timestamp(now.saturating_add(seconds))?;
    let status = json!({"token": token, "expirationTimestamp": end});
    Ok(answered(body, "TokenRequest", AUTHENTICATION, status))
}

/// No audiences means this api-server's.
fn audiences(tokens: &ServiceAccountTokens, body: &Value) -> Vec<String> {
    let asked = object::list_at(body, &["spec", "audiences"]);
    if asked.is_empty() {
        return tokens.audiences().to_vec();
    }
    asked
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn shorten(request: &Request<'_>, seconds: i64) -> i64 {
    match request.seconds_max {
        Some(max) if seconds > max => {
            (request.warn)(format!(
                "requested expiration of {seconds} seconds shortened to {max} seconds"
            ));
            max
        }
        _ => seconds,
    }
}

fn timestamp(second: i64) -> Result<String, Status> {
    jiff::Timestamp::from_second(second)
        .map(api_meta::time::format)
        .map_err(|_| Status::internal("the expiration lies beyond all calendars"))
}

fn check_uid(request: &Request<'_>, body: &Value, uid: &str) -> Result<(), Status> {
    let asked = object::uid(body);
    if asked.is_empty() || asked == uid {
        return Ok(());
    }
    let why = format!(
        "the UID in the token request ({asked}) does not match the UID of the service account ({uid})"
    );
    Err(Status::conflict(
        AUTHENTICATION,
        "TokenRequest",
        request.account,
        &why,
    ))
}

fn check_names(request: &Request<'_>, body: &Value) -> Result<(), Status> {
    let faults = [
        (
            "name",
            object::name(body),
            request.account,
            "must match the service account name if specified",
        ),
        (
            "namespace",
            object::namespace(body),
            request.namespace,
            "must match the service account namespace if specified",
        ),
    ];
    for (field, found, expected, why) in faults {
        if !found.is_empty() && found != expected {
            let cause = Cause::invalid(format!("metadata.{field}"), found, why);
            return Err(Status::invalid(
                AUTHENTICATION,
                "TokenRequest",
                request.account,
                vec![cause],
            ));
        }
    }
    Ok(())
}

fn check_seconds(seconds: i64) -> Result<(), Status> {
    let why = if seconds < SECONDS_MIN {
        "may not specify a duration less than 10 minutes"
    } else if seconds > SECONDS_MAX {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Ok(());
    };
    let cause = Cause::invalid("spec.expirationSeconds", seconds, why);
    Err(Status::invalid(
        AUTHENTICATION,
        "TokenRequest",
        "",
        vec![cause],
    ))
}

/// What the token shall end with. It must exist, and be what the request says it is.
async fn bound(
    reader: &dyn ObjectReader,
    request: &Request<'_>,
    body: &Value,
) -> Result<Bound, Status> {
    let Some(reference) = object::at(body, &["spec", "boundObjectRef"]) else {
        return Ok(Bound::Nothing);
    };
    let text = |field| object::str_at(reference, &[field]).unwrap_or_default();
    let (group, version) = split_api_version(text("apiVersion"));
    let kind = text("kind");
    let name = text("name");
    let resource = match (group, kind) {
        ("", "Pod") => "pods",
        ("", "Secret") => "secrets",
        ("", "Node") => "nodes",
        _ => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let namespace = if kind == "Node" {
        ""
    } else {
        request.namespace
    };
    let found = must_find(reader, resource, namespace, name).await?;
    let uid = found.header.uid.to_string();
    let bound = match kind {
        "Pod" => bind_pod(reader, request, &found).await?,
        "Node" => Bound::Node(Reference {
            name: name.to_owned(),
            uid: uid.clone(),
        }),
        _ => Bound::Secret(Reference {
            name: name.to_owned(),
            uid: uid.clone(),
        }),
    };
    let asked = text("uid");
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict("", kind, name, &why));
    }
    Ok(bound)
}

async fn bind_pod(
    reader: &dyn ObjectReader,
    request: &Request<'_>,
    pod: &Object,
) -> Result<Bound, Status> {
    let value = pod.value()?;
    let of_pod = object::str_at(&value, &["spec", "serviceAccountName"]).unwrap_or_default();
    if of_pod != request.account {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            request.account
        )));
    }
    let node = match object::str_at(&value, &["spec", "nodeName"]) {
        None | Some("") => None,
        Some(node) => {
            let kind = builtin_kind("", "v1", "nodes");
            let found = match reader.get(kind, "", node) {
                Some(found) => Some(found),
                None => reader.get_consistent(kind, "", node).await?,
            };
            let uid = found
                .map(|found| found.header.uid.to_string())
                .unwrap_or_default();
            Some(Reference {
                name: node.to_owned(),
                uid,
            })
        }
    };
    let pod = Reference {
        name: pod.header.name.to_string(),
        uid: pod.header.uid.to_string(),
    };
    Ok(Bound::Pod { pod, node })
}

async fn must_find(
    reader: &dyn ObjectReader,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Arc<Object>, Status> {
    let found = reader
        .get_consistent(builtin_kind("", "v1", resource), namespace, name)
        .await?;
    found.ok_or_else(|| Status::not_found("", resource, name))
}

//! What every written object passes, whatever its kind: body checks, defaults, validation, admission.

use api_machinery::schema::{self, Fault};
use api_meta::kinds::Kind;
use api_meta::status::{Details, Status};
use serde_json::Value;

use super::context::{FieldValidation, RequestContext, Target};
use super::service::Registry;
use super::tree;
use super::update::{Change, Part};
use crate::admission::{Operation, Request};
use crate::cache::Object;
use crate::storage::codec;

/// A body as it came, and how.
#[derive(Debug)]
pub struct Body {
    /// The object.
    pub value: Value,
    /// Fields that the text named twice; the tree cannot show them.
    pub duplicates: Vec<String>,
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self {
            value,
            duplicates: Vec::new(),
        }
    }
}

/// Compares an object with its kind's type: refuses what no decoder takes, and treats unknown and
/// repeated fields as the request wants. Unknown fields go when the object is made canonical.
pub(crate) fn check_fields(
    ctx: &RequestContext,
    kind: &Kind,
    object: &Value,
    duplicates: &[String],
) -> Result<(), Status> {
    let mut faults: Vec<String> = duplicates
        .iter()
        .map(|path| format!("duplicate field {path:?}"))
        .collect();
    for fault in schema::check(&kind.gvk(), object) {
        match fault {
            Fault::Unknown(path) => faults.push(format!("unknown field {path:?}")),
            Fault::WrongType(text) => {
                return Err(Status::bad_request(format!(
                    "{} in version {:?} cannot be handled as a {}: {text}",
                    kind.kind, kind.version, kind.kind
                )));
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    match ctx.field_validation {
        FieldValidation::Strict => {
            return Err(Status::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                kind.kind,
                kind.version,
                kind.kind,
                faults.join(", ")
            )));
        }
        FieldValidation::Warn => faults.iter().for_each(|fault| ctx.warn(fault)),
        FieldValidation::Ignore => {}
    }
    Ok(())
}

/// Checks that a body is of the kind that the path names, and fills in what it may leave out.
pub(crate) fn check_type(kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let Value::Object(map) = object else {
        return Err(Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: the body is not an object",
            kind.kind, kind.version, kind.kind
        )));
    };
    let text = |field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default();
    let (version, found) = (text("apiVersion"), text("kind"));
    let expected = kind.api_version();
    let wrong =
        (!version.is_empty() && version != expected) || (!found.is_empty() && found != kind.kind);
    if wrong {
        return Err(Status::bad_request(format!(
            "{found} in version {version:?} cannot be handled as a {}: the API version in the data ({version}) does not match the expected API version ({expected})",
            kind.kind
        )));
    }
    map.insert("apiVersion".into(), expected.into());
    map.insert("kind".into(), kind.kind.clone().into());
    Ok(())
}

/// Checks a body's namespace against the path's, and fills it in.
pub(crate) fn check_namespace(
    kind: &Kind,
    namespace: &str,
    object: &mut Value,
) -> Result<(), Status> {
    let found = tree::namespace(object).to_owned();
    // An object that lies in no namespace may name one: it is not kept.
    if !found.is_empty() && !namespace.is_empty() && found != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let metadata = tree::metadata(object);
    if kind.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    Ok(())
}

/// Checks the name in a body that a subresource takes against the path's.
pub(crate) fn check_subject(target: &Target, kind: &str, body: &Value) -> Result<(), Status> {
    check_namespace(target.kind, &target.namespace, &mut body.clone())?;
    if tree::name(body) == target.name {
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "name in URL does not match name in {kind} object"
    )))
}

/// A stored object as a tree, in the form in which it would be written now. It may have been written
/// before a default existed, and then what a request leaves out would look like a change of it.
pub(crate) fn present(kind: &Kind, object: &Object) -> Result<Value, Status> {
    let mut value = object.value()?;
    default(kind, &mut value);
    Ok(value)
}

/// Brings an object into its one written form: unknown fields go, defaults come.
pub(crate) fn default(kind: &Kind, object: &mut Value) {
    codec::canonicalise(&kind.gvk(), object);
}

/// Refuses a new object with faults.
pub(crate) fn validate_create(kind: &Kind, object: &Value) -> Result<(), Status> {
    refuse(
        kind,
        object,
        api_rules::validate::create(&kind.gvk(), object),
    )
}

/// Refuses a changed object with faults, by the rules of the part that was to change.
pub(crate) fn validate_change(
    kind: &Kind,
    change: &Change<'_>,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    let gvk = kind.gvk();
    let through = |name| api_rules::validate::subresource(&gvk, name, new, old);
    let faults = match change.part {
        Part::Whole => api_rules::validate::update(&gvk, new, old),
        Part::Status => through("status"),
        Part::AsMade => through(change.subresource.unwrap_or_default()),
        Part::Decision => Vec::new(),
    };
    refuse(kind, new, faults)
}

fn refuse(kind: &Kind, object: &Value, causes: Vec<api_meta::Cause>) -> Result<(), Status> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(
        &kind.group,
        &kind.kind,
        tree::name(object),
        causes,
    ))
}

/// A write on its way through admission.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) target: &'a Target,
    pub(crate) subresource: Option<&'a str>,
    pub(crate) operation: Operation,
}

impl Admitted<'_> {
    /// Lets the plugins change the object. What they add has its defaults still to come.
    pub(crate) async fn mutate(
        &self,
        registry: &Registry,
        object: Value,
        old: Option<&Value>,
    ) -> Result<Value, Status> {
        let mut request = self.request(Some(object), old);
        registry.admission().mutate(&mut request).await?;
        request
            .object
            .ok_or_else(|| Status::internal("admission took the object away"))
    }

    /// Lets the plugins refuse the object. Gives it back.
    pub(crate) async fn validate(
        &self,
        registry: &Registry,
        object: Option<Value>,
        old: Option<&Value>,
    ) -> Result<Option<Value>, Status> {
        let request = self.request(object, old);
        registry.admission().validate(&request).await?;
        Ok(request.object)
    }

    /// Lets the plugins refuse a deletion, or a connection to the object.
    pub(crate) async fn without_object(
        &self,
        registry: &Registry,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let mut request = self.request(None, old);
        registry.admission().mutate(&mut request).await?;
        registry.admission().validate(&request).await
    }

    fn request(&self, object: Option<Value>, old: Option<&Value>) -> Request<'_> {
        Request {
            operation: self.operation,
            kind: self.target.kind,
            subresource: self.subresource,
            namespace: &self.target.namespace,
            name: &self.target.name,
            user: &self.ctx.user,
            object,
            old: old.cloned(),
            dry_run: self.ctx.is_dry_run(),
        }
    }
}

/// The success that names a deleted object.
pub(crate) fn deleted(kind: &Kind, object: &Value) -> Status {
    Status::success(Details {
        name: tree::name(object).to_owned(),
        group: kind.group.clone(),
        kind: kind.resource.clone(),
        uid: tree::uid(object).to_owned(),
        ..Details::default()
    })
}

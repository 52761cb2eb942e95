//! The paths below an object that speak another kind than the object's, or none.

use api_machinery::patch as patches;
use api_meta::kinds::Kind;
use api_meta::status::{Details, Status};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::Value;

use super::body::Body;
use super::resource::Call;
use super::{decode, errors, render};
use crate::admission::Operation;
use crate::http::table::Include;
use crate::registry::context::Target;
use crate::registry::patch::Form;
use crate::registry::subresource::scale::scale_kind;
use crate::registry::update::{Change, Part};
use crate::registry::{pipeline, tree};

impl Call<'_> {
    pub(super) async fn scale(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(false)?;
        let registry = &self.stack.registry;
        let target = self.target();
        let scale = match self.info.verb {
            "get" => registry.scale(&target).await?,
            "update" => {
                let sent = self.decode_as(body, scale_kind())?;
                registry
                    .change_scale(self.ctx, &target, &|_| Ok(sent.clone()))
                    .await?
            }
            "patch" => {
                let patch_form = Form::of(&decode::media_type(self.header(CONTENT_TYPE)))?;
                let patch = decode::patch(body)?;
                let make = |scale: &Value| match patch_form {
                    Form::Json => patches::json(scale, &patch),
                    Form::Merge => patches::merge(scale, &patch),
                    Form::Strategic => patches::strategic(&scale_kind().gvk(), scale, &patch),
                };
                registry.change_scale(self.ctx, &target, &make).await?
            }
            _ => return Err(self.not_allowed()),
        };
        render::value(&scale, form, StatusCode::OK)
    }

    /// `pods/NAME/binding`, and the older `bindings` that names the pod in its metadata.
    pub(super) async fn bind(
        &self,
        body: &Bytes,
        pods: &'static Kind,
    ) -> Result<Response<Body>, Status> {
        let binding = decode::decode(self.header(CONTENT_TYPE), body)?.value;
        let name = match self.info.name.as_str() {
            "" => tree::name(&binding),
            name => name,
        };
        let target = Target::new(pods, &self.info.namespace, name);
        self.stack
            .registry
            .bind(self.ctx, &target, &binding)
            .await?;
        Ok(created())
    }

    pub(super) async fn evict(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let eviction = decode::decode(self.header(CONTENT_TYPE), body)?.value;
        self.stack
            .registry
            .evict(self.ctx, &self.target(), &eviction)
            .await?;
        Ok(created())
    }

    pub(super) async fn finalize(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let sent = self.decode_as(body, self.kind)?;
        let object = self
            .stack
            .registry
            .finalize(self.ctx, &self.target(), &sent)
            .await?;
        render::object(self.kind, &object, form, Include::default(), StatusCode::OK)
    }

    /// Subresources that show the whole object and change one part of it.
    pub(super) async fn part(&self, body: &Bytes, take: Take) -> Result<Response<Body>, Status> {
        let sent = match self.info.verb {
            "get" => return self.get().await,
            "update" => Some(self.decode_as(body, self.kind)?),
            "patch" => None,
            _ => return Err(self.not_allowed()),
        };
        let form = self.form(true)?;
        let patch = match &sent {
            Some(_) => None,
            None => {
                let patch_form = Form::of(&decode::media_type(self.header(CONTENT_TYPE)))?;
                Some((patch_form, decode::patch(body)?))
            }
        };
        let gvk = self.kind.gvk();
        let make = |current: &Value| {
            let wanted = match (&sent, &patch) {
                (Some(sent), _) => sent.clone(),
                (None, Some((Form::Json, patch))) => patches::json(current, patch)?,
                (None, Some((Form::Merge, patch))) => patches::merge(current, patch)?,
                (None, Some((Form::Strategic, patch))) => patches::strategic(&gvk, current, patch)?,
                (None, None) => current.clone(),
            };
            Ok(take_part(current, &wanted, take))
        };
        let change = Change {
            part: Part::AsMade,
            subresource: Some(&self.info.subresource),
            operation: Operation::Update,
            make: &make,
        };
        let object = self
            .stack
            .registry
            .change(self.ctx, &self.target(), &change)
            .await?;
        render::object(self.kind, &object, form, Include::default(), StatusCode::OK)
    }

    fn decode_as(&self, body: &Bytes, kind: &Kind) -> Result<Value, Status> {
        let decoded = decode::decode(self.header(CONTENT_TYPE), body)?;
        let mut value = decoded.value;
        pipeline::check_type(kind, &mut value)?;
        pipeline::check_fields(self.ctx, kind, &value, &decoded.duplicates)?;
        Ok(value)
    }

    pub(super) fn not_allowed(&self) -> Status {
        Status::method_not_served()
    }
}

/// Which part of an object a subresource changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// The value at a JSON pointer.
    At(&'static str),
    /// The resources of each container, and nothing else of it.
    Resources,
}

/// The present object with one part of the wanted one.
fn take_part(current: &Value, wanted: &Value, take: Take) -> Value {
    let mut made = current.clone();
    tree::copy_field(
        tree::metadata(&mut made),
        wanted.get("metadata"),
        "resourceVersion",
    );
    match take {
        Take::At(pointer) => {
            let path: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
            match wanted.pointer(pointer) {
                Some(value) => api_meta::object::set(&mut made, &path, value.clone()),
                None => {
                    api_meta::object::remove(&mut made, &path);
                }
            }
        }
        Take::Resources => {
            for list in ["/spec/containers", "/spec/initContainers"] {
                let items = made.pointer_mut(list).and_then(Value::as_array_mut);
                for container in items.into_iter().flatten() {
                    let name = tree::text(container, "/name").to_owned();
                    let sent = tree::array(wanted, list)
                        .iter()
                        .find(|c| tree::text(c, "/name") == name);
                    if let (Some(sent), Value::Object(container)) = (sent, container) {
                        tree::copy_field(container, Some(sent), "resources");
                    }
                }
            }
        }
    }
    made
}

/// The success that has nothing to show.
fn created() -> Response<Body> {
    let mut status = Status::success(Details::default());
    status.details = None;
    status.code = 201;
    errors::respond(&status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Take, take_part};

    #[test]
    fn a_resize_changes_resources_only() {
        let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "x"}], "nodeName": "n"}});
        let wanted = json!({"metadata": {}, "spec": {"containers": [
            {"name": "a", "image": "evil", "resources": {"limits": {"cpu": "1"}}}, {"name": "b"}]}});
        let made = take_part(&pod, &wanted, Take::Resources);
        assert_eq!(
            made["spec"],
            json!({"nodeName": "n", "containers": [
            {"name": "a", "image": "x", "resources": {"limits": {"cpu": "1"}}}]})
        );
        let made = take_part(
            &pod,
            &json!({"spec": {"ephemeralContainers": [1]}}),
            Take::At("/spec/ephemeralContainers"),
        );
        assert_eq!(
            (
                &made["spec"]["ephemeralContainers"],
                &made["spec"]["nodeName"]
            ),
            (&json!([1]), &json!("n"))
        );
    }
}

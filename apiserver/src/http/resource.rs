//! The verbs of resources: what a request brings is decoded, the registry does it, and the answer is
//! rendered as negotiated.

use std::time::Duration;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Response, StatusCode};

use super::body::Body;
use super::list_stream::{self, Gzip};
use super::negotiate::{self, Form};
use super::request_info::RequestInfo;
use super::stack::Stack;
use super::table::Include;
use super::{decode, errors, render, watch_stream};
use crate::registry::context::{DryRun, FieldValidation, RequestContext, Target};
use crate::registry::delete::{self, Deleted};
use crate::registry::options::{DeleteOptions, ListOptions, Version, check_dry_run};
use crate::registry::patch;
use crate::registry::query::Query;
use crate::registry::selection::Selection;

/// A request for a resource, with everything but its body read.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) stack: &'a Stack,
    pub(super) ctx: &'a RequestContext,
    pub(super) kind: &'static Kind,
    pub(super) info: &'a RequestInfo,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
}

/// What a request says about how its write is to be done.
pub(super) fn context(
    user: crate::authn::UserInfo,
    query: &Query,
) -> Result<RequestContext, Status> {
    let mut ctx = RequestContext::of(user);
    if check_dry_run(query.all("dryRun"))? {
        ctx.dry_run = DryRun::All;
    }
    ctx.field_manager = query.get("fieldManager").unwrap_or_default();
    ctx.field_validation = match query.str("fieldValidation") {
        None | Some("Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let cause = api_meta::Cause::not_supported(
                "fieldValidation",
                other,
                &["", "Ignore", "Strict", "Warn"],
            );
            return Err(Status::invalid(
                "meta.k8s.io",
                "CreateOptions",
                "",
                vec![cause],
            ));
        }
    };
    Ok(ctx)
}

impl Call<'_> {
    pub(super) fn target(&self) -> Target {
        Target::new(
            self.kind,
            &self.info.namespace_of(self.kind),
            &self.info.name,
        )
    }

    pub(super) fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn form(&self, has_shapes: bool) -> Result<Form, Status> {
        let mut form = negotiate::negotiate(self.header(ACCEPT), has_shapes)?;
        if self.query.is_true("pretty") && form.encoding == negotiate::Encoding::Json {
            form.encoding = negotiate::Encoding::Pretty;
        }
        Ok(form)
    }

    fn gzip(&self) -> Gzip {
        if negotiate::accepts_gzip(self.header(ACCEPT_ENCODING)) {
            Gzip::Wanted
        } else {
            Gzip::Refused
        }
    }

    fn selection(&self, options: &ListOptions) -> Result<Selection, Status> {
        let mut options = options.clone();
        if !self.info.name.is_empty() && options.fields.is_empty() {
            // The old path for watching one object.
            options.fields = format!("metadata.name={}", self.info.name);
        }
        Selection::parse(self.kind, &self.info.namespace_of(self.kind), &options)
    }

    pub(super) async fn get(&self) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let version = match ListOptions::for_list(self.query)?.version {
            Version::Exact(version) => Version::NotOlderThan(version),
            version => version,
        };
        let object = self.stack.registry.get(&self.target(), version).await?;
        render::object(
            self.kind,
            &object,
            form,
            Include::parse(self.query)?,
            StatusCode::OK,
        )
    }

    pub(super) async fn list(&self) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let options = ListOptions::for_list(self.query)?;
        let selection = self.selection(&options)?;
        let list = self
            .stack
            .registry
            .list(self.kind, &selection, &options)
            .await?;
        list_stream::respond(
            self.kind,
            list,
            form,
            Include::parse(self.query)?,
            self.gzip(),
        )
    }

    pub(super) async fn watch(&self) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let options = ListOptions::for_watch(self.query)?;
        let selection = self.selection(&options)?;
        let include = Include::parse(self.query)?;
        let timeout = match options.timeout_seconds {
            Some(seconds) => Duration::from_secs(seconds),
            // Spread, so that clients that came together do not come back together.
            None => self
                .stack
                .settings
                .watch_timeout_min
                .min(watch_stream::TIMEOUT_MAX)
                .mul_f64(rand::random_range(1.0..2.0)),
        };
        let begun = self
            .stack
            .registry
            .watch(self.kind, selection, &options)
            .await;
        let session = match begun {
            Err(status) if status.code == 410 => return Ok(watch_stream::refused(&status)),
            begun => begun?,
        };
        let settings = watch_stream::Settings {
            form,
            include,
            bookmarks: options.bookmarks,
            timeout,
            stop: self.stack.stop.clone(),
        };
        Ok(watch_stream::respond(session, settings))
    }

    pub(super) async fn create(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let decoded = decode::decode(self.header(CONTENT_TYPE), body)?;
        let target = Target::new(self.kind, &self.info.namespace_of(self.kind), "");
        let object = self
            .stack
            .registry
            .create(self.ctx, &target, decoded)
            .await?;
        render::object(
            self.kind,
            &object,
            form,
            Include::default(),
            StatusCode::CREATED,
        )
    }

    pub(super) async fn update(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let decoded = decode::decode(self.header(CONTENT_TYPE), body)?;
        let subresource = Some(self.info.subresource.as_str()).filter(|name| !name.is_empty());
        let registry = &self.stack.registry;
        let (object, is_new) = registry
            .update(self.ctx, &self.target(), subresource, decoded)
            .await?;
        let code = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        render::object(self.kind, &object, form, Include::default(), code)
    }

    pub(super) async fn patch(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let media_type = decode::media_type(self.header(CONTENT_TYPE));
        let patch_form = patch::Form::of(&media_type)?;
        let value = decode::patch(body)?;
        let subresource = Some(self.info.subresource.as_str()).filter(|name| !name.is_empty());
        let registry = &self.stack.registry;
        let object = registry
            .patch(self.ctx, &self.target(), subresource, patch_form, &value)
            .await?;
        render::object(self.kind, &object, form, Include::default(), StatusCode::OK)
    }

    pub(super) async fn delete(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let options = self.delete_options(body)?;
        match self
            .stack
            .registry
            .delete(self.ctx, &self.target(), &options)
            .await?
        {
            Deleted::Gone(object) if !delete::returns_object(self.kind) => {
                let status = delete::gone_status(self.kind, &object)?;
                Ok(errors::respond(&status))
            }
            Deleted::Gone(object) | Deleted::Terminating(object) => {
                render::object(self.kind, &object, form, Include::default(), StatusCode::OK)
            }
        }
    }

    pub(super) async fn delete_collection(&self, body: &Bytes) -> Result<Response<Body>, Status> {
        let form = self.form(true)?;
        let options = self.delete_options(body)?;
        let list_options = ListOptions::for_list(self.query)?;
        let selection = self.selection(&list_options)?;
        let list = self
            .stack
            .registry
            .delete_collection(self.ctx, self.kind, &selection, &list_options, &options)
            .await?;
        list_stream::respond(self.kind, list, form, Include::default(), self.gzip())
    }

    fn delete_options(&self, body: &Bytes) -> Result<DeleteOptions, Status> {
        let body = decode::decode_optional(self.header(CONTENT_TYPE), body)?;
        DeleteOptions::parse(body.as_ref(), self.query)
    }
}

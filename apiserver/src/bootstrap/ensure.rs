//! One object: made if it is missing, mended if it lacks something, left alone otherwise.

use std::sync::Arc;

use api_meta::gvk::split_api_version;
use api_meta::kinds::Kinds;
use api_meta::object;
use api_meta::status::Status;
use serde_json::Value;

use crate::admission::Operation;
use crate::cache::ObjectReader;
use crate::registry::update::{Change, Part};
use crate::registry::{DeleteOptions, Registry, RequestContext, Target};

/// How often an object that appears and disappears meanwhile is tried again.
const TRIES_MAX: usize = 4;

/// What an object that is there needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mend {
    /// Nothing.
    Keep,
    /// This content.
    Update(Value),
    /// To be deleted and made again: what must change cannot be changed.
    Replace,
}

/// Says what the present object needs to be as the wanted one: (present, wanted).
pub(super) type Judge = fn(&Value, &Value) -> Mend;

/// For objects that are only made: whatever is there is right.
pub(super) fn if_missing(_present: &Value, _wanted: &Value) -> Mend {
    Mend::Keep
}

/// Makes and mends objects as the server's own user.
#[derive(Clone)]
pub(super) struct Ensurer {
    pub(super) registry: Registry,
    pub(super) reader: Arc<dyn ObjectReader>,
}

impl Ensurer {
    /// Brings about that the object is there as `judge` wants it.
    pub(super) async fn ensure(&self, wanted: &Value, judge: Judge) -> Result<(), Status> {
        let target = target(wanted)?;
        let mut present = self
            .reader
            .get(target.kind, &target.namespace, &target.name);
        let mut last = Status::internal("no try was made");
        for _ in 0..TRIES_MAX {
            let done = match &present {
                None => self.create(wanted).await,
                Some(found) => match judge(&found.value()?, wanted) {
                    Mend::Keep => return Ok(()),
                    Mend::Update(_) => self.update(&target, wanted, judge).await,
                    Mend::Replace => self.replace(&target, wanted).await,
                },
            };
            match done {
                Ok(()) => return Ok(()),
                // Another replica, or a user, was faster.
                Err(status)
                    if status.is("AlreadyExists")
                        || status.is("NotFound")
                        || status.is("Conflict") =>
                {
                    last = status;
                }
                Err(status) => return Err(status),
            }
            present = self
                .reader
                .get_consistent(target.kind, &target.namespace, &target.name)
                .await?;
        }
        Err(last)
    }

    /// Makes a change to the status of an object that is there.
    pub(super) async fn set_status(&self, of: &Value, status: &Value) -> Result<(), Status> {
        let target = target(of)?;
        let make = |present: &Value| {
            let mut changed = present.clone();
            object::set(&mut changed, &["status"], status.clone());
            Ok(changed)
        };
        let change = Change {
            part: Part::Status,
            subresource: Some("status"),
            operation: Operation::Update,
            make: &make,
        };
        self.registry
            .change(&RequestContext::internal(), &target, &change)
            .await
            .map(drop)
    }

    /// Deletes an object. One that is not there is fine.
    pub(super) async fn delete(&self, of: &Value) -> Result<(), Status> {
        let deleted = self
            .registry
            .delete(
                &RequestContext::internal(),
                &target(of)?,
                &DeleteOptions::default(),
            )
            .await;
        match deleted {
            Err(status) if !status.is("NotFound") => Err(status),
            _ => Ok(()),
        }
    }

    async fn create(&self, wanted: &Value) -> Result<(), Status> {
        let target = Target {
            name: String::new(),
            ..target(wanted)?
        };
        let ctx = RequestContext::internal();
        self.registry
            .create(&ctx, &target, wanted.clone().into())
            .await
            .map(drop)
    }

    async fn update(&self, target: &Target, wanted: &Value, judge: Judge) -> Result<(), Status> {
        // Judged again on what the store holds: the cache may be behind.
        let make = |present: &Value| match judge(present, wanted) {
            Mend::Update(changed) => Ok(changed),
            Mend::Keep | Mend::Replace => Ok(present.clone()),
        };
        let change = Change {
            part: Part::Whole,
            subresource: None,
            operation: Operation::Update,
            make: &make,
        };
        self.registry
            .change(&RequestContext::internal(), target, &change)
            .await
            .map(drop)
    }

    async fn replace(&self, target: &Target, wanted: &Value) -> Result<(), Status> {
        tracing::warn!(
            kind = target.kind.kind,
            name = target.name,
            "object is made again"
        );
        self.delete(wanted).await?;
        self.create(wanted).await
    }
}

fn target(of: &Value) -> Result<Target, Status> {
    let (group, version) = split_api_version(object::api_version(of));
    let kind = Kinds::builtin()
        .by_kind(group, version, object::kind(of))
        .ok_or_else(|| Status::internal(format!("{} is no built-in kind", object::kind(of))))?;
    Ok(Target::new(kind, object::namespace(of), object::name(of)))
}

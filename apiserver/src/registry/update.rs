//! Update: the loop that changes an object which others change too.
//!
//! The cached object is a guess: the first try may build on it, since the transaction compares its
//! revision. But a refusal, or "nothing changed", decided on a guess is confirmed by one read of the
//! store before it is told. Only a base read from the store may refuse.

mod parts;

use std::sync::Arc;

use api_meta::status::Status;
use serde_json::Value;

pub(super) use self::parts::is_deletion_finished;
use self::parts::{check_identity, isolate, keep_system_metadata};
use super::context::{RequestContext, Target};
use super::create::name_mismatch;
use super::pipeline::{self, Admitted, Body};
use super::service::Registry;
use super::strategy::{self, Strategy};
use super::{refusals, tree, versions};
use crate::admission::Operation;
use crate::authz::Attributes;
use crate::cache::Object;
use crate::storage::{Guarded, Outcome, Step, codec, keys};

/// How often a change is tried on newer and newer states.
const TRIES_MAX: usize = 128;

/// Which part of the object a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Whole,
    /// The status, and little of the metadata.
    Status,
    /// What the change makes of it: for subresources that know what they do.
    AsMade,
    /// What the server decides on, such as a pod's node: no rules for users judge it, and it does
    /// not count as a change of what users want.
    Decision,
}

/// What is to happen to an object.
pub struct Change<'a> {
    /// Which part may change.
    pub part: Part,
    /// The subresource that asks, if one does.
    pub subresource: Option<&'a str>,
    /// How admission sees it.
    pub operation: Operation,
    /// Makes the new object from the present one, both as they are served.
    pub make: &'a (dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
}

/// The state that a try builds on.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) object: Arc<Object>,
    /// Whether it was read from the store by this request.
    pub(super) is_confirmed: bool,
}

/// What a try came to.
enum Tried {
    Unchanged,
    Written(Arc<Object>),
    /// Someone was faster; this is what is there now.
    Lost(Option<Arc<Object>>),
    /// Something beside the object was taken.
    Again,
}

impl Registry {
    /// Replaces an object by a body.
    pub async fn update(
        &self,
        ctx: &RequestContext,
        target: &Target,
        subresource: Option<&str>,
        body: Body,
    ) -> Result<(Arc<Object>, bool), Status> {
        let mut sent = body.value;
        pipeline::check_type(target.kind, &mut sent)?;
        pipeline::check_fields(ctx, target.kind, &sent, &body.duplicates)?;
        pipeline::check_namespace(target.kind, &target.namespace, &mut sent)?;
        let own = tree::name(&sent);
        if !own.is_empty() && own != target.name {
            return Err(name_mismatch(own, &target.name));
        }
        let part = if subresource == Some("status") {
            Part::Status
        } else {
            Part::Whole
        };
        let make = |_: &Value| Ok(sent.clone());
        let change = Change {
            part,
            subresource,
            operation: Operation::Update,
            make: &make,
        };
        match self.change(ctx, target, &change).await {
            Err(status)
                if status.is("NotFound")
                    && subresource.is_none()
                    && tree::uid(&sent).is_empty()
                    && strategy::of(target.kind).creates_on_update(target.kind) =>
            {
                // The request was let in as an update.
                self.admission().authorize(&creation(ctx, target))?;
                tree::metadata(&mut sent).remove("resourceVersion");
                Ok((self.create(ctx, target, sent.into()).await?, true))
            }
            changed => Ok((changed?, false)),
        }
    }

    /// Makes one change to one object, whatever others do to it meanwhile.
    pub async fn change(
        &self,
        ctx: &RequestContext,
        target: &Target,
        change: &Change<'_>,
    ) -> Result<Arc<Object>, Status> {
        let served = target.kind;
        let target = &Target {
            kind: versions::stored_kind(served),
            ..target.clone()
        };
        let key = self.key(target)?;
        let mut base = self.base(target, &key).await?;
        for _ in 0..TRIES_MAX {
            let tried = self.try_change(ctx, target, served, change, &base).await;
            let lost = match tried {
                Ok(Tried::Written(object)) => return versions::serve(served, &object),
                Ok(Tried::Unchanged) if base.is_confirmed => {
                    return versions::serve(served, &base.object);
                }
                Err(status) if base.is_confirmed => return Err(status),
                Ok(Tried::Lost(found)) => found,
                Ok(Tried::Again) => continue,
                Ok(Tried::Unchanged) | Err(_) => {
                    let found = self.read_store(target.kind, &key).await?;
                    let is_same = |now: &Arc<Object>| now.revision == base.object.revision;
                    if found.as_ref().is_some_and(is_same) {
                        return match tried {
                            Err(status) => Err(status),
                            Ok(_) => versions::serve(served, &base.object),
                        };
                    }
                    found
                }
            };
            let object = lost.ok_or_else(|| refusals::not_found(served, &target.name))?;
            base = Base {
                object,
                is_confirmed: true,
            };
        }
        Err(Status::server_timeout(
            &served.group,
            &served.resource,
            "update",
            1,
        ))
    }

    /// The state to begin with: the cached one, or else the store's.
    pub(super) async fn base(&self, target: &Target, key: &str) -> Result<Base, Status> {
        let cached = self.kind_cache(target.kind)?;
        if let Some(object) = cached.get(key) {
            return Ok(Base {
                object,
                is_confirmed: false,
            });
        }
        let found = self.read_store(target.kind, key).await?;
        let object = found.ok_or_else(|| refusals::not_found(target.kind, &target.name))?;
        Ok(Base {
            object,
            is_confirmed: true,
        })
    }

    async fn try_change(
        &self,
        ctx: &RequestContext,
        target: &Target,
        served: &'static api_meta::Kind,
        change: &Change<'_>,
        base: &Base,
    ) -> Result<Tried, Status> {
        let kind = target.kind;
        let old = pipeline::present(kind, &base.object)?;
        let made = (change.make)(&versions::to_served(served, old.clone()))?;
        let mut new = versions::to_stored(served, made);
        let strategy = strategy::of(kind);
        check_identity(target, strategy, &new, &old)?;
        keep_system_metadata(&mut new, &old);
        isolate(change.part, &mut new, &old);
        pipeline::default(kind, &mut new);
        let operation = change.operation;
        let admission = Admitted {
            ctx,
            target,
            subresource: change.subresource,
            operation,
        };
        let mut new = admission.mutate(self, new, Some(&old)).await?;
        prepare(ctx, strategy, change, &mut new, &old);
        if change.part != Part::Decision {
            strategy::set_generation(kind, &mut new, Some(&old));
        }
        pipeline::default(kind, &mut new);
        pipeline::validate_change(kind, change, &new, &old)?;
        let new = admission.validate(self, Some(new), Some(&old)).await?;
        let mut new = new.ok_or_else(|| Status::internal("admission took the object away"))?;
        let beside = strategy.beside_update(self, &mut new, &old).await?;
        if is_deletion_finished(kind, &new) {
            return self.finish_deletion(ctx, target, &new, base).await;
        }
        if tree::is_same(&new, &old) && beside.is_empty() {
            return Ok(Tried::Unchanged);
        }
        self.store(ctx, target, new, base, beside).await
    }

    async fn store(
        &self,
        ctx: &RequestContext,
        target: &Target,
        new: Value,
        base: &Base,
        beside: Vec<Guarded>,
    ) -> Result<Tried, Status> {
        let key = base.object.key.as_ref();
        if ctx.is_dry_run() {
            return Ok(Tried::Written(Object::unstored(key, &new)?));
        }
        let value = codec::encode(&new).map_err(|error| refusals::of_codec(&error))?;
        let lease = self.lease(target.kind).await?;
        let step = Step::Put {
            value: value.clone(),
            lease,
        };
        match self.commit(target, base, step, beside).await? {
            Ok(revision) => Ok(Tried::Written(Object::from_stored(key, &value, revision))),
            Err(lost) => Ok(lost),
        }
    }

    /// The last finalizer's removal is the deletion.
    async fn finish_deletion(
        &self,
        ctx: &RequestContext,
        target: &Target,
        new: &Value,
        base: &Base,
    ) -> Result<Tried, Status> {
        let object = Object::unstored(&base.object.key, new)?;
        if ctx.is_dry_run() {
            return Ok(Tried::Written(object));
        }
        let beside = strategy::of(target.kind).beside_delete(self, new).await?;
        match self.commit(target, base, Step::Delete, beside).await? {
            Ok(_) => Ok(Tried::Written(object)),
            Err(lost) => Ok(lost),
        }
    }

    async fn commit(
        &self,
        target: &Target,
        base: &Base,
        step: Step,
        beside: Vec<Guarded>,
    ) -> Result<Result<u64, Tried>, Status> {
        let key = base.object.key.as_ref();
        let expected = i64::try_from(base.object.revision).unwrap_or(i64::MAX);
        let mut writes = vec![Guarded {
            key: keys::absolute(&target.kind.storage_prefix, key),
            expected,
            step,
        }];
        writes.extend(beside);
        match self
            .etcd()
            .commit(&writes)
            .await
            .map_err(|error| refusals::of_store(&error))?
        {
            Outcome::Committed(revision) => Ok(Ok(revision)),
            Outcome::Conflict(found) => {
                let now = found.into_iter().next().flatten();
                if now.as_ref().is_some_and(|kv| kv.mod_revision == expected) {
                    return Ok(Err(Tried::Again));
                }
                Ok(Err(Tried::Lost(now.map(|kv| {
                    let revision = u64::try_from(kv.mod_revision).unwrap_or_default();
                    Object::from_stored(key, &kv.value, revision)
                }))))
            }
        }
    }
}

/// Readies what a request made, each part by its own rules.
fn prepare(
    ctx: &RequestContext,
    strategy: &dyn Strategy,
    change: &Change<'_>,
    new: &mut Value,
    old: &Value,
) {
    match change.part {
        Part::Whole => strategy.prepare_update(ctx, new, old),
        Part::Status => strategy.prepare_status(new, old),
        Part::AsMade => strategy.prepare_part(change.subresource.unwrap_or_default(), new, old),
        Part::Decision => {}
    }
}

/// What a user does who makes an object by an update.
fn creation<'a>(ctx: &'a RequestContext, target: &'a Target) -> Attributes<'a> {
    Attributes {
        user: &ctx.user,
        verb: "create",
        group: &target.kind.group,
        version: &target.kind.version,
        resource: &target.kind.resource,
        subresource: "",
        namespace: &target.namespace,
        name: &target.name,
        path: "",
        is_resource: true,
    }
}

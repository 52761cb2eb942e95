//! Delete: at once, after a grace period, or when the last finalizer is gone.

mod plan;

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use jiff::Timestamp;
use serde_json::Value;

use self::plan::{Plan, plan};
use super::context::{DryRun, RequestContext, Target};
use super::options::DeleteOptions;
use super::pipeline::{self, Admitted};
use super::service::Registry;
use super::update::Base;
use super::{refusals, strategy, tree, versions};
use crate::admission::Operation;
use crate::cache::Object;
use crate::storage::{Guarded, Outcome, Step, codec, keys};

/// How often a deletion is tried on newer and newer states.
const TRIES_MAX: usize = 128;

/// What a deletion came to.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Object>),
    /// It will go; this is its state now.
    Terminating(Arc<Object>),
}

impl Registry {
    /// Deletes an object.
    pub async fn delete(
        &self,
        ctx: &RequestContext,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        let served = target.kind;
        let target = &Target {
            kind: versions::stored_kind(served),
            ..target.clone()
        };
        let key = self.key(target)?;
        let is_dry = options.dry_run || ctx.dry_run == DryRun::All;
        let mut base = self.base(target, &key).await?;
        for _ in 0..TRIES_MAX {
            let tried = self.try_delete(ctx, target, options, &base, is_dry).await;
            let found = match tried {
                Ok(Tried::Done(deleted)) => return serve(served, deleted),
                Ok(Tried::Already(object)) if base.is_confirmed => {
                    return serve(served, Deleted::Terminating(object));
                }
                Err(status) if base.is_confirmed => return Err(status),
                Ok(Tried::Lost(found)) => found,
                Ok(Tried::Already(_)) | Err(_) => {
                    let found = self.read_store(target.kind, &key).await?;
                    let is_same = |now: &Arc<Object>| now.revision == base.object.revision;
                    if found.as_ref().is_some_and(is_same) {
                        return match tried {
                            Ok(_) => serve(served, Deleted::Terminating(base.object)),
                            Err(status) => Err(status),
                        };
                    }
                    found
                }
            };
            let object = found.ok_or_else(|| refusals::not_found(served, &target.name))?;
            base = Base {
                object,
                is_confirmed: true,
            };
        }
        Err(Status::server_timeout(
            &served.group,
            &served.resource,
            "delete",
            1,
        ))
    }

    async fn try_delete(
        &self,
        ctx: &RequestContext,
        target: &Target,
        options: &DeleteOptions,
        base: &Base,
        is_dry: bool,
    ) -> Result<Tried, Status> {
        let old = pipeline::present(target.kind, &base.object)?;
        check_preconditions(target, options, &old)?;
        let operation = Operation::Delete;
        let admission = Admitted {
            ctx,
            target,
            subresource: None,
            operation,
        };
        admission.without_object(self, Some(&old)).await?;
        if target.kind.resource == "jobs" && options.propagation.is_none() {
            ctx.warn("child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning");
        }
        let key = base.object.key.as_ref();
        let (step, marked, beside) = match plan(target.kind, &old, options, Timestamp::now()) {
            Plan::Nothing => return Ok(Tried::Already(base.object.clone())),
            Plan::Remove => {
                let beside = strategy::of(target.kind).beside_delete(self, &old).await?;
                (Step::Delete, None, beside)
            }
            Plan::Mark(new) => {
                let value = codec::encode(&new).map_err(|error| refusals::of_codec(&error))?;
                (
                    Step::Put {
                        value: value.clone(),
                        lease: 0,
                    },
                    Some((new, value)),
                    Vec::new(),
                )
            }
        };
        if is_dry {
            return Ok(Tried::Done(match marked {
                Some((new, _)) => Deleted::Terminating(Object::unstored(key, &new)?),
                None => Deleted::Gone(base.object.clone()),
            }));
        }
        let expected = i64::try_from(base.object.revision).unwrap_or(i64::MAX);
        let own = keys::absolute(&target.kind.storage_prefix, key);
        let mut writes = vec![Guarded {
            key: own,
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
            Outcome::Committed(revision) => Ok(Tried::Done(match marked {
                Some((_, value)) => {
                    Deleted::Terminating(Object::from_stored(key, &value, revision))
                }
                None => Deleted::Gone(base.object.at_revision(revision)),
            })),
            Outcome::Conflict(found) => {
                let now = found.into_iter().next().flatten();
                Ok(Tried::Lost(now.map(|kv| {
                    let revision = u64::try_from(kv.mod_revision).unwrap_or_default();
                    Object::from_stored(key, &kv.value, revision)
                })))
            }
        }
    }
}

enum Tried {
    Done(Deleted),
    Already(Arc<Object>),
    Lost(Option<Arc<Object>>),
}

fn serve(kind: &'static Kind, deleted: Deleted) -> Result<Deleted, Status> {
    Ok(match deleted {
        Deleted::Gone(object) => Deleted::Gone(versions::serve(kind, &object)?),
        Deleted::Terminating(object) => Deleted::Terminating(versions::serve(kind, &object)?),
    })
}

pub(super) fn check_preconditions(
    target: &Target,
    options: &DeleteOptions,
    old: &Value,
) -> Result<(), Status> {
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != tree::uid(old)) {
        return Err(refusals::precondition(target, "UID", uid, tree::uid(old)));
    }
    let version = tree::text(old, "/metadata/resourceVersion");
    if let Some(wanted) = options
        .version
        .as_deref()
        .filter(|wanted| *wanted != version)
    {
        return Err(refusals::precondition(
            target,
            "ResourceVersion",
            wanted,
            version,
        ));
    }
    Ok(())
}

/// The answer to a deletion whose object is gone.
pub(crate) fn gone_status(kind: &Kind, object: &Object) -> Result<Status, Status> {
    Ok(pipeline::deleted(kind, &object.value()?))
}

/// Whether a deletion of this kind answers with the object instead of a Status.
pub(crate) fn returns_object(kind: &Kind) -> bool {
    kind.group.is_empty()
        && matches!(
            kind.resource.as_str(),
            "pods"
                | "services"
                | "serviceaccounts"
                | "resourcequotas"
                | "podtemplates"
                | "persistentvolumes"
                | "persistentvolumeclaims"
        )
}

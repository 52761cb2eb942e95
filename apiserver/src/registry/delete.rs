//! Delete: at once, after a grace period, or when the last finalizer is gone.

use std::sync::Arc;

use api_meta::kinds::Kind;
use api_meta::status::Status;
use serde_json::Value;

use super::context::{DryRun, RequestContext, Target};
use super::kinds::pod;
use super::options::{DeleteOptions, Propagation, default_propagation};
use super::pipeline::{self, Admitted};
use super::service::Registry;
use super::update::{Base, is_deletion_finished};
use super::{refusals, strategy, tree, versions};
use crate::admission::Operation;
use crate::cache::Object;
use crate::storage::{Guarded, Outcome, Step, codec, keys};

/// How often a deletion is tried on newer and newer states.
const TRIES_MAX: usize = 128;
/// The finalizer of dependents that must go first.
const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of dependents that must be let go.
const ORPHAN: &str = "orphan";

/// What a deletion came to.
#[derive(Debug)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Arc<Object>),
    /// It will go; this is its state now.
    Terminating(Arc<Object>),
}

/// What a deletion does to an object.
#[derive(Debug, PartialEq)]
enum Plan {
    /// It goes at once.
    Remove,
    /// It is marked and goes later.
    Mark(Value),
    /// It is on its way already.
    Nothing,
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
        let old = base.object.value()?;
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
        let (step, marked, beside) = match plan(target.kind, &old, options) {
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

fn check_preconditions(
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

/// Decides what a deletion does. Reads the clock once, for the time at which it shall be over.
fn plan(kind: &Kind, old: &Value, options: &DeleteOptions) -> Plan {
    let mut new = old.clone();
    let finalizers = wanted_finalizers(kind, old, options);
    tree::set_finalizers(&mut new, &finalizers);
    let is_pod = kind.group.is_empty() && kind.resource == "pods";
    let grace = if is_pod {
        pod::grace_seconds(old, options.grace_seconds)
    } else {
        0
    };
    if tree::is_terminating(old) {
        let before = tree::number(old, "/metadata/deletionGracePeriodSeconds").unwrap_or(0);
        if grace < before {
            // Asked again with less patience: the shorter period counts, from when it was asked.
            mark(&mut new, grace);
        }
    } else if is_namespace(kind) || grace > 0 || !finalizers.is_empty() {
        mark(&mut new, grace);
        if is_namespace(kind) {
            tree::child(&mut new, "status").insert("phase".into(), "Terminating".into());
        }
        if let Some(generation) = tree::number(old, "/metadata/generation") {
            tree::metadata(&mut new).insert("generation".into(), (generation + 1).into());
        }
    } else {
        return Plan::Remove;
    }
    if is_deletion_finished(kind, &new) {
        return Plan::Remove;
    }
    if tree::is_same(&new, old) {
        Plan::Nothing
    } else {
        Plan::Mark(new)
    }
}

fn is_namespace(kind: &Kind) -> bool {
    kind.group.is_empty() && kind.resource == "namespaces"
}

fn mark(new: &mut Value, grace: i64) {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace.clamp(0, 1 << 30));
    let metadata = tree::metadata(new);
    metadata.insert(
        "deletionTimestamp".into(),
        api_meta::time::format(end).into(),
    );
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
}

/// The finalizers that the treatment of dependents asks for.
fn wanted_finalizers(kind: &Kind, old: &Value, options: &DeleteOptions) -> Vec<String> {
    let mut finalizers = tree::finalizers(old);
    let has = |finalizers: &[String], name: &str| finalizers.iter().any(|one| one == name);
    let propagation = match options.propagation {
        Some(propagation) => propagation,
        // An earlier decision stands.
        None if has(&finalizers, ORPHAN) || has(&finalizers, FOREGROUND) => return finalizers,
        None => default_propagation(kind),
    };
    finalizers.retain(|one| one != ORPHAN && one != FOREGROUND);
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => finalizers.push(FOREGROUND.into()),
        Propagation::Orphan => finalizers.push(ORPHAN.into()),
    }
    finalizers
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

#[cfg(test)]
mod tests {
    use api_meta::Kinds;
    use serde_json::{Value, json};

    use super::{Plan, plan};
    use crate::registry::options::{DeleteOptions, Propagation};

    fn decide(resource: &str, old: &Value, options: &DeleteOptions) -> Plan {
        let group = if resource == "jobs" { "batch" } else { "" };
        let kind = Kinds::builtin().by_resource(group, "v1", resource).unwrap();
        plan(kind, old, options)
    }

    fn marked(plan: Plan) -> Value {
        match plan {
            Plan::Mark(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn most_objects_go_at_once() {
        let object = json!({"metadata": {"name": "a"}});
        assert_eq!(
            decide("configmaps", &object, &DeleteOptions::default()),
            Plan::Remove
        );
        let foreground = DeleteOptions {
            propagation: Some(Propagation::Foreground),
            ..DeleteOptions::default()
        };
        let new = marked(decide("configmaps", &object, &foreground));
        assert_eq!(new["metadata"]["finalizers"], json!(["foregroundDeletion"]));
        assert!(new["metadata"]["deletionTimestamp"].is_string());
        assert_eq!(decide("configmaps", &new, &foreground), Plan::Nothing);
    }

    #[test]
    fn jobs_leave_their_pods_unless_told() {
        let object = json!({"metadata": {"name": "a"}});
        let new = marked(decide("jobs", &object, &DeleteOptions::default()));
        assert_eq!(new["metadata"]["finalizers"], json!(["orphan"]));
        let background = DeleteOptions {
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        assert_eq!(decide("jobs", &object, &background), Plan::Remove);
    }

    #[test]
    fn bound_pods_get_their_time() {
        let bound = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 7}, "status": {"phase": "Running"}});
        let new = marked(decide("pods", &bound, &DeleteOptions::default()));
        assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], 7);
        let at_once = DeleteOptions {
            grace_seconds: Some(0),
            ..DeleteOptions::default()
        };
        assert_eq!(decide("pods", &bound, &at_once), Plan::Remove);
        assert_eq!(decide("pods", &new, &at_once), Plan::Remove);
        assert_eq!(
            decide("pods", &new, &DeleteOptions::default()),
            Plan::Nothing
        );
        let unbound =
            json!({"metadata": {"name": "a"}, "spec": {"terminationGracePeriodSeconds": 7}});
        assert_eq!(
            decide("pods", &unbound, &DeleteOptions::default()),
            Plan::Remove
        );
    }

    #[test]
    fn a_namespace_waits_for_its_contents() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let new = marked(decide("namespaces", &object, &DeleteOptions::default()));
        assert_eq!(new["status"]["phase"], "Terminating");
        assert_eq!(
            decide("namespaces", &new, &DeleteOptions::default()),
            Plan::Nothing
        );
        let empty = json!({"metadata": {"name": "a", "deletionTimestamp": "t"}, "spec": {}});
        assert_eq!(
            decide("namespaces", &empty, &DeleteOptions::default()),
            Plan::Remove
        );
    }
}

//! Create: a new object under a name that nobody has.

use std::sync::Arc;

use api_meta::kinds::{Kind, Kinds};
use api_meta::status::Status;
use bytes::Bytes;
use proto_etcd::mvccpb::KeyValue;
use serde_json::Value;

use super::context::{RequestContext, Target};
use super::pipeline::{self, Admitted, Body};
use super::service::Registry;
use super::{refusals, strategy, tree, versions};
use crate::admission::Operation;
use crate::admission::plugins::namespace_lifecycle;
use crate::cache::Object;
use crate::storage::{Guarded, Outcome, Step, codec, keys};

/// How many names are tried for a `generateName`.
const NAMES_MAX: usize = 8;
/// How often a write is tried again because something beside its object was taken meanwhile.
const TRIES_MAX: usize = 64;
/// The letters of generated names: no vowels, nothing that looks like something else.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;
const BASE_MAX: usize = 63 - SUFFIX;

impl Registry {
    /// Stores a new object. `name` in the target is empty unless the path names one.
    pub async fn create(
        &self,
        ctx: &RequestContext,
        target: &Target,
        body: Body,
    ) -> Result<Arc<Object>, Status> {
        let kind = target.kind;
        let mut sent = body.value;
        pipeline::check_type(kind, &mut sent)?;
        pipeline::check_fields(ctx, kind, &sent, &body.duplicates)?;
        pipeline::check_namespace(kind, &target.namespace, &mut sent)?;
        if !tree::text(&sent, "/metadata/resourceVersion").is_empty() {
            return Err(Status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let sent = versions::to_stored(kind, sent);
        let stored = versions::stored_kind(kind);
        let base = tree::text(&sent, "/metadata/generateName").to_owned();
        let generates = tree::name(&sent).is_empty() && target.name.is_empty() && !base.is_empty();
        for _ in 0..NAMES_MAX {
            let mut object = sent.clone();
            let name = match (generates, target.name.as_str(), tree::name(&sent)) {
                (true, _, _) => generate_name(&base),
                (false, "", own) => own.to_owned(),
                (false, path, own) if own.is_empty() || own == path => path.to_owned(),
                (false, path, own) => return Err(name_mismatch(own, path)),
            };
            tree::metadata(&mut object).insert("name".into(), name.clone().into());
            let target = Target::new(stored, &target.namespace, &name);
            match self.create_named(ctx, &target, object).await {
                Err(status) if generates && status.is("AlreadyExists") => {}
                created => return versions::serve(kind, &created?),
            }
        }
        Err(Status::generate_name_conflict(
            &kind.group,
            &kind.resource,
            &base,
        ))
    }

    async fn create_named(
        &self,
        ctx: &RequestContext,
        target: &Target,
        mut object: Value,
    ) -> Result<Arc<Object>, Status> {
        let kind = target.kind;
        if target.name.is_empty() {
            let cause =
                api_meta::Cause::required("metadata.name", "name or generateName is required");
            return Err(Status::invalid(&kind.group, &kind.kind, "", vec![cause]));
        }
        set_system_metadata(&mut object);
        pipeline::default(kind, &mut object);
        let admission = Admitted {
            ctx,
            target,
            subresource: None,
            operation: Operation::Create,
        };
        let mut object = admission.mutate(self, object, None).await?;
        let strategy = strategy::of(kind);
        strategy.prepare_create(ctx, kind, &mut object);
        strategy::set_generation(kind, &mut object, None);
        pipeline::default(kind, &mut object);
        pipeline::validate_create(kind, &object)?;
        let object = admission.validate(self, Some(object), None).await?;
        let admitted = object.ok_or_else(|| Status::internal("admission took the object away"))?;
        // After validation, which says more about a wrong name.
        let key = self.key(target)?;
        let mut namespace = self.guard_namespace(target).await?;
        for _ in 0..TRIES_MAX {
            // What an earlier try was given must not look like what the user asked for.
            let mut object = admitted.clone();
            let beside = strategy.beside_create(self, &mut object).await?;
            if ctx.is_dry_run() {
                return self.dry_create(target, &key, &object).await;
            }
            let (write, value) = self.creation(target, &key, &object).await?;
            let mut writes = vec![write];
            writes.extend(beside);
            writes.extend(namespace.clone());
            match self
                .etcd()
                .commit(&writes)
                .await
                .map_err(|error| refusals::of_store(&error))?
            {
                Outcome::Committed(revision) => {
                    return Ok(Object::from_stored(&key, &value, revision));
                }
                Outcome::Conflict(found) if found.first().is_some_and(Option::is_some) => {
                    return Err(already_exists(kind, &target.name));
                }
                // Something beside it was taken meanwhile: choose again.
                Outcome::Conflict(found) => {
                    if let Some(guard) = &mut namespace {
                        let now = found.last().and_then(Option::as_ref);
                        look_again(target, guard, now)?;
                    }
                }
            }
        }
        Err(Status::server_timeout(
            &kind.group,
            &kind.resource,
            "create",
            1,
        ))
    }

    /// The write of a new object, and its bytes.
    async fn creation(
        &self,
        target: &Target,
        key: &str,
        object: &Value,
    ) -> Result<(Guarded, Bytes), Status> {
        let value = codec::encode(object).map_err(|error| refusals::of_codec(&error))?;
        let lease = self.lease(target.kind).await?;
        let write = Guarded {
            key: keys::absolute(&target.kind.storage_prefix, key),
            expected: 0,
            step: Step::Put {
                value: value.clone(),
                lease,
            },
        };
        Ok((write, value))
    }

    /// The condition that the namespace is still as admission saw it. The cache may be behind, so that
    /// admission alone would let an object into a namespace whose end has begun, where nobody would
    /// ever delete it. No condition where namespaces do not matter, or where there is none.
    async fn guard_namespace(&self, target: &Target) -> Result<Option<Guarded>, Status> {
        if !target.kind.namespaced || !self.admission().runs("NamespaceLifecycle") {
            return Ok(None);
        }
        let kind = namespaces();
        let found = match self.kind_cache(kind)?.get(&target.namespace) {
            Some(found) => Some(found),
            None => self.read_store(kind, &target.namespace).await?,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        // Its end may have become known since admission looked.
        check_living(target, &found)?;
        Ok(Some(Guarded {
            key: keys::object(kind, "", &target.namespace),
            expected: i64::try_from(found.revision).unwrap_or(i64::MAX),
            step: Step::Keep,
        }))
    }

    async fn dry_create(
        &self,
        target: &Target,
        key: &str,
        object: &Value,
    ) -> Result<Arc<Object>, Status> {
        if self.read_store(target.kind, key).await?.is_some() {
            return Err(already_exists(target.kind, &target.name));
        }
        Object::unstored(key, object)
    }
}

fn namespaces() -> &'static Kind {
    Kinds::builtin()
        .by_resource("", "v1", "namespaces")
        .expect("the table of built-in kinds has it, and a test reads the table")
}

/// A namespace that changed is guarded as it is now, unless it is ending or gone.
fn look_again(target: &Target, guard: &mut Guarded, now: Option<&KeyValue>) -> Result<(), Status> {
    let name = &target.namespace;
    let Some(now) = now else {
        return Err(Status::not_found("", "namespaces", name));
    };
    if now.mod_revision == guard.expected {
        return Ok(());
    }
    let revision = u64::try_from(now.mod_revision).unwrap_or_default();
    check_living(target, &Object::from_stored(name, &now.value, revision))?;
    guard.expected = now.mod_revision;
    Ok(())
}

fn check_living(target: &Target, namespace: &Object) -> Result<(), Status> {
    if !namespace_lifecycle::is_ending(namespace)? {
        return Ok(());
    }
    Err(namespace_lifecycle::terminating(
        target.kind,
        &target.name,
        &target.namespace,
    ))
}

fn already_exists(kind: &Kind, name: &str) -> Status {
    Status::already_exists(&kind.group, &kind.resource, name)
}

pub(crate) fn name_mismatch(own: &str, path: &str) -> Status {
    Status::bad_request(format!(
        "the name of the object ({own}) does not match the name on the URL ({path})"
    ))
}

/// What the server alone decides on.
fn set_system_metadata(object: &mut Value) {
    let metadata = tree::metadata(object);
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".into(), tree::now().into());
}

fn generate_name(base: &str) -> String {
    let mut end = base.len().min(BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base.get(..end).unwrap_or_default().to_owned();
    for _ in 0..SUFFIX {
        let letter = LETTERS[rand::random_range(0..LETTERS.len())];
        name.push(char::from(letter));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::generate_name;

    #[test]
    fn generated_names_fit_a_label() {
        assert_eq!(generate_name("a-").len(), 7);
        assert_eq!(generate_name(&"x".repeat(80)).len(), 63);
        assert!(generate_name("ä".repeat(40).as_str()).len() <= 63);
    }
}

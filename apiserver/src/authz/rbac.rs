//! RBAC: roles and bindings compiled to lookups by subject.
//!
//! The four kinds are compiled apart, each again when its revision in the cache has moved, so an
//! answer is never older than the cache. A compiled table is shared and never changed.

use std::collections::HashMap;
use std::sync::Arc;

use api_meta::kinds::Kind;
use arc_swap::ArcSwapOption;
use serde::Deserialize;

use super::aggregation::{RawRole, aggregate_roles};
use super::rule::Rule;
use super::{Attributes, Authorizer, Decision, RBAC_GROUP, UserRules, builtin_kind};
use crate::authn::UserInfo;
use crate::authn::user::split_service_account;
use crate::cache::ObjectReader;

/// The RBAC authorizer.
pub struct Rbac {
    reader: Arc<dyn ObjectReader>,
    cluster_roles: Table<Roles>,
    roles: Table<Roles>,
    cluster_bindings: Table<Bindings>,
    bindings: Table<Bindings>,
}

/// Something compiled from all objects of one kind.
struct Table<T> {
    kind: &'static Kind,
    current: ArcSwapOption<(u64, T)>,
}

/// Rules by namespace (empty for cluster roles) and name.
pub(super) type Roles = HashMap<(String, String), Arc<[Rule]>>;

/// Bindings by namespace (empty for cluster bindings) and subject.
type Bindings = HashMap<String, HashMap<Subject, Vec<Arc<Binding>>>>;

/// Whom a binding names, with service accounts told by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount(String, String),
}

#[derive(Debug)]
struct Binding {
    namespace: String,
    name: String,
    role_is_cluster: bool,
    /// Anything but Role and ClusterRole, which upstream refuses to resolve.
    odd_role_kind: Option<String>,
    role: String,
    /// The position among all bindings, so that the first one in key order is the one named.
    order: usize,
}

#[derive(Deserialize)]
struct RawBinding {
    metadata: RawMeta,
    #[serde(default)]
    subjects: Option<Vec<RawSubject>>,
    #[serde(rename = "roleRef")]
    role_ref: RawRoleRef,
}

#[derive(Deserialize)]
pub(super) struct RawMeta {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct RawSubject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct RawRoleRef {
    kind: String,
    name: String,
}

impl std::fmt::Debug for Rbac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rbac")
    }
}

impl<T> Table<T> {
    fn new(resource: &str) -> Self {
        let kind = builtin_kind(RBAC_GROUP, "v1", resource);
        Self {
            kind,
            current: ArcSwapOption::empty(),
        }
    }

    /// The table as the cache is now.
    fn get(
        &self,
        reader: &dyn ObjectReader,
        compile: fn(&dyn ObjectReader, &Kind) -> T,
    ) -> Arc<(u64, T)> {
        // Read before the objects: if one changes in between, the table looks old and is made again.
        let revision = reader.revision_of(self.kind);
        if let Some(current) = self.current.load_full()
            && current.0 == revision
        {
            return current;
        }
        let made = Arc::new((revision, compile(reader, self.kind)));
        self.current.store(Some(made.clone()));
        made
    }
}

fn compile_roles(reader: &dyn ObjectReader, kind: &Kind) -> Roles {
    let mut raw = HashMap::new();
    for object in reader.list(kind, None) {
        match serde_json::from_slice::<RawRole>(&object.json) {
            Ok(role) => {
                raw.insert(
                    (role.metadata.namespace.clone(), role.metadata.name.clone()),
                    role,
                );
            }
            // A role that cannot be read grants nothing.
            Err(error) => tracing::error!(key = %object.key, %error, "role cannot be read"),
        }
    }
    aggregate_roles(raw)
}

fn compile_bindings(reader: &dyn ObjectReader, kind: &Kind) -> Bindings {
    let mut bindings = Bindings::new();
    for (order, object) in reader.list(kind, None).into_iter().enumerate() {
        let raw = match serde_json::from_slice::<RawBinding>(&object.json) {
            Ok(raw) => raw,
            Err(error) => {
                tracing::error!(key = %object.key, %error, "binding cannot be read");
                continue;
            }
        };
        let namespace = raw.metadata.namespace;
        let known = matches!(raw.role_ref.kind.as_str(), "Role" | "ClusterRole");
        let binding = Arc::new(Binding {
            namespace: namespace.clone(),
            name: raw.metadata.name,
            role_is_cluster: raw.role_ref.kind == "ClusterRole",
            odd_role_kind: (!known).then_some(raw.role_ref.kind),
            role: raw.role_ref.name,
            order,
        });
        let subjects = bindings.entry(namespace.clone()).or_default();
        for subject in raw.subjects.unwrap_or_default() {
            let Some(subject) = subject.resolve(&namespace) else {
                continue;
            };
            let list: &mut Vec<Arc<Binding>> = subjects.entry(subject).or_default();
            if !list.last().is_some_and(|last| Arc::ptr_eq(last, &binding)) {
                list.push(binding.clone());
            }
        }
    }
    bindings
}

impl RawSubject {
    /// A service account without a namespace is one of the binding's own.
    fn resolve(self, binding_namespace: &str) -> Option<Subject> {
        match self.kind.as_str() {
            "User" => Some(Subject::User(self.name)),
            "Group" => Some(Subject::Group(self.name)),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() {
                    binding_namespace
                } else {
                    &self.namespace
                };
                (!namespace.is_empty())
                    .then(|| Subject::ServiceAccount(namespace.to_owned(), self.name.clone()))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "User {name:?}"),
            Self::Group(name) => write!(f, "Group {name:?}"),
            Self::ServiceAccount(namespace, name) => {
                write!(f, "ServiceAccount {:?}", format!("{name}/{namespace}"))
            }
        }
    }
}

impl Binding {
    fn describe(&self, subject: &Subject) -> String {
        let role_kind = if self.role_is_cluster {
            "ClusterRole"
        } else {
            "Role"
        };
        if self.namespace.is_empty() {
            format!(
                "ClusterRoleBinding {:?} of {role_kind} {:?} to {subject}",
                self.name, self.role
            )
        } else {
            let name = format!("{}/{}", self.name, self.namespace);
            format!(
                "RoleBinding {name:?} of {role_kind} {:?} to {subject}",
                self.role
            )
        }
    }
}

/// What became of a visit.
enum Visit {
    Rules {
        binding: Arc<Binding>,
        subject: Subject,
        rules: Arc<[Rule]>,
    },
    Unresolved(String),
}

impl Rbac {
    /// Reads roles and bindings from `reader`.
    pub fn new(reader: Arc<dyn ObjectReader>) -> Self {
        Self {
            reader,
            cluster_roles: Table::new("clusterroles"),
            roles: Table::new("roles"),
            cluster_bindings: Table::new("clusterrolebindings"),
            bindings: Table::new("rolebindings"),
        }
    }

    /// The rules of a role, as bindings in `namespace` see it. An error names what is not there.
    pub fn role_rules(
        &self,
        role_kind: &str,
        name: &str,
        namespace: &str,
    ) -> Result<Arc<[Rule]>, String> {
        let (table, space) = match role_kind {
            "ClusterRole" => (&self.cluster_roles, ""),
            "Role" => (&self.roles, namespace),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        let compiled = table.get(&*self.reader, compile_roles);
        let key = (space.to_owned(), name.to_owned());
        compiled.1.get(&key).cloned().ok_or_else(|| {
            let resource = if space.is_empty() {
                "clusterrole"
            } else {
                "role"
            };
            format!("{resource}.{RBAC_GROUP} {name:?} not found")
        })
    }

    /// Walks through all that applies to the user, until `visit` returns false: cluster bindings
    /// first, then those of the namespace, each in key order.
    fn walk(&self, user: &UserInfo, namespace: &str, mut visit: impl FnMut(Visit) -> bool) {
        let subjects = subjects_of(user);
        let tables = [(&self.cluster_bindings, ""), (&self.bindings, namespace)];
        for (table, space) in tables {
            if std::ptr::eq(table, &self.bindings) && namespace.is_empty() {
                continue;
            }
            let compiled = table.get(&*self.reader, compile_bindings);
            let Some(of_namespace) = compiled.1.get(space) else {
                continue;
            };
            let mut found: Vec<(&Subject, &Arc<Binding>)> = subjects
                .iter()
                .filter_map(|subject| of_namespace.get(subject).map(|list| (subject, list)))
                .flat_map(|(subject, list)| list.iter().map(move |binding| (subject, binding)))
                .collect();
            found.sort_by_key(|(_, binding)| binding.order);
            found.dedup_by_key(|(_, binding)| binding.order);
            for (subject, binding) in found {
                let kind = binding
                    .odd_role_kind
                    .as_deref()
                    .unwrap_or(if binding.role_is_cluster {
                        "ClusterRole"
                    } else {
                        "Role"
                    });
                let visited = match self.role_rules(kind, &binding.role, space) {
                    Ok(rules) => visit(Visit::Rules {
                        binding: binding.clone(),
                        subject: subject.clone(),
                        rules,
                    }),
                    Err(error) => visit(Visit::Unresolved(error)),
                };
                if !visited {
                    return;
                }
            }
        }
    }
}

fn subjects_of(user: &UserInfo) -> Vec<Subject> {
    let mut subjects = Vec::with_capacity(user.groups.len() + 2);
    subjects.push(Subject::User(user.name.clone()));
    if let Some((namespace, name)) = split_service_account(&user.name) {
        subjects.push(Subject::ServiceAccount(
            namespace.to_owned(),
            name.to_owned(),
        ));
    }
    subjects.extend(user.groups.iter().cloned().map(Subject::Group));
    subjects
}

/// Several errors in one text, as upstream joins them.
fn aggregate(mut errors: Vec<String>) -> String {
    errors.dedup();
    match errors.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut allowed = None;
        let mut errors = Vec::new();
        self.walk(attributes.user, attributes.namespace, |visit| match visit {
            Visit::Rules {
                binding,
                subject,
                rules,
            } => {
                if rules.iter().any(|rule| rule.allows(attributes)) {
                    allowed = Some(format!("RBAC: allowed by {}", binding.describe(&subject)));
                }
                allowed.is_none()
            }
            Visit::Unresolved(error) => {
                errors.push(error);
                true
            }
        });
        match allowed {
            Some(reason) => Decision::Allow { reason },
            None if errors.is_empty() => Decision::NoOpinion {
                reason: String::new(),
            },
            None => Decision::NoOpinion {
                reason: format!("RBAC: {}", aggregate(errors)),
            },
        }
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> UserRules {
        let mut found = UserRules::default();
        self.walk(user, namespace, |visit| {
            match visit {
                Visit::Rules { rules, .. } => found.rules.extend(rules.iter().cloned()),
                Visit::Unresolved(error) => found.errors.push(error),
            }
            true
        });
        found
    }
}

#[cfg(test)]
mod tests;

//! The plugins in upstream's order, first all that change, then all that refuse.

use std::fmt;
use std::sync::Arc;

use api_meta::status::Status;

use super::plugins::{
    certificate_approval::CertificateApproval, certificate_signing::CertificateSigning,
    certificate_subject_restriction::CertificateSubjectRestriction,
    default_ingress_class::DefaultIngressClass, default_storage_class::DefaultStorageClass,
    default_toleration_seconds::DefaultTolerationSeconds, grants::Grants,
    namespace_lifecycle::NamespaceLifecycle, node_restriction::NodeRestriction,
    pod_topology_labels::PodTopologyLabels, priority::Priority, runtime_class::RuntimeClass,
    service_account::ServiceAccount,
    storage_object_in_use_protection::StorageObjectInUseProtection,
    taint_nodes_by_condition::TaintNodesByCondition,
};
use super::{GrantGuard, Plugin, Request};
use crate::authz::{self, Attributes, Authorizer};
use crate::cache::ObjectReader;

/// Upstream's plugins in the order in which they run, and whether they run unless switched off.
/// `None` is a plugin that this server does not have: it can be switched off, but not on.
const ORDER: &[(&str, Option<Default>)] = &[
    ("AlwaysAdmit", None),
    ("NamespaceAutoProvision", None),
    ("NamespaceLifecycle", Some(Default::On)),
    ("NamespaceExists", None),
    ("LimitPodHardAntiAffinityTopology", None),
    ("LimitRanger", None),
    ("ServiceAccount", Some(Default::On)),
    ("NodeRestriction", Some(Default::Off)),
    ("TaintNodesByCondition", Some(Default::On)),
    ("AlwaysPullImages", None),
    ("ImagePolicyWebhook", None),
    ("PodSecurity", None),
    ("PodNodeSelector", None),
    ("Priority", Some(Default::On)),
    ("DefaultTolerationSeconds", Some(Default::On)),
    ("PodTolerationRestriction", None),
    ("EventRateLimit", None),
    ("ExtendedResourceToleration", None),
    ("DefaultStorageClass", Some(Default::On)),
    // On in upstream. Off here until the controllers that take its finalizers away are part of every
    // cluster: without them a claim that was deleted would never go.
    ("StorageObjectInUseProtection", Some(Default::Off)),
    ("PodGroupProtection", None),
    ("OwnerReferencesPermissionEnforcement", None),
    ("PersistentVolumeClaimResize", None),
    ("RuntimeClass", Some(Default::On)),
    ("CertificateApproval", Some(Default::On)),
    ("CertificateSigning", Some(Default::On)),
    ("ClusterTrustBundleAttest", None),
    ("CertificateSubjectRestriction", Some(Default::On)),
    ("DefaultIngressClass", Some(Default::On)),
    ("DenyServiceExternalIPs", None),
    ("PodTopologyLabels", Some(Default::On)),
    ("PodGroupWorkloadExists", None),
    ("NodeDeclaredFeatureValidator", None),
    ("JobValidation", None),
    ("PodResizeValidator", None),
    ("MutatingAdmissionPolicy", None),
    ("MutatingAdmissionWebhook", None),
    ("ValidatingAdmissionPolicy", None),
    ("ValidatingAdmissionWebhook", None),
    ("ResourceQuota", None),
    ("AlwaysDeny", None),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Default {
    On,
    Off,
}

/// What the chain is built from.
pub struct Deps {
    /// Reads namespaces, service accounts and priority classes.
    pub reader: Arc<dyn ObjectReader>,
    /// Keeps users from granting what they do not hold.
    pub guard: Option<Arc<dyn GrantGuard>>,
    /// The plugins of `--enable-admission-plugins`.
    pub enable: Vec<String>,
    /// The plugins of `--disable-admission-plugins`.
    pub disable: Vec<String>,
}

/// A plugin name that the flags cannot ask for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownPlugin {
    /// Nobody knows it.
    #[error("{flag} plugin {name:?} is unknown")]
    Unknown {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// Upstream has it and this server does not.
    #[error("enable-admission-plugins plugin {0:?} is not implemented yet")]
    Unsupported(String),
    /// It is asked for and refused at once.
    #[error("{0:?} in enable-admission-plugins and disable-admission-plugins overlapped")]
    Both(String),
}

/// The plugins of a server. Cheap to clone.
#[derive(Clone)]
pub struct Chain {
    plugins: Arc<[Box<dyn Plugin>]>,
    authorizer: Option<Arc<dyn Authorizer>>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.plugins.iter().map(|plugin| plugin.name()))
            .finish()
    }
}

impl Chain {
    /// The built-in plugins: the default ones, with `enable` and without `disable`.
    pub fn builtin(deps: Deps) -> Result<Self, UnknownPlugin> {
        check_names("enable-admission-plugins", &deps.enable)?;
        check_names("disable-admission-plugins", &deps.disable)?;
        if let Some(name) = deps.enable.iter().find(|name| deps.disable.contains(name)) {
            return Err(UnknownPlugin::Both(name.clone()));
        }
        let authorizer = deps.guard.as_ref().and_then(|guard| guard.authorizer());
        let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
        for (name, default) in ORDER {
            let asked = deps.enable.iter().any(|one| one == name);
            let Some(default) = default else {
                if asked {
                    return Err(UnknownPlugin::Unsupported((*name).to_owned()));
                }
                continue;
            };
            let dropped = deps.disable.iter().any(|one| one == name);
            if asked || *default == Default::On && !dropped {
                plugins.extend(make(name, &deps.reader, authorizer.as_ref()));
            }
        }
        if let Some(guard) = deps.guard {
            plugins.push(Box::new(Grants::new(guard)));
        }
        Ok(Self {
            plugins: plugins.into(),
            authorizer,
        })
    }

    /// Whether a plugin is one of the chain.
    pub fn runs(&self, name: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.name() == name)
    }

    /// Refuses what a write comes to if its user may not do that: authorization has only seen the
    /// request line.
    pub(crate) fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let Some(authorizer) = &self.authorizer else {
            return Ok(());
        };
        let decision = authorizer.authorize(attributes);
        if decision.is_allowed() {
            return Ok(());
        }
        Err(authz::forbidden(attributes, decision.reason()))
    }

    /// Lets every plugin fill in and change. The object is defaulted again by the caller.
    pub async fn mutate(&self, request: &mut Request<'_>) -> Result<(), Status> {
        for plugin in self.plugins.iter() {
            plugin.mutate(request).await?;
        }
        Ok(())
    }

    /// Asks every plugin whether the object may be stored as it is.
    pub async fn validate(&self, request: &Request<'_>) -> Result<(), Status> {
        for plugin in self.plugins.iter() {
            plugin.validate(request).await?;
        }
        Ok(())
    }
}

/// Makes a plugin. Those that ask for permissions need somebody to ask.
fn make(
    name: &str,
    reader: &Arc<dyn ObjectReader>,
    authorizer: Option<&Arc<dyn Authorizer>>,
) -> Option<Box<dyn Plugin>> {
    let reader = reader.clone();
    Some(match name {
        "NamespaceLifecycle" => Box::new(NamespaceLifecycle::new(reader)),
        "ServiceAccount" => Box::new(ServiceAccount::new(reader)),
        "NodeRestriction" => Box::new(NodeRestriction::new(reader, authorizer.cloned())),
        "TaintNodesByCondition" => Box::new(TaintNodesByCondition),
        "Priority" => Box::new(Priority::new(reader)),
        "DefaultTolerationSeconds" => Box::new(DefaultTolerationSeconds),
        "DefaultStorageClass" => Box::new(DefaultStorageClass::new(reader)),
        "StorageObjectInUseProtection" => Box::new(StorageObjectInUseProtection),
        "RuntimeClass" => Box::new(RuntimeClass::new(reader)),
        "CertificateApproval" => Box::new(CertificateApproval::new(authorizer?.clone())),
        "CertificateSigning" => Box::new(CertificateSigning::new(authorizer?.clone())),
        "CertificateSubjectRestriction" => Box::new(CertificateSubjectRestriction),
        "DefaultIngressClass" => Box::new(DefaultIngressClass::new(reader)),
        "PodTopologyLabels" => Box::new(PodTopologyLabels::new(reader)),
        other => unreachable!("ORDER marks {other} as a plugin of ours"),
    })
}

fn check_names(flag: &'static str, names: &[String]) -> Result<(), UnknownPlugin> {
    match names
        .iter()
        .find(|name| !ORDER.iter().any(|(known, _)| known == name))
    {
        Some(name) => Err(UnknownPlugin::Unknown {
            flag,
            name: name.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! The plugins in upstream's order, first all that change, then all that refuse.

use std::fmt;
use std::sync::Arc;

use api_meta::status::Status;

use super::plugins::{
    default_toleration_seconds::DefaultTolerationSeconds, grants::Grants,
    namespace_lifecycle::NamespaceLifecycle, priority::Priority, service_account::ServiceAccount,
    taint_nodes_by_condition::TaintNodesByCondition,
};
use super::{GrantGuard, Plugin, Request};
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
    ("NodeRestriction", None),
    // On in upstream. Off here until a controller that lifts the taint is part of every cluster.
    ("TaintNodesByCondition", Some(Default::Off)),
    ("AlwaysPullImages", None),
    ("ImagePolicyWebhook", None),
    ("PodSecurity", None),
    ("PodNodeSelector", None),
    ("Priority", Some(Default::On)),
    ("DefaultTolerationSeconds", Some(Default::On)),
    ("PodTolerationRestriction", None),
    ("EventRateLimit", None),
    ("ExtendedResourceToleration", None),
    ("DefaultStorageClass", None),
    ("StorageObjectInUseProtection", None),
    ("OwnerReferencesPermissionEnforcement", None),
    ("PersistentVolumeClaimResize", None),
    ("RuntimeClass", None),
    ("CertificateApproval", None),
    ("CertificateSigning", None),
    ("ClusterTrustBundleAttest", None),
    ("CertificateSubjectRestriction", None),
    ("DefaultIngressClass", None),
    ("PodTopologyLabels", None),
    ("DenyServiceExternalIPs", None),
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
    #[error("enable-admission-plugins plugin {0:?} is not supported yet")]
    Unsupported(String),
    /// It is asked for and refused at once.
    #[error("{0:?} in enable-admission-plugins and disable-admission-plugins overlapped")]
    Both(String),
}

/// The plugins of a server. Cheap to clone.
#[derive(Clone)]
pub struct Chain {
    plugins: Arc<[Box<dyn Plugin>]>,
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
                plugins.push(make(name, &deps.reader));
            }
        }
        if let Some(guard) = deps.guard {
            plugins.push(Box::new(Grants::new(guard)));
        }
        Ok(Self {
            plugins: plugins.into(),
        })
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

fn make(name: &str, reader: &Arc<dyn ObjectReader>) -> Box<dyn Plugin> {
    match name {
        "NamespaceLifecycle" => Box::new(NamespaceLifecycle::new(reader.clone())),
        "ServiceAccount" => Box::new(ServiceAccount::new(reader.clone())),
        "TaintNodesByCondition" => Box::new(TaintNodesByCondition),
        "Priority" => Box::new(Priority::new(reader.clone())),
        "DefaultTolerationSeconds" => Box::new(DefaultTolerationSeconds),
        other => unreachable!("ORDER marks {other} as a plugin of ours"),
    }
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
mod tests {
    use super::{Chain, Deps, UnknownPlugin};
    use crate::authz::testing::Objects;

    fn build(enable: &[&str], disable: &[&str]) -> Result<String, UnknownPlugin> {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let deps = Deps {
            reader: Objects::shared(&[]),
            guard: None,
            enable: list(enable),
            disable: list(disable),
        };
        Chain::builtin(deps).map(|chain| format!("{chain:?}"))
    }

    #[test]
    fn flags_choose_among_the_plugins() {
        let all =
            r#"["NamespaceLifecycle", "ServiceAccount", "Priority", "DefaultTolerationSeconds"]"#;
        assert_eq!(build(&[], &[]).unwrap(), all);
        assert_eq!(build(&["Priority"], &["LimitRanger"]).unwrap(), all);
        assert_eq!(
            build(
                &[],
                &["ServiceAccount", "Priority", "DefaultTolerationSeconds"]
            )
            .unwrap(),
            r#"["NamespaceLifecycle"]"#
        );
        assert!(
            build(&["TaintNodesByCondition"], &[])
                .unwrap()
                .contains("TaintNodesByCondition")
        );
        let message = |result: Result<String, UnknownPlugin>| result.unwrap_err().to_string();
        assert_eq!(
            message(build(&["Nope"], &[])),
            r#"enable-admission-plugins plugin "Nope" is unknown"#
        );
        assert_eq!(
            message(build(&["PodSecurity"], &[])),
            r#"enable-admission-plugins plugin "PodSecurity" is not supported yet"#
        );
        assert!(message(build(&["Priority"], &["Priority"])).contains("overlapped"));
    }
}

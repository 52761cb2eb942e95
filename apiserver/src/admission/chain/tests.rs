//! Which plugins run, by the flags.

use std::sync::Arc;

use api_meta::status::Status;

use super::{Chain, Deps, UnknownPlugin};
use crate::admission::GrantGuard;
use crate::admission::plugins::grants::Grant;
use crate::admission::testing::Permits;
use crate::authz::testing::{Objects, someone};
use crate::authz::{Attributes, Authorizer};

/// A guard that lets everything pass and knows whom to ask.
struct Knowing;

impl GrantGuard for Knowing {
    fn check(&self, _: &Grant<'_>) -> Result<(), Status> {
        Ok(())
    }

    fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        Some(Permits::only("create leases n"))
    }
}

fn chain(enable: &[&str], disable: &[&str]) -> Result<Chain, UnknownPlugin> {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Chain::builtin(Deps {
        reader: Objects::shared(&[]),
        guard: Some(Arc::new(Knowing)),
        enable: list(enable),
        disable: list(disable),
    })
}

fn build(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, UnknownPlugin> {
    let chain = chain(enable, disable)?;
    Ok(chain.plugins.iter().map(|plugin| plugin.name()).collect())
}

const ALL: [&str; 13] = [
    "NamespaceLifecycle",
    "ServiceAccount",
    "TaintNodesByCondition",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "Grants",
];

#[test]
fn flags_choose_among_the_plugins() {
    assert_eq!(build(&[], &[]).unwrap(), ALL);
    assert_eq!(build(&["Priority"], &["LimitRanger"]).unwrap(), ALL);
    let fewer = build(&[], &["ServiceAccount", "Priority"]).unwrap();
    assert_eq!(fewer.len(), ALL.len() - 2);
    assert!(!fewer.contains(&"Priority"));
    for more in ["NodeRestriction", "StorageObjectInUseProtection"] {
        assert!(build(&[more], &[]).unwrap().contains(&more));
    }
}

#[test]
fn names_that_cannot_be_asked_for_are_refused() {
    let message =
        |result: Result<Vec<&'static str>, UnknownPlugin>| result.unwrap_err().to_string();
    assert_eq!(
        message(build(&["Nope"], &[])),
        r#"enable-admission-plugins plugin "Nope" is unknown"#
    );
    assert_eq!(
        message(build(&[], &["Nope"])),
        r#"disable-admission-plugins plugin "Nope" is unknown"#
    );
    assert_eq!(
        message(build(&["PodSecurity"], &[])),
        r#"enable-admission-plugins plugin "PodSecurity" is not implemented yet"#
    );
    assert!(message(build(&["Priority"], &["Priority"])).contains("overlapped"));
}

#[test]
fn what_a_write_comes_to_is_authorized_too() {
    let (chain, user) = (chain(&[], &[]).unwrap(), someone());
    let attributes = |name| Attributes {
        user: &user,
        verb: "create",
        group: "coordination.k8s.io",
        version: "v1",
        resource: "leases",
        subresource: "",
        namespace: "a",
        name,
        path: "",
        is_resource: true,
    };
    chain.authorize(&attributes("n")).unwrap();
    assert_eq!(
        chain.authorize(&attributes("m")).unwrap_err().message,
        r#"leases.coordination.k8s.io "m" is forbidden: User "someone" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "a""#
    );
    assert!(chain.runs("NamespaceLifecycle") && !chain.runs("NodeRestriction"));
}

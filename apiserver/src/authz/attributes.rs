//! The question to an authorizer, its answer, and the refusal that a client reads.

use api_meta::status::Status;

use super::rule::Rule;
use crate::authn::UserInfo;

/// What a request wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// `get`, `list`, …; of paths that are no resources the HTTP method in lower case.
    pub verb: &'a str,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version, or `*`.
    pub version: &'a str,
    /// The plural name of the resource.
    pub resource: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The namespace, or empty.
    pub namespace: &'a str,
    /// The object's name, or empty where the request is for many or for a new one.
    pub name: &'a str,
    /// The URL path; only of requests that are for no resource.
    pub path: &'a str,
    /// True if the request is for a resource.
    pub is_resource: bool,
}

/// What an authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// Why, for SubjectAccessReview.
        reason: String,
    },
    /// Nothing for it: the next one decides, and at the end it is a no.
    NoOpinion {
        /// What hindered a better answer, if anything.
        reason: String,
    },
    /// No, whatever others say.
    Deny {
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// True for [`Decision::Allow`].
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Why, in every case.
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow { reason } | Self::NoOpinion { reason } | Self::Deny { reason } => reason,
        }
    }
}

/// Everything that a user may do in a namespace, as far as it can be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRules {
    /// The permissions.
    pub rules: Vec<Rule>,
    /// True if there may be more.
    pub incomplete: bool,
    /// Why there may be more, one text per reason.
    pub errors: Vec<String>,
}

/// Decides on requests.
pub trait Authorizer: Send + Sync {
    /// Decides on one request. Must not block.
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision;

    /// Lists what the user may do in `namespace`.
    fn rules_for(&self, user: &UserInfo, namespace: &str) -> UserRules;
}

impl Attributes<'_> {
    /// The resource with its subresource, as messages name it.
    pub fn combined_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The 403 for a request that was not allowed.
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    // Messages must not look like HTML to a browser.
    let mut why = message(attributes)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    Status::forbidden(attributes.group, attributes.resource, attributes.name, &why)
}

fn message(attributes: &Attributes<'_>) -> String {
    let Attributes {
        verb,
        group,
        namespace,
        path,
        ..
    } = attributes;
    let user = &attributes.user.name;
    if !attributes.is_resource {
        return format!("User {user:?} cannot {verb} path {path:?}");
    }
    let resource = attributes.combined_resource();
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {namespace:?}")
    };
    format!("User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {place}")
}

#[cfg(test)]
mod tests {
    use super::{Attributes, forbidden};
    use crate::authn::UserInfo;

    fn attributes(user: &UserInfo) -> Attributes<'_> {
        Attributes {
            user,
            verb: "list",
            group: "",
            version: "v1",
            resource: "pods",
            subresource: "",
            namespace: "y",
            name: "",
            path: "",
            is_resource: true,
        }
    }

    #[test]
    fn refusals_read_as_upstreams() {
        let user = UserInfo {
            name: "x".to_owned(),
            ..UserInfo::default()
        };
        let asked = attributes(&user);
        assert_eq!(
            forbidden(&asked, "").message,
            r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y""#
        );
        let asked = Attributes {
            verb: "update",
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            name: "d",
            namespace: "",
            ..asked
        };
        assert_eq!(
            forbidden(&asked, "RBAC: no").message,
            r#"deployments.apps "d" is forbidden: User "x" cannot update resource "deployments/scale" in API group "apps" at the cluster scope: RBAC: no"#
        );
    }

    #[test]
    fn paths_are_named_and_never_look_like_html() {
        let user = UserInfo {
            name: "<b>".to_owned(),
            ..UserInfo::default()
        };
        let asked = Attributes {
            verb: "get",
            path: "/metrics",
            resource: "",
            namespace: "",
            is_resource: false,
            ..attributes(&user)
        };
        assert_eq!(
            forbidden(&asked, "").message,
            r#"forbidden: User "&lt;b&gt;" cannot get path "/metrics""#
        );
    }
}

//! The authorizers in their order: the masters, then those of `--authorization-mode`.

use std::str::FromStr;
use std::sync::Arc;

use super::node::Node;
use super::{Attributes, Authorizer, Decision, Rbac, UserRules};
use crate::authn::UserInfo;
use crate::authn::user::MASTERS;
use crate::cache::ObjectReader;

/// One of the values of `--authorization-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Kubelets.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everything is allowed.
    AlwaysAllow,
    /// Nothing is allowed, except to the masters.
    AlwaysDeny,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "Node" => Ok(Self::Node),
            "RBAC" => Ok(Self::Rbac),
            "AlwaysAllow" => Ok(Self::AlwaysAllow),
            "AlwaysDeny" => Ok(Self::AlwaysDeny),
            "Webhook" | "ABAC" => Err(format!("authorization-mode {text:?} is not supported yet")),
            other => Err(format!("authorization-mode {other:?} is not a valid mode")),
        }
    }
}

/// The authorizer of the server.
pub struct Chain {
    links: Vec<Box<dyn Authorizer>>,
    rbac: Arc<Rbac>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain")
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl Chain {
    /// Builds the chain; the masters are always its first link.
    pub fn new(modes: &[Mode], reader: Arc<dyn ObjectReader>) -> Self {
        let rbac = Arc::new(Rbac::new(reader));
        let mut links: Vec<Box<dyn Authorizer>> = vec![Box::new(Masters)];
        for mode in modes {
            links.push(match mode {
                Mode::Node => Box::new(Node::default()),
                Mode::Rbac => Box::new(rbac.clone()),
                Mode::AlwaysAllow => Box::new(Always(Decision::Allow {
                    reason: String::new(),
                })),
                Mode::AlwaysDeny => Box::new(Always(Decision::NoOpinion {
                    reason: "Everything is forbidden.".to_owned(),
                })),
            });
        }
        Self { links, rbac }
    }

    /// The roles behind the chain, for the escalation checks.
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }
}

impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let mut reasons = Vec::new();
        for link in &self.links {
            match link.authorize(attributes) {
                Decision::NoOpinion { reason } if reason.is_empty() => {}
                Decision::NoOpinion { reason } => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion {
            reason: reasons.join("\n"),
        }
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> UserRules {
        let mut all = UserRules::default();
        for link in &self.links {
            let UserRules {
                rules,
                incomplete,
                errors,
            } = link.rules_for(user, namespace);
            all.rules.extend(rules);
            all.incomplete |= incomplete;
            all.errors.extend(errors);
        }
        all
    }
}

impl<T: Authorizer + ?Sized> Authorizer for Arc<T> {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        (**self).authorize(attributes)
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> UserRules {
        (**self).rules_for(user, namespace)
    }
}

/// Allows the members of `system:masters` everything.
struct Masters;

impl Authorizer for Masters {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let reason = String::new();
        if attributes.user.is_in(MASTERS) {
            Decision::Allow { reason }
        } else {
            Decision::NoOpinion { reason }
        }
    }

    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> UserRules {
        UserRules::default()
    }
}

/// Says the same to everyone.
struct Always(Decision);

impl Authorizer for Always {
    fn authorize(&self, _attributes: &Attributes<'_>) -> Decision {
        self.0.clone()
    }

    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> UserRules {
        let mut rules = UserRules::default();
        if self.0.is_allowed() {
            let all = || vec!["*".to_owned()];
            rules.rules = vec![
                super::rule::Rule {
                    verbs: all(),
                    api_groups: all(),
                    resources: all(),
                    ..Default::default()
                },
                super::rule::Rule {
                    verbs: all(),
                    non_resource_urls: all(),
                    ..Default::default()
                },
            ];
        }
        rules
    }
}

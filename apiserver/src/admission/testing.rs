//! What the tests of plugins share: an authorizer that permits one thing, and the user of a node.

use std::sync::Arc;

use crate::authn::UserInfo;
use crate::authz::{Attributes, Authorizer, Decision, UserRules};

/// Permits one thing, written as verb, resource and name.
pub(crate) struct Permits(&'static str);

impl Permits {
    /// Permits just this.
    pub(crate) fn only(permit: &'static str) -> Arc<dyn Authorizer> {
        Arc::new(Self(permit))
    }
}

impl Authorizer for Permits {
    fn authorize(&self, asked: &Attributes<'_>) -> Decision {
        let reason = String::new();
        if format!("{} {} {}", asked.verb, asked.resource, asked.name) == self.0 {
            Decision::Allow { reason }
        } else {
            Decision::NoOpinion { reason }
        }
    }

    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> UserRules {
        UserRules::default()
    }
}

/// The user of a node.
pub(crate) fn node_user(name: &str) -> UserInfo {
    UserInfo {
        name: format!("system:node:{name}"),
        groups: vec!["system:nodes".to_owned()],
        ..UserInfo::default()
    }
}

//! What a user may do.
//!
//! Reading order: [`attributes`] (the question and the answer), [`rule`] (one permission), [`rbac`]
//! with its aggregation, [`node`], [`chain`] (their order), [`escalation`] (nobody grants what they do not hold),
//! [`impersonation`]. It decides on names alone: it never sees a request's body.

mod aggregation;
pub mod attributes;
pub mod chain;
pub mod escalation;
pub mod impersonation;
pub mod node;
pub mod rbac;
pub mod rule;
#[cfg(test)]
pub(crate) mod testing;

use api_meta::kinds::{Kind, Kinds};

pub use attributes::{Attributes, Authorizer, Decision, UserRules, forbidden};
pub use chain::{Chain, Mode};
pub use rbac::Rbac;

/// The API group of roles and bindings.
pub const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A kind that every build of the kind table holds.
pub(crate) fn builtin_kind(group: &str, version: &str, resource: &str) -> &'static Kind {
    Kinds::builtin()
        .by_resource(group, version, resource)
        .expect("the kind table is part of the program and holds every built-in kind")
}

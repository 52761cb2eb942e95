//! Questions that are asked by creating an object: who am I, may I, whose token is this, give me one.
//!
//! The object is answered and never stored. Reading order: [`service`] (which question is which),
//! [`access`], [`rules`], [`token_review`], [`token_request`].

mod access;
mod rules;
mod service;
mod token_request;
mod token_review;

pub use service::{Parts, Question, Reviews};

/// The API group of questions about permissions.
pub(crate) const AUTHORIZATION: &str = "authorization.k8s.io";
/// The API group of questions about identity.
pub(crate) const AUTHENTICATION: &str = "authentication.k8s.io";

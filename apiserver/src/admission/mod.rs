//! What a write must pass, and what is filled in for it, before it is stored.
//!
//! Reading order: [`request`] (what plugins see), [`chain`] (their order), [`plugins`] (one per file).
//! Plugins read through the cache and never write; quota, when it comes, is the one exception.

pub mod chain;
pub mod plugins;
pub mod request;
#[cfg(test)]
pub(crate) mod testing;

pub use chain::{Chain, Deps, UnknownPlugin};
pub use plugins::grants::GrantGuard;
pub use request::{Operation, Plugin, Request};

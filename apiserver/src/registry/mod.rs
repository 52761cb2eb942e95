//! What can be done with objects: one path for all kinds, and code only where a kind does something.
//!
//! Reading order: [`context`] and [`options`] (what a request brings), [`service`] (the registry),
//! [`read`] and [`watch`], [`create`], [`update`], [`patch`], [`delete`], [`collection`], [`pipeline`]
//! (what every written object passes), [`strategy`] with [`kinds`], [`subresource`], [`versions`].
//! It knows no HTTP.

pub mod collection;
pub mod context;
pub mod create;
pub mod delete;
pub(crate) mod kinds;
pub mod options;
pub mod patch;
pub mod pipeline;
pub mod query;
pub mod read;
pub(crate) mod refusals;
pub mod selection;
pub mod service;
pub(crate) mod strategy;
pub mod subresource;
pub(crate) mod tree;
pub mod update;
pub(crate) mod versions;
pub mod watch;

pub use context::{DryRun, FieldValidation, RequestContext, Target};
pub use options::{DeleteOptions, ListOptions};
pub use read::List;
pub use service::{Registry, ServiceSettings};

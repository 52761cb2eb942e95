//! The plugins, one per file.

pub mod default_toleration_seconds;
pub mod grants;
pub mod namespace_lifecycle;
pub mod priority;
pub mod service_account;
mod service_account_secrets;
pub mod taint_nodes_by_condition;

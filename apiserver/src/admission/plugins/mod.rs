//! The plugins, one per file.

pub mod certificate_approval;
mod certificate_request;
pub mod certificate_signing;
pub mod certificate_subject_restriction;
mod default_class;
pub mod default_ingress_class;
pub mod default_storage_class;
pub mod default_toleration_seconds;
pub mod grants;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod pod_topology_labels;
pub mod priority;
pub mod runtime_class;
pub mod service_account;
mod service_account_secrets;
pub mod storage_object_in_use_protection;
pub mod taint_nodes_by_condition;

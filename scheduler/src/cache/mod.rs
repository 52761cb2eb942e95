//! What the scheduler knows of the cluster: the nodes, the pods on them, and the pods it has
//! placed but whose binding the api-server has not confirmed yet.
//!
//! It never decides where a pod goes. Input: informers, and the cycle's assumptions.

mod images;
mod node_info;
mod nominated;
mod snapshot;
mod state;

pub use node_info::NodeInfo;
pub use nominated::Nominated;
pub use snapshot::Snapshot;
pub use state::Cache;

//! What every control-plane component shares over the Kubernetes API: a client that fails over between
//! api-servers, clients that act as service accounts, leader election, informers, the work queue, events,
//! expectations, flags, and the health port.
//!
//! It never decides anything about a kind of object; that is its users' work.

pub mod account;
pub mod connect;
pub mod events;
pub mod expectations;
pub mod flags;
pub mod informer;
pub mod leader;
pub mod queue;
pub mod serve;
mod servers;
pub mod store;
pub mod times;
mod transport;

pub use account::Accounts;
pub use connect::{ConnectOptions, connect};
pub use informer::{Delta, Informer};
pub use kube::Client;
pub use queue::Queue;
pub use store::Store;

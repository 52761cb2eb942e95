//! Clients that ask, never ask again for the same thing, and write down what they were told.

mod administer;
mod ahead;
mod append;
mod auth;
mod clients;
mod election;
mod finish;
mod flood;
mod lease;
mod lock;
mod log;
mod observer;
mod overload;
mod plane;
mod quota;
mod register;
mod rotation;
mod saver;
mod serializable;
mod set;
mod start;
mod store;
mod tls;
mod txn;
mod watch;
mod watcher;
mod wr;

pub(crate) use plane::Plane;
pub(crate) use quota::QUOTA_BYTES;
pub(crate) use start::start;
pub(crate) use store::Store;

use crate::edn::Value;

/// A key with its revision, as answers and watchers tell it.
fn key_revision(key: &str, revision: i64) -> Value {
    Value::Vector(vec![Value::text(key), Value::Int(revision)])
}

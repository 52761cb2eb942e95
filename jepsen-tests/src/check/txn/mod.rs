//! Transactions: finds what their dependencies prove against an isolation level, as Elle does.
//!
//! Every value is written once, so a read tells which write it saw. From reads follow an order of
//! the versions of each key, and from that which transaction must have come before which. A cycle
//! among them is an anomaly in Adya's sense. What the checkers of `append` and `wr` do differently
//! is only how they learn the order of versions.

mod append;
mod cycles;
mod explain;
mod graph;
mod model;
mod order;
mod parse;
mod scc;
mod shorten;
mod versions;
mod wr;

pub use model::Model;
pub(super) use parse::kind_of;

pub(super) use append::check as append;
pub(super) use wr::check as wr;

//! Leases: keys that live as long as somebody renews.
//!
//! `table` is the replicated part and knows no clock; `clocks` are the leader's timers, and `expiry` acts
//! on them.

mod clocks;
pub mod expiry;
pub mod table;

pub use table::{Lease, Table};

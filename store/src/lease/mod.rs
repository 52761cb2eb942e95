//! Leases: keys that live as long as somebody renews.
//!
//! `table` is the replicated part and knows no clock; `expiry` is the leader's clocks.

pub mod expiry;
pub mod table;

pub use table::{Lease, Table};

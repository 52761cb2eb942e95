//! Leases: keys that live as long as somebody renews.
//!
//! `table` is the replicated part and knows no clock, and `news` what changed in it; `clocks` are the
//! leader's timers, and `expiry` and `checkpoint` act on them. `calls` is how other members ask.

mod calls;
mod checkpoint;
mod clocks;
pub mod expiry;
pub mod news;
pub mod table;

pub use table::{Lease, Table};

//! One pod at a time: filter, score, reserve, permit; then its own task binds it, or its failure
//! is written down.
//!
//! `algorithm`, `filter` and `score` decide without IO; `act` has `bind`, `preempt` and `failure`
//! write, as long as the leader's `term` lasts.

mod act;
mod algorithm;
mod bind;
mod failure;
mod filter;
pub mod message;
mod preempt;
mod scheduler;
mod score;
mod term;

pub use scheduler::{Scheduler, Shared};

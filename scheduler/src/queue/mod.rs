//! The pods that wait to be placed: those to be tried now, those in their backoff, those that
//! wait for the cluster to change, and those that are gated.

mod handle;
mod state;

pub use handle::Queue;
pub use state::Popped;

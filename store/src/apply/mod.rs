//! The deterministic state machine behind the log, and the read side that shares its state.
//!
//! [`Machine`] applies entries one after another: decide ([`dispatch`]), write one batch with the
//! applied index in it ([`commit`]), change the memory, tell the watchers. [`View`] reads from any
//! thread. No clock, chance, map order or setting of this member decides what an entry changes.

mod auth;
mod commit;
mod compactions;
mod dispatch;
mod gc;
mod generation;
mod hashing;
mod machine;
mod made;
mod members;
mod memory;
mod permitted;
mod quota;
mod shared;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use machine::{Collecting, Machine, MachineOptions};
pub use made::{Making, make_state};
pub use quota::{put_cost, txn_cost};
pub use view::{LeaseView, ReadError, View};

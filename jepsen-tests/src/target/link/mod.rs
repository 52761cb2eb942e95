//! The links between members: each ordered pair has one, which can be held or delayed.
//!
//! Every member advertises the address of its proxy. Which member opened a connection is told by
//! the kernel (`owner`), so that a link needs no root, no address of its own, and no knowledge of
//! what is spoken on it. What a held link was given is delivered when it is let go, as TCP would
//! do after a partition; as long as it is held, its sender is soon unable to send more.
//!
//! It cannot lose, repeat or reorder parts of a stream, nor hold the acknowledgements of TCP apart
//! from the data, and clients' connections do not pass it.

mod owner;
mod proxy;
mod pump;
mod rules;
#[cfg(test)]
mod tests;

pub(super) use proxy::{Pids, Proxy};
pub(crate) use rules::Rules;

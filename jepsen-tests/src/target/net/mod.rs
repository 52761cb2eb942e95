//! A network of the members' own: each is in a network namespace with an address, all are on one
//! bridge, and clients reach them from outside. A link that is cut loses packets, also handshakes and
//! acknowledgements, by rules of nftables where they arrive.
//!
//! Nothing of it has a name that stays: a namespace is there as long as a process is in it, and with
//! it go its interfaces and their other ends, its bridge and its rules. The shell that keeps it waits
//! for the end of this process, so that even SIGKILL leaves nothing.

mod filter;
mod namespaces;
mod space;
#[cfg(test)]
mod tests;

pub(super) use namespaces::Namespaces;
pub(crate) use space::why_not;

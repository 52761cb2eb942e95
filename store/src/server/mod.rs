//! One member as a process: opens its folder, binds its sockets, starts its parts, and ends them in
//! order. Decides nothing that is replicated.

mod announce;
mod command;
mod compactor;
mod corruption;
mod discovery;
pub(crate) mod founding;
mod handshake;
mod join;
mod leaderless;
mod listen;
mod memory;
mod notify;
mod pings;
mod publish;
mod recover;
mod serve;
mod settings;
mod srv;
mod start;
mod store;

#[cfg(test)]
mod tests;

pub use command::main_store;
pub use discovery::DiscoveryError;
pub use listen::{Bound, ListenError, Listeners};
pub use srv::{LookupError, SrvError};
pub use start::StartError;
pub use store::{Handle, RunError, Store};

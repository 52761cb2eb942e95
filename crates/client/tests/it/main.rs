//! The client against small servers in this process: failing over between them, electing a leader with their leases, and
//! acting as their service accounts.
#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise, also in its helpers"
)]

mod account;
mod election;
mod failover;
mod server;

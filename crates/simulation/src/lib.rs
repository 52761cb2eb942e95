//! Deterministic simulation of the store's consensus and state machine: a cluster of three in one
//! process, on virtual time, network and disk. The same seed gives the same history.
//!
//! Real here are the raft log, the state machine, what lies between them and openraft, and openraft with
//! the settings of a running member. Simulated are the runtime and its clock (`openraft-rt-sim`), the
//! messages between members, and the disk below log and engine, which loses at a loss of power what was
//! not synced. What a running member does beyond that (gRPC, TLS, leases' clocks, watches) is the real
//! processes' part of `keelson jepsen`.

mod ask;
mod disk;
mod faults;
mod ledger;
mod member;
mod network;
mod panics;
mod record;
mod run;
mod workload;
mod world;

pub use run::{Outcome, Totals, line, run_seed};

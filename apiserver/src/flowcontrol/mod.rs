//! How many requests run at once, and whose requests cannot cost others theirs.
//!
//! Reading order: [`level`] (what a request is), [`places`] (how many of each run). Priorities are
//! upstream's default levels, by the same users and resources; the FlowSchema objects that describe
//! them are kept but not obeyed, and there are no queues:
//!
//! | level | who | places | when all are taken |
//! |---|---|---|---|
//! | exempt | masters, probes of health, streams | no limit | – |
//! | leader-election | Leases of the control plane | 10/245 of both flags together | borrows, else 429 |
//! | node-high | kubelets: Nodes and Leases, their heartbeats | 40/245 | borrows, else 429 |
//! | system | kubelets: everything else | 30/245 | borrows, else 429 |
//! | workload-high | the control plane: everything else | 40/245 | borrows, else 429 |
//! | workload | everyone else who reads | `--max-requests-inflight` | 429 |
//! | | everyone else who writes | `--max-mutating-requests-inflight` | 429 |
//!
//! To borrow is to take a free place of the workloads; they never take one of a level above, so
//! that no load of theirs can cost a leadership or make a node look dead. The places of the levels
//! come on top of the flags. A refusal is told at once and says to come again after a second, which
//! clients do by themselves; nothing waits here, so nothing that waits can fill the memory.

pub mod level;
pub mod places;

pub use level::{Asked, Level, Load};
pub use places::{InFlight, Permit};

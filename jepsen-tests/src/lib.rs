//! Breaks a running cluster on purpose and judges, from what its clients saw, whether it kept its
//! word.
//!
//! A scenario starts a real cluster, runs a workload and injects faults; the workload writes a
//! `history`; a `check` reads the history alone. A checker never asks the cluster anything, so that
//! any history can be judged again later.

mod check;
mod command;
mod history;
mod scenarios;
mod workload;

pub use check::Verdict;
pub use command::{Command, run};
pub use history::{History, Op, Outcome};
pub use scenarios::{Report, Scenario, all, find};

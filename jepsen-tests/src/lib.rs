//! Breaks a running cluster on purpose and judges, from what its clients saw, whether it kept its
//! word.
//!
//! A scenario starts a real cluster, runs a workload and injects faults; the workload writes a
//! `history`; a `check` reads the history alone. A checker never asks the cluster anything, so that
//! any history can be judged again later, and others' histories too: those of Jepsen are read as
//! they are.

mod check;
mod command;
mod disk;
mod edn;
pub mod generate;
mod history;
mod nemesis;
mod report;
mod run;
mod scenarios;
mod show;
mod target;
mod wire;
mod workload;

pub use check::{
    Counts, Edge, Finding, Findings, Judgement, Model, Options, Shown, Verdict, Workload, judge,
};
pub use command::{Command, run};
pub use edn::Value;
pub use history::{Event, History, Kind, Process};
pub use nemesis::Nemesis;
pub use run::{Outcome, Spec, run as run_spec, usual_network};
pub use scenarios::{Report, Scenario, all, find};
pub use target::{Kind as Target, Network};

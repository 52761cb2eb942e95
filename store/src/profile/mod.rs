//! Where this process spends its processor time, in pprof's format.
//!
//! Costs nothing until a profile is asked for. Must never make the process unsafe to run: see `cpu.rs`
//! for how stacks are read.

mod cpu;
mod format;

pub(crate) use cpu::{ProfileError, take};

//! Records events about objects as client-go does: repeated ones become a count, floods are combined or dropped.
//!
//! Recording never waits and never fails its caller; an event may be lost, and nothing may depend on one.

mod correlate;
mod recorder;

pub use recorder::{Recorder, Type, Writer};

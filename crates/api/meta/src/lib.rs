//! What every control-plane crate knows about the Kubernetes API: which kinds there are, what their
//! names and fields may look like, how selectors and quantities read, and how a refusal is worded.
//!
//! Kinds are data: the tables under `data/` are generated from a running kube-apiserver and read
//! once. Nothing here does input or output, and nothing here knows what a kind does.

pub mod cause;
pub mod data;
pub mod fields;
pub mod gvk;
pub mod header;
pub mod kinds;
pub mod labels;
pub mod names;
pub mod object;
pub mod quantity;
pub mod status;
pub mod time;

pub use cause::Cause;
pub use gvk::{Gvk, Gvr};
pub use kinds::{Kind, Kinds};
pub use status::Status;

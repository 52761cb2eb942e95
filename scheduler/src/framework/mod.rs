//! The scheduling framework: the extension points, what a plugin sees, and what it answers.
//!
//! Nothing here knows a concrete plugin; `plugins` lists them and `cycle` calls them.

pub mod affinity;
pub mod cycle_state;
pub mod event;
pub mod pod_info;
pub mod points;
pub mod profile;
pub mod requests;
pub mod resources;
pub mod selectors;
pub mod status;
pub mod taints;

pub use cycle_state::{CycleState, StateData};
pub use event::EventSet;
pub use pod_info::{HostPort, PodInfo};
pub use profile::Profile;
pub use resources::Resources;
pub use status::{Code, Status};

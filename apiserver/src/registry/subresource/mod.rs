//! The paths below an object that do more than show or change a part of it.

pub mod binding;
pub mod eviction;
pub mod finalize;
pub mod scale;
pub mod token;

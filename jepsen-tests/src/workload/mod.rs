//! Clients that ask, never ask again for the same thing, and write down what they were told.

mod plane;
mod store;

pub(crate) use plane::Plane;
pub(crate) use store::Store;

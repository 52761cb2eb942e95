//! Tables: what a client such as kubectl is shown instead of the objects.

pub mod rows;

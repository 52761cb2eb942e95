//! What clients and operators get wrong, and the errors that they know from upstream.

mod bodies;
mod certificates;
mod manifests;
mod namespaces;
mod patches;
mod queries;
mod sizes;
mod start;
mod support;

//! The controllers: each watches a part of the cluster and brings it into the state that its objects ask for.
//!
//! Every controller is `mod` (what wakes it), `plan` (what to do: pure) and `act` (doing it). They keep nothing that the
//! api-server does not hold. One replica leads; standbys only stand for election and list afresh when they win.

mod act;
pub mod catalog;
mod cloud;
mod command;
pub mod credentials;
mod deployment;
mod discovery;
pub mod driver;
mod endpoints;
mod endpointslice;
pub mod error;
mod eviction;
mod gc;
pub mod informers;
mod job;
pub mod metrics;
mod namespace;
mod nodes;
pub mod options;
mod owners;
mod podgc;
mod pods;
mod replicaset;
mod rootca;
mod serviceaccount;
mod services;

pub use command::{main_cloud_controllers, main_controllers, run};

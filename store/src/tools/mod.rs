//! What `etcdutl` does: snapshots of etcd and of ours, in etcd's file format, and members' folders
//! while their member is stopped. Of running clusters, etcd's and ours, it only reads: [`migrate`] moves
//! one into a folder, [`backup`] keeps what it was at every revision.
//!
//! [`export`] writes the format for the Maintenance service; everything else is the program.

pub(crate) mod export;

mod backup;
mod command;
mod dump;
mod file;
mod folder;
mod follow;
mod hashkv;
mod history;
mod import;
mod migrate;
mod print;
mod replay;
mod restore;
mod schema;
mod source;
mod status;
mod verify;

#[cfg(test)]
mod tests;

pub use command::main_etcdutl;

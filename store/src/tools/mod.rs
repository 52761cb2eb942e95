//! What `etcdutl` does: snapshots of etcd and of ours, in etcd's file format, and members' folders
//! while their member is stopped. Speaks to no running member.
//!
//! [`export`] writes the format for the Maintenance service; everything else is the program.

pub(crate) mod export;

mod command;
mod dump;
mod file;
mod folder;
mod hashkv;
mod history;
mod import;
mod print;
mod restore;
mod schema;
mod status;
mod verify;

#[cfg(test)]
mod tests;

pub use command::main_etcdutl;

//! What a log entry says, for who reads a log without taking part.

use std::io;

use bytes::Bytes;
use openraft::EntryPayload;

use super::membership::member_list;
use super::types::from_log_entry;
use crate::log::Entry;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryContent {
    /// A new leader's first entry.
    Blank,
    /// A command, as it was proposed.
    Command(Bytes),
    /// The members from here on, for people.
    Members(String),
}

/// Reads an entry of the log.
pub fn entry_content(entry: &Entry) -> io::Result<EntryContent> {
    let entry = from_log_entry(entry.clone())?;
    Ok(match entry.payload {
        EntryPayload::Blank => EntryContent::Blank,
        EntryPayload::Normal(command) => EntryContent::Command(command.0),
        EntryPayload::Membership(membership) => {
            let members = member_list(&membership);
            let members = members.values().map(|member| {
                let learner = if member.is_learner { " learner" } else { "" };
                let urls = member.peer_urls.join(",");
                format!("{:x}={urls}{learner}", member.id)
            });
            EntryContent::Members(members.collect::<Vec<_>>().join(" "))
        }
    })
}

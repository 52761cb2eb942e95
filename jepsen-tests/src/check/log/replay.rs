//! The state that a log leads to, revision by revision.

use std::collections::BTreeMap;

use super::{Entry, Log};

/// The keys after some part of a log.
pub(in crate::check) struct State<'a> {
    log: &'a Log,
    next: usize,
    /// The last change of each key that the log has named so far.
    pub(in crate::check) keys: BTreeMap<&'a str, &'a Entry>,
}

impl<'a> State<'a> {
    /// Before the log.
    pub(in crate::check) fn before(log: &'a Log) -> Self {
        Self {
            log,
            next: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Whether a key that the log has not named so far never was.
    pub(in crate::check) fn is_whole(&self) -> bool {
        self.log.is_whole
    }

    /// After everything up to and with `revision`, which never goes back.
    pub(in crate::check) fn forward(&mut self, revision: i64) {
        while let Some(entry) = self.log.entries.get(self.next) {
            if entry.revision > revision {
                return;
            }
            self.keys.insert(&entry.key, entry);
            self.next += 1;
        }
    }
}

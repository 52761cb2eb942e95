//! Parts of a watch put together into whole revisions.

use prost::Message;
use proto_etcd::mvccpb::Event;
use proto_etcd::mvccpb::event::EventType;

/// One whole revision: all changes that one request has made. Also how backups store it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Changes {
    /// Which.
    #[prost(int64, tag = "1")]
    pub(crate) revision: i64,
    /// Its changes in order.
    #[prost(message, repeated, tag = "2")]
    pub(crate) events: Vec<Event>,
}

/// What came is not what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gap {
    /// Changes are missing, or came twice.
    #[error("the source sent revision {found} where {wanted} comes next")]
    Revision {
        /// What came.
        found: i64,
        /// What had to.
        wanted: i64,
    },
    /// A change of nothing.
    #[error("the source sent a change without a key at revision {0}")]
    NoKey(i64),
}

/// See the module.
pub(super) struct Assembler {
    /// The revision that comes next, or of which parts have come.
    next: i64,
    parts: Vec<Event>,
    whole: Vec<Changes>,
    bytes: usize,
}

impl Assembler {
    pub(super) fn new(next: i64) -> Self {
        Self {
            next,
            parts: Vec::new(),
            whole: Vec::new(),
            bytes: 0,
        }
    }

    /// The first revision that is not whole yet.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next events. Only one that is the last part of an answer ends a revision by itself.
    pub(super) fn take(&mut self, events: Vec<Event>, is_last_part: bool) -> Result<(), Gap> {
        for event in events {
            let Some(kv) = event.kv.as_ref().filter(|kv| !kv.key.is_empty()) else {
                return Err(Gap::NoKey(self.next));
            };
            let found = kv.mod_revision;
            if found != self.next && !self.parts.is_empty() {
                self.close();
            }
            if found != self.next {
                return Err(Gap::Revision {
                    found,
                    wanted: self.next,
                });
            }
            self.bytes += event.encoded_len();
            self.parts.push(event);
        }
        if is_last_part && !self.parts.is_empty() {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        self.whole.push(Changes {
            revision: self.next,
            events: std::mem::take(&mut self.parts),
        });
        self.next += 1;
    }

    /// The revisions that are whole.
    pub(super) fn hand_out(&mut self) -> Vec<Changes> {
        let whole = std::mem::take(&mut self.whole);
        self.bytes = self.parts.iter().map(Message::encoded_len).sum();
        whole
    }

    /// Forgets what has come of a revision that is not whole: it will come again.
    pub(super) fn forget_parts(&mut self) {
        self.parts.clear();
    }
}

/// Whether a change is a deletion.
pub(crate) fn is_deletion(event: &Event) -> bool {
    event.r#type == EventType::Delete as i32
}

#[cfg(test)]
mod tests {
    use proto_etcd::mvccpb::KeyValue;

    use super::*;

    fn event(revision: i64) -> Event {
        Event {
            kv: Some(KeyValue {
                key: "k".into(),
                mod_revision: revision,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn events(revisions: &[i64]) -> Vec<Event> {
        revisions.iter().copied().map(event).collect()
    }

    fn shape(whole: &[Changes]) -> Vec<(i64, usize)> {
        let shape = whole.iter().map(|one| (one.revision, one.events.len()));
        shape.collect()
    }

    #[test]
    fn revisions_come_whole() {
        let mut parts = Assembler::new(5);
        parts.take(events(&[5, 5, 6]), false).unwrap();
        assert_eq!(shape(&parts.hand_out()), [(5, 2)]);
        assert!(parts.bytes() > 0);
        parts.take(events(&[6]), false).unwrap();
        assert_eq!(shape(&parts.hand_out()), []);
        parts.take(events(&[6, 7, 7]), true).unwrap();
        assert_eq!(shape(&parts.hand_out()), [(6, 3), (7, 2)]);
        assert_eq!((parts.next(), parts.bytes()), (8, 0));
        // A word of progress.
        parts.take(Vec::new(), true).unwrap();
        assert_eq!(shape(&parts.hand_out()), []);
    }

    #[test]
    fn what_was_cut_off_comes_again() {
        let mut parts = Assembler::new(5);
        parts.take(events(&[5, 6]), false).unwrap();
        parts.forget_parts();
        assert_eq!(parts.next(), 6);
        parts.take(events(&[6, 6]), true).unwrap();
        assert_eq!(shape(&parts.hand_out()), [(5, 1), (6, 2)]);
    }

    #[test]
    fn gaps_are_seen() {
        let gap = |found, wanted| Err(Gap::Revision { found, wanted });
        let mut parts = Assembler::new(5);
        assert_eq!(parts.take(events(&[6]), true), gap(6, 5));
        assert_eq!(parts.take(events(&[4]), true), gap(4, 5));
        assert_eq!(parts.take(events(&[5, 7]), true), gap(7, 6));
        let mut parts = Assembler::new(5);
        assert_eq!(parts.take(vec![Event::default()], true), Err(Gap::NoKey(5)));
    }
}

//! What clients ask of a watch stream and what they are told.

use bytes::Bytes;
use proto_etcd::mvccpb::Event;

/// What a client wants to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSpec {
    /// Chosen by the client; none lets the stream choose.
    pub id: Option<i64>,
    /// As in a range request.
    pub key: Bytes,
    /// As in a range request.
    pub range_end: Bytes,
    /// The first revision wanted; 0 or less is the one after the newest.
    pub start_revision: i64,
    /// Each event carries the pair that it replaced.
    pub prev_kv: bool,
    /// Puts are not wanted.
    pub filter_put: bool,
    /// Deletes are not wanted.
    pub filter_delete: bool,
    /// [`WatchStream::notify_progress`] counts for this watcher.
    pub progress_notify: bool,
    /// Large lists may be cut for the wire. Not used here: that belongs to the wire.
    pub fragment: bool,
}

/// Why a watch was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// The stream has a watch with that id.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The range cannot hold a key.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// The stream has ended.
    #[error("mvcc: watch stream is closed")]
    Closed,
}

/// Something to tell the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Events of one watcher, whole revisions, in order.
    Events {
        /// Which watcher.
        watch_id: i64,
        /// The last revision in `events`.
        revision: i64,
        /// Never empty.
        events: Vec<Event>,
    },
    /// Everything up to `revision` has been told.
    Progress {
        /// Which watcher; -1 for all of the stream.
        watch_id: i64,
        /// Up to where.
        revision: i64,
    },
    /// The watcher is gone: what it wanted has been compacted.
    Compacted {
        /// Which watcher.
        watch_id: i64,
        /// The compaction.
        compact_revision: i64,
    },
    /// Nothing more will come.
    Closed,
}

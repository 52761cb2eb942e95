//! The recent events of one kind: what a watch that begins in the past still gets.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::time::Instant;

use super::Object;

/// Events of one kind are kept at least this long, as long as they fit.
const AGE_MIN: Duration = Duration::from_secs(75);
/// What a kind's events may hold beyond that age.
const BYTES_IDLE_MAX: usize = 4 * 1024 * 1024;
/// What a kind's events may hold at all.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The cost of an event besides its bytes.
const EVENT_BYTES: usize = 256;

/// How an event is shown to a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// The object is new to the watcher.
    Added,
    /// It changed.
    Modified,
    /// It is gone for the watcher.
    Deleted,
}

impl EventType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Added => 0,
            Self::Modified => 1,
            Self::Deleted => 2,
        }
    }
}

/// One change of one object. Selectors see the states before and after it.
#[derive(Debug)]
pub struct Event {
    /// The store's revision of the change.
    pub revision: u64,
    /// The state before, if there was one.
    pub old: Option<Arc<Object>>,
    /// The state after, if there is one.
    pub new: Option<Arc<Object>>,
    /// The last state under the revision of the change: what a watcher sees of a deletion.
    gone: OnceLock<Arc<Object>>,
    frames: Frames,
    metadata_frames: Frames,
}

/// The lines of a watch, by type of event.
type Frames = [OnceLock<Bytes>; 3];

impl Event {
    /// An event of a change at `revision`. One of the states must be there.
    pub fn new(revision: u64, old: Option<Arc<Object>>, new: Option<Arc<Object>>) -> Arc<Self> {
        Arc::new(Self {
            revision,
            old,
            new,
            gone: OnceLock::new(),
            frames: Frames::default(),
            metadata_frames: Frames::default(),
        })
    }

    /// The object as a watcher sees it under `event_type`.
    pub fn object(&self, event_type: EventType) -> Option<&Arc<Object>> {
        match event_type {
            EventType::Added | EventType::Modified => self.new.as_ref(),
            EventType::Deleted => {
                let old = self.old.as_ref()?;
                Some(self.gone.get_or_init(|| old.at_revision(self.revision)))
            }
        }
    }

    /// The line of a JSON watch; made once and shared by all watchers.
    pub fn frame(&self, event_type: EventType) -> Option<Bytes> {
        let object = self.object(event_type)?;
        let made = &self.frames[event_type.place()];
        Some(made.get_or_init(|| frame(event_type, &object.json)).clone())
    }

    /// The line of a JSON watch of metadata alone; made once by `render` and shared by all such
    /// watchers. What cannot be rendered is tried again.
    pub fn metadata_frame<E>(
        &self,
        event_type: EventType,
        render: impl FnOnce(&Arc<Object>) -> Result<Bytes, E>,
    ) -> Option<Result<Bytes, E>> {
        let object = self.object(event_type)?;
        let made = &self.metadata_frames[event_type.place()];
        if let Some(line) = made.get() {
            return Some(Ok(line.clone()));
        }
        let rendered = render(object);
        Some(rendered.map(|json| made.get_or_init(|| frame(event_type, &json)).clone()))
    }

    /// What it costs to keep.
    pub fn bytes(&self) -> usize {
        let size = |object: &Option<Arc<Object>>| object.as_ref().map_or(0, |o| o.json.len());
        EVENT_BYTES + size(&self.old) + size(&self.new)
    }
}

/// The line of a JSON watch for one object.
pub fn frame(event_type: EventType, json: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(json.len() + 40);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(event_type.as_str().as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(json);
    line.put_slice(b"}\n");
    line.freeze()
}

/// The recent events in order.
#[derive(Debug, Default)]
pub struct Ring {
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
    /// Every event after this revision is here.
    start: u64,
}

impl Ring {
    /// Begins anew: what happened up to `revision` is not here.
    pub fn reset(&mut self, revision: u64) {
        *self = Self {
            start: revision,
            ..Self::default()
        };
    }

    /// The revision after which every event is here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Adds the newest event and lets go of what is too old or too much.
    pub fn push(&mut self, now: Instant, event: Arc<Event>) {
        self.bytes += event.bytes();
        self.events.push_back((now, event));
        while let Some((added, oldest)) = self.events.front() {
            let idle = now.duration_since(*added) > AGE_MIN && self.bytes > BYTES_IDLE_MAX;
            if !idle && self.bytes <= BYTES_MAX {
                return;
            }
            self.start = oldest.revision;
            self.bytes -= oldest.bytes();
            self.events.pop_front();
        }
    }

    /// The events after `revision`; `None` if some of them are gone.
    pub fn after(&self, revision: u64) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        if revision < self.start {
            return None;
        }
        let first = self
            .events
            .partition_point(|(_, event)| event.revision <= revision);
        Some(self.events.range(first..).map(|(_, event)| event))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{AGE_MIN, BYTES_MAX, Event, EventType, Ring};
    use crate::cache::Object;

    fn event(revision: u64, size: usize) -> std::sync::Arc<Event> {
        let json = format!(
            "{{\"metadata\":{{\"name\":\"a\"}},\"x\":\"{}\"}}",
            "x".repeat(size)
        );
        Event::new(
            revision,
            None,
            Some(Object::from_stored("a", &Bytes::from(json), revision)),
        )
    }

    fn revisions(ring: &Ring, after: u64) -> Option<Vec<u64>> {
        Some(ring.after(after)?.map(|event| event.revision).collect())
    }

    #[test]
    fn gives_what_came_after() {
        let mut ring = Ring::default();
        ring.reset(10);
        let now = Instant::now();
        for revision in [11, 13, 17] {
            ring.push(now, event(revision, 1));
        }
        assert_eq!(revisions(&ring, 9), None);
        assert_eq!(revisions(&ring, 10), Some(vec![11, 13, 17]));
        assert_eq!(revisions(&ring, 13), Some(vec![17]));
        assert_eq!(revisions(&ring, 99), Some(vec![]));
    }

    #[test]
    fn old_events_go_when_they_cost_much_and_large_ones_at_once() {
        let mut ring = Ring::default();
        let now = Instant::now();
        ring.push(now, event(1, 5 * 1024 * 1024));
        ring.push(now, event(2, 1));
        assert_eq!(revisions(&ring, 0), Some(vec![1, 2]));
        ring.push(now + AGE_MIN + Duration::from_secs(1), event(3, 1));
        assert_eq!(revisions(&ring, 0), None);
        assert_eq!(revisions(&ring, 1), Some(vec![2, 3]));
        ring.push(now, event(4, BYTES_MAX));
        assert_eq!(revisions(&ring, 4), Some(vec![]));
        assert_eq!(revisions(&ring, 3), None);
    }

    #[test]
    fn a_frame_is_made_once() {
        let event = event(3, 1);
        let frame = event.frame(EventType::Added).unwrap();
        assert!(frame.starts_with(
            b"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"3\""
        ));
        assert!(frame.ends_with(b"}\n"));
        assert_eq!(
            frame.as_ptr(),
            event.frame(EventType::Added).unwrap().as_ptr()
        );
        assert!(event.frame(EventType::Deleted).is_none());
    }

    #[test]
    fn a_frame_of_metadata_is_made_once() {
        let event = event(3, 1);
        let render = |object: &std::sync::Arc<Object>| Ok::<_, ()>(object.json.slice(..1));
        let failing = |_: &std::sync::Arc<Object>| Err(());
        assert_eq!(
            event.metadata_frame(EventType::Added, failing),
            Some(Err(()))
        );
        let frame = event.metadata_frame(EventType::Added, render).unwrap();
        assert_eq!(&frame.unwrap()[..], b"{\"type\":\"ADDED\",\"object\":{}\n");
        // From now on it is not made again.
        let again = event.metadata_frame(EventType::Added, failing).unwrap();
        assert_eq!(&again.unwrap()[..], b"{\"type\":\"ADDED\",\"object\":{}\n");
        assert_eq!(
            event.metadata_frame(EventType::Modified, failing),
            Some(Err(()))
        );
        assert_eq!(event.metadata_frame(EventType::Deleted, render), None);
    }
}

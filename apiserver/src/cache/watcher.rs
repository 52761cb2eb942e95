//! The queue between the cache and one watch.
//!
//! Bounded by bytes: a watcher that falls behind more than that is closed, its stream ends cleanly,
//! and the client goes on from its last resourceVersion. Nothing is dropped from a stream that goes
//! on.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ring::Event;

/// What one watcher may have waiting. The objects are shared, so this bounds how far it may be
/// behind more than what it costs.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// The same by number.
const EVENTS_MAX: usize = 100_000;

/// What a watcher is told.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    end: Option<End>,
}

/// Why a watcher gets nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was too slow. It may come back with its last resourceVersion.
    TooSlow,
    /// The cache was built anew and events are missing. It must list again.
    Reset,
}

impl Queue {
    /// Adds an event, or closes the queue if it is full.
    pub(super) fn push(&self, event: &Arc<Event>) {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return;
        }
        let bytes = event.bytes();
        if state.bytes + bytes > BYTES_MAX || state.events.len() >= EVENTS_MAX {
            *state = State {
                end: Some(End::TooSlow),
                ..State::default()
            };
        } else {
            state.bytes += bytes;
            state.events.push_back(event.clone());
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the queue; what waits in it is not sent.
    pub(super) fn close(&self, end: End) {
        *self.state.lock() = State {
            end: Some(end),
            ..State::default()
        };
        self.wake.notify_one();
    }

    /// Everything that waits, or why there will be nothing more.
    pub fn take(&self) -> Result<VecDeque<Arc<Event>>, End> {
        let mut state = self.state.lock();
        if let Some(end) = state.end {
            return Err(end);
        }
        state.bytes = 0;
        Ok(std::mem::take(&mut state.events))
    }

    /// Waits until there may be something to take.
    // Cancel-safe: a wake-up that is lost with the future was stored before for the next one only
    // if nobody waited; the caller therefore takes before it waits again.
    pub async fn ready(&self) {
        self.wake.notified().await;
    }
}

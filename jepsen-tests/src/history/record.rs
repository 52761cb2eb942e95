//! A history being recorded by the clients of a running cluster.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::{Event, Kind, Process};
use crate::edn::Value;

/// A history being recorded. Clones share it.
#[derive(Clone, Debug)]
pub struct History {
    started: Instant,
    recorded: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    events: Vec<Event>,
    processes: i64,
}

/// An operation under way: it is ended once, or left open for ever.
#[derive(Debug)]
#[must_use]
pub(crate) struct Invoked {
    process: i64,
    f: &'static str,
}

impl Default for History {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            recorded: Arc::default(),
        }
    }
}

impl History {
    /// Nanoseconds since the history began.
    pub fn now_ns(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// A process that nobody else is. A client whose operation ended as `info` goes on as another
    /// process, since the operation may still be under way.
    pub(crate) fn new_process(&self) -> i64 {
        let mut recorded = self.recorded.lock();
        recorded.processes += 1;
        recorded.processes - 1
    }

    /// A client begins an operation.
    pub(crate) fn invoke(&self, process: i64, f: &'static str, value: Value) -> Invoked {
        self.push(Process::Client(process), Kind::Invoke, f, value, None);
        Invoked { process, f }
    }

    /// The operation ended. Returns the process that the client is from now on.
    pub(crate) fn complete(
        &self,
        op: Invoked,
        kind: Kind,
        value: Value,
        error: Option<String>,
    ) -> i64 {
        let process = Process::Client(op.process);
        self.push(process, kind, op.f, value, error.map(Value::Text));
        match kind {
            Kind::Info => self.new_process(),
            _ => op.process,
        }
    }

    /// Somebody else than a client notes something.
    pub(crate) fn note(&self, who: &str, f: &str, value: Value) {
        self.push(Process::Named(who.to_owned()), Kind::Info, f, value, None);
    }

    /// Notes a fault or its end: `f` says what was done, `to` to whom.
    pub fn nemesis(&self, f: &str, to: impl Into<String>) {
        self.note("nemesis", f, Value::text(to));
    }

    fn push(&self, process: Process, kind: Kind, f: &str, value: Value, error: Option<Value>) {
        let mut recorded = self.recorded.lock();
        let index = recorded.events.len();
        recorded.events.push(Event {
            index: i64::try_from(index).ok(),
            line: index + 1,
            // Invariant: taken under the lock, so that the order of events is that of their times.
            time_ns: Some(self.now_ns()),
            process,
            kind,
            f: f.to_owned(),
            value,
            error,
        });
    }

    /// Everything recorded so far.
    pub fn events(&self) -> Vec<Event> {
        self.recorded.lock().events.clone()
    }

    /// How many events so far are so.
    pub(crate) fn count(&self, is_so: impl Fn(&Event) -> bool) -> usize {
        let recorded = self.recorded.lock();
        recorded.events.iter().filter(|event| is_so(event)).count()
    }

    /// Whether an operation of this name and value that began after `since_ns` has succeeded.
    pub(crate) fn has_done(&self, f: &str, value: &Value, since_ns: i64) -> bool {
        let recorded = self.recorded.lock();
        let mut open: Vec<&Process> = Vec::new();
        let is_it = |event: &&Event| event.f == f && event.value == *value;
        recorded
            .events
            .iter()
            .filter(is_it)
            .any(|event| match event.kind {
                Kind::Invoke if event.time_ns > Some(since_ns) => {
                    open.push(&event.process);
                    false
                }
                Kind::Ok => open.contains(&&event.process),
                _ => false,
            })
    }

    /// Acknowledged writes so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.count(|event| event.kind == Kind::Ok && event.f == "put")
    }
}

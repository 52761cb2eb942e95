//! The history of one run, on virtual time.

use jepsen_tests::{Event, Kind, Process, Value};
use openraft_rt::Instant as _;
use openraft_rt_sim::SimInstant;
use parking_lot::Mutex;

/// A history being recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    processes: i64,
    faults: u64,
}

impl Record {
    /// A process that nobody else is.
    pub(crate) fn process(&self) -> i64 {
        let mut inner = self.inner.lock();
        inner.processes += 1;
        inner.processes - 1
    }

    /// Notes what a client asks or is told.
    pub(crate) fn note(
        &self,
        process: i64,
        kind: Kind,
        f: &str,
        value: Value,
        error: Option<String>,
    ) {
        self.push(
            Process::Client(process),
            kind,
            f,
            value,
            error.map(Value::Text),
        );
    }

    /// Notes a fault.
    pub(crate) fn fault(&self, f: &str, to: String) {
        self.inner.lock().faults += 1;
        self.mended(f, to);
    }

    /// Notes the end of a fault.
    pub(crate) fn mended(&self, f: &str, to: String) {
        let nemesis = Process::Named("nemesis".to_owned());
        self.push(nemesis, Kind::Info, f, Value::text(to), None);
    }

    fn push(&self, process: Process, kind: Kind, f: &str, value: Value, error: Option<Value>) {
        let mut inner = self.inner.lock();
        let index = inner.events.len();
        let time = SimInstant::now().elapsed_since_start();
        inner.events.push(Event {
            index: i64::try_from(index).ok(),
            line: index + 1,
            time_ns: i64::try_from(time.as_nanos()).ok(),
            process,
            kind,
            f: f.to_owned(),
            value,
            error,
        });
    }

    /// Everything recorded, and how many faults there were.
    pub(crate) fn take(&self) -> (Vec<Event>, u64) {
        let mut inner = self.inner.lock();
        (std::mem::take(&mut inner.events), inner.faults)
    }
}

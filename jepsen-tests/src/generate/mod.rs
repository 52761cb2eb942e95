//! Histories of a store that is made up: one that keeps its word, or breaks it in a chosen way.
//!
//! They prove that checkers neither cry wolf nor sleep, and measure them. Everything follows from
//! the seed: the same seed gives the same history.

mod register;
mod set;
mod txn;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use register::Registers;
pub use set::Sets;
pub use txn::{Isolation, Txns};

use crate::edn::Value;
use crate::history::{Event, Kind, Process};

/// How much happens, and how often it goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients at once.
    pub clients: usize,
    /// Operations of all clients together.
    pub ops: usize,
    /// Of a hundred operations, those that are refused.
    pub fail_percent: u32,
    /// Of a hundred operations, those whose client is never told: of these some happen, at any
    /// later time.
    pub info_percent: u32,
}

/// The made-up store.
pub trait Store {
    /// What a client might ask next: name and value of an operation.
    fn ask(&mut self, chance: &mut StdRng) -> (&'static str, Value);
    /// An operation reaches the store: what [`Store::apply`] gets as `begun`.
    fn begin(&mut self) -> usize {
        0
    }
    /// Does the operation, at one moment. The answer's value, or nothing if it is refused.
    fn apply(&mut self, f: &str, value: &Value, begun: usize, chance: &mut StdRng)
    -> Option<Value>;
}

/// A client's operation.
enum Phase {
    Idle,
    Asked(Request),
    Answered(Request, Option<Value>),
}

struct Request {
    f: &'static str,
    value: Value,
    begun: usize,
}

struct Run<'s, S> {
    store: &'s mut S,
    shape: Shape,
    chance: StdRng,
    events: Vec<Event>,
    /// The process that each client is.
    processes: Vec<i64>,
    processes_ever: i64,
    /// What may still happen though nobody waits for it.
    late: Vec<Request>,
    asked: usize,
}

/// A history of `store`.
pub fn history<S: Store>(seed: u64, shape: Shape, store: &mut S) -> Vec<Event> {
    let clients = i64::try_from(shape.clients).unwrap_or(i64::MAX);
    let mut run = Run {
        store,
        shape,
        chance: StdRng::seed_from_u64(seed),
        events: Vec::new(),
        processes: (0..clients).collect(),
        processes_ever: clients,
        late: Vec::new(),
        asked: 0,
    };
    let mut phases: Vec<Phase> = (0..shape.clients).map(|_| Phase::Idle).collect();
    let mut busy = 0;
    while run.asked < shape.ops || busy > 0 {
        run.happen_late();
        let client = run.chance.random_range(0..shape.clients);
        let before = std::mem::replace(&mut phases[client], Phase::Idle);
        let was_idle = matches!(before, Phase::Idle);
        phases[client] = run.step(client, before);
        match (was_idle, matches!(phases[client], Phase::Idle)) {
            (true, false) => busy += 1,
            (false, true) => busy -= 1,
            _ => {}
        }
    }
    run.events
}

impl<S: Store> Run<'_, S> {
    fn step(&mut self, client: usize, phase: Phase) -> Phase {
        match phase {
            Phase::Idle if self.asked == self.shape.ops => Phase::Idle,
            Phase::Idle => {
                self.asked += 1;
                let (f, value) = self.store.ask(&mut self.chance);
                self.note(client, Kind::Invoke, f, value.clone());
                let begun = self.store.begin();
                Phase::Asked(Request { f, value, begun })
            }
            Phase::Asked(request) if self.one_in_hundred(self.shape.fail_percent) => {
                self.note(client, Kind::Fail, request.f, request.value);
                Phase::Idle
            }
            Phase::Asked(request) if self.one_in_hundred(self.shape.info_percent) => {
                self.note(client, Kind::Info, request.f, request.value.clone());
                self.renew(client);
                self.late.push(request);
                Phase::Idle
            }
            Phase::Asked(request) => {
                let Request { f, value, begun } = &request;
                let answer = self.store.apply(f, value, *begun, &mut self.chance);
                Phase::Answered(request, answer)
            }
            Phase::Answered(request, _) if self.one_in_hundred(self.shape.info_percent) => {
                self.note(client, Kind::Info, request.f, request.value);
                self.renew(client);
                Phase::Idle
            }
            Phase::Answered(request, answer) => {
                let (kind, value) = match answer {
                    Some(answer) => (Kind::Ok, answer),
                    None => (Kind::Fail, request.value),
                };
                self.note(client, kind, request.f, value);
                Phase::Idle
            }
        }
    }

    fn one_in_hundred(&mut self, percent: u32) -> bool {
        self.chance.random_range(0..100) < percent
    }

    fn renew(&mut self, client: usize) {
        self.processes[client] = self.processes_ever;
        self.processes_ever += 1;
    }

    fn happen_late(&mut self) {
        if self.late.is_empty() || !self.one_in_hundred(5) {
            return;
        }
        let at = self.chance.random_range(0..self.late.len());
        let Request { f, value, begun } = self.late.swap_remove(at);
        self.store.apply(f, &value, begun, &mut self.chance);
    }

    fn note(&mut self, client: usize, kind: Kind, f: &str, value: Value) {
        let index = self.events.len();
        let number = i64::try_from(index).unwrap_or(i64::MAX);
        self.events.push(Event {
            index: Some(number),
            line: index + 1,
            // A made-up clock that every event moves on.
            time_ns: Some(number.saturating_mul(100_000)),
            process: Process::Client(self.processes[client]),
            kind,
            f: f.to_owned(),
            value,
            error: None,
        });
    }
}

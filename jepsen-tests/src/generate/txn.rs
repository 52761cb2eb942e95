//! Transactions over lists or registers.

use std::collections::HashMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::Store;
use crate::edn::Value;

/// How well transactions are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each happens at one moment between its beginning and its end.
    StrictSerializable,
    /// Reads see the state at the transaction's beginning; writes happen at its end, whatever
    /// happened meanwhile.
    Unchecked,
    /// Transactions that only read see a state of some time ago.
    Stale,
    /// Some acknowledged transactions do not happen.
    Lost,
    /// Some transactions happen though they are refused.
    Dirty,
}

type State = HashMap<i64, Vec<i64>>;

/// A store of lists or registers.
#[derive(Clone, Debug)]
pub struct Txns {
    is_append: bool,
    isolation: Isolation,
    /// Keys in use at once; each is given up after [`WRITES_EACH`] writes.
    keys: i64,
    now: State,
    /// The states so far, as far as the isolation looks back.
    past: Vec<State>,
    writes: i64,
}

/// Writes to a key before another takes its place, so that lists stay short.
const WRITES_EACH: i64 = 64;
/// States that are remembered.
const PAST_MAX: usize = 40;

impl Txns {
    /// Lists of `keys` keys at once.
    pub fn append(keys: i64, isolation: Isolation) -> Self {
        Self {
            is_append: true,
            isolation,
            keys,
            now: State::new(),
            past: Vec::new(),
            writes: 0,
        }
    }

    /// Registers of `keys` keys at once.
    pub fn wr(keys: i64, isolation: Isolation) -> Self {
        Self {
            is_append: false,
            ..Self::append(keys, isolation)
        }
    }

    /// What a read sees of `key`: the state, and then the transaction's own writes.
    fn seen(&self, state: &State, own: &[(i64, i64)], key: i64) -> Value {
        let list = state
            .get(&key)
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .copied();
        let own = own.iter().filter(|(other, _)| *other == key);
        let mut all = list.chain(own.map(|(_, value)| *value)).map(Value::Int);
        if self.is_append {
            return Value::Vector(all.collect());
        }
        all.next_back().unwrap_or(Value::Nil)
    }

    fn remember(&mut self) {
        if self.isolation == Isolation::StrictSerializable {
            return;
        }
        self.past.push(self.now.clone());
        if self.past.len() > PAST_MAX {
            // Old places stay, so that a transaction's beginning keeps its number.
            let old = self.past.len() - PAST_MAX - 1;
            self.past[old] = State::new();
        }
    }
}

impl Store for Txns {
    fn ask(&mut self, chance: &mut StdRng) -> (&'static str, Value) {
        let first = self.writes / WRITES_EACH;
        let count = chance.random_range(1..=4);
        let steps = (0..count).map(|_| {
            let key = Value::Int(first + chance.random_range(0..self.keys));
            let (name, value) = if chance.random_range(0..2) == 0 {
                ("r", Value::Nil)
            } else {
                self.writes += 1;
                let name = if self.is_append { "append" } else { "w" };
                (name, Value::Int(self.writes))
            };
            Value::Vector(vec![Value::keyword(name), key, value])
        });
        ("txn", Value::Vector(steps.collect()))
    }

    fn begin(&mut self) -> usize {
        self.past.len().saturating_sub(1)
    }

    fn apply(
        &mut self,
        _: &str,
        value: &Value,
        begun: usize,
        chance: &mut StdRng,
    ) -> Option<Value> {
        let steps = value.elements()?;
        let is_read_only = steps.iter().all(|step| {
            let name = step.elements().and_then(|parts| parts[0].name());
            name == Some("r")
        });
        let is_broken = chance.random_range(0..4) == 0;
        let nothing = State::new();
        let state = match self.isolation {
            Isolation::Unchecked => self.past.get(begun).unwrap_or(&nothing),
            Isolation::Stale if is_read_only && is_broken => {
                let at = self.past.len().saturating_sub(4);
                self.past.get(at).unwrap_or(&nothing)
            }
            _ => &self.now,
        };
        let mut done = Vec::with_capacity(steps.len());
        let mut writes = Vec::new();
        for step in steps {
            let [name, key, value] = step.elements()? else {
                return None;
            };
            let number = key.int()?;
            let value = if name.name() == Some("r") {
                self.seen(state, &writes, number)
            } else {
                writes.push((number, value.int()?));
                value.clone()
            };
            done.push(Value::Vector(vec![name.clone(), key.clone(), value]));
        }
        if self.isolation != Isolation::Lost || !is_broken {
            for (key, value) in writes {
                self.now.entry(key).or_default().push(value);
            }
            self.remember();
        }
        let is_refused = self.isolation == Isolation::Dirty && is_broken;
        (!is_refused).then_some(Value::Vector(done))
    }
}

//! Registers by key, with or without versions.

use std::collections::HashMap;

use rand::Rng;
use rand::rngs::StdRng;

use super::Store;
use crate::edn::Value;

/// What the store holds of a key.
#[derive(Clone, Debug, Default)]
struct Register {
    value: Option<i64>,
    version: i64,
    revision: i64,
}

/// A store of registers.
#[derive(Clone, Debug)]
pub struct Registers {
    keys: i64,
    /// Values that are written; none for each value once.
    values: Option<i64>,
    is_versioned: bool,
    /// Of a hundred reads, those that see an earlier state.
    stale_percent: u32,
    /// Of a hundred writes, those that are acknowledged and dropped.
    lost_percent: u32,
    now: HashMap<i64, Register>,
    earlier: HashMap<i64, Register>,
    revision: i64,
    next: i64,
}

impl Registers {
    /// A store of `keys` keys that keeps its word.
    pub fn new(keys: i64, values: Option<i64>) -> Self {
        Self {
            keys,
            values,
            is_versioned: false,
            stale_percent: 0,
            lost_percent: 0,
            now: HashMap::new(),
            earlier: HashMap::new(),
            revision: 1,
            next: 0,
        }
    }

    /// The same with versions and revisions in every answer.
    #[must_use]
    pub fn versioned(mut self) -> Self {
        self.is_versioned = true;
        self
    }

    /// The same, breaking its word: so many reads of a hundred are stale, so many writes lost.
    #[must_use]
    pub fn breaking(mut self, stale_percent: u32, lost_percent: u32) -> Self {
        self.stale_percent = stale_percent;
        self.lost_percent = lost_percent;
        self
    }

    fn value(&mut self, chance: &mut StdRng) -> i64 {
        self.next += 1;
        match self.values {
            Some(values) => chance.random_range(0..values),
            None => self.next,
        }
    }

    fn told(&self, key: i64, register: &Register, value: Value) -> Value {
        let told = if self.is_versioned {
            let numbers = [register.version, register.revision];
            let [version, revision] = numbers.map(Value::Int);
            Value::Vector(vec![version, value, revision])
        } else {
            value
        };
        Value::Tuple(Box::new((Value::Int(key), told)))
    }

    fn write(&mut self, key: i64, new: i64, value: &Value) -> Value {
        self.revision += 1;
        let register = self.now.entry(key).or_default();
        self.earlier.insert(key, register.clone());
        *register = Register {
            value: Some(new),
            version: register.version + 1,
            revision: self.revision,
        };
        let written = register.clone();
        self.told(key, &written, value.clone())
    }
}

impl Store for Registers {
    fn ask(&mut self, chance: &mut StdRng) -> (&'static str, Value) {
        let key = chance.random_range(0..self.keys);
        let (f, value) = match chance.random_range(0..10) {
            0..5 => ("read", Value::Nil),
            5..8 => ("write", Value::Int(self.value(chance))),
            _ => {
                // Guesses the value that is there, most of the time.
                let there = self.now.get(&key).and_then(|register| register.value);
                let old = there.filter(|_| chance.random_range(0..4) > 0);
                let old = old.map_or(Value::Int(0), Value::Int);
                let new = Value::Int(self.value(chance));
                ("cas", Value::Vector(vec![old, new]))
            }
        };
        let value = match (self.is_versioned, f) {
            (true, "write" | "cas") => Value::Vector(vec![Value::Nil, value]),
            _ => value,
        };
        (f, Value::Tuple(Box::new((Value::Int(key), value))))
    }

    fn apply(&mut self, f: &str, value: &Value, _: usize, chance: &mut StdRng) -> Option<Value> {
        let (key, value) = value.pair()?;
        let key = key.int()?;
        let value = match (self.is_versioned, f) {
            (true, "write" | "cas") => value.pair()?.1,
            _ => value,
        };
        let there = self.now.get(&key).cloned().unwrap_or_default();
        if f == "read" {
            let is_stale = chance.random_range(0..100) < self.stale_percent;
            let seen = match self.earlier.get(&key) {
                Some(earlier) if is_stale => earlier.clone(),
                _ => there,
            };
            let value = seen.value.map_or(Value::Nil, Value::Int);
            return Some(self.told(key, &seen, value));
        }
        let new = match f {
            "write" => value.int()?,
            _ => {
                let (old, new) = value.pair()?;
                if there.value != old.int() {
                    return None;
                }
                new.int()?
            }
        };
        if chance.random_range(0..100) < self.lost_percent {
            self.revision += 1;
            let register = Register {
                value: Some(new),
                version: there.version + 1,
                revision: self.revision,
            };
            return Some(self.told(key, &register, value.clone()));
        }
        Some(self.write(key, new, value))
    }
}

//! One set, added to and read as a whole.

use rand::Rng;
use rand::rngs::StdRng;

use super::Store;
use crate::edn::Value;

/// A store of one set.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    elements: Vec<i64>,
    next: i64,
    /// Of a hundred acknowledged elements, those that are dropped.
    lost_percent: u32,
    /// Of a hundred reads, those that miss the last element.
    stale_percent: u32,
}

impl Sets {
    /// The same, breaking its word: so many reads of a hundred are stale, so many elements lost.
    #[must_use]
    pub fn breaking(mut self, stale_percent: u32, lost_percent: u32) -> Self {
        self.stale_percent = stale_percent;
        self.lost_percent = lost_percent;
        self
    }
}

impl Store for Sets {
    fn ask(&mut self, chance: &mut StdRng) -> (&'static str, Value) {
        if chance.random_range(0..4) == 0 {
            return ("read", Value::Nil);
        }
        self.next += 1;
        ("add", Value::Int(self.next))
    }

    fn apply(&mut self, f: &str, value: &Value, _: usize, chance: &mut StdRng) -> Option<Value> {
        if f == "add" {
            if chance.random_range(0..100) >= self.lost_percent {
                self.elements.push(value.int()?);
            }
            return Some(value.clone());
        }
        let is_stale = chance.random_range(0..100) < self.stale_percent;
        let missed = usize::from(is_stale && !self.elements.is_empty());
        let seen = self.elements[..self.elements.len() - missed].iter();
        Some(Value::Set(seen.copied().map(Value::Int).collect()))
    }
}

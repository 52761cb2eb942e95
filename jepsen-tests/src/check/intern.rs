//! Small numbers for the values of a history, so that checkers compare and hash numbers alone.

use std::collections::HashMap;

use crate::edn::Value;

/// The number of `nil`, in every [`Interner`].
pub(super) const NIL: u32 = 0;

/// Values and their numbers.
#[derive(Debug)]
pub(super) struct Interner<'a> {
    numbers: HashMap<&'a Value, u32>,
    values: Vec<&'a Value>,
}

impl<'a> Interner<'a> {
    pub(super) fn new() -> Self {
        let mut interner = Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        };
        interner.number(&Value::Nil);
        interner
    }

    /// The number of `value`; equal values have equal numbers.
    pub(super) fn number(&mut self, value: &'a Value) -> u32 {
        let next = u32::try_from(self.values.len())
            .expect("a history of at most a gigabyte has fewer values than 2^32");
        *self.numbers.entry(value).or_insert_with(|| {
            self.values.push(value);
            next
        })
    }

    /// The value of a number that this gave out.
    pub(super) fn value(&self, number: u32) -> &'a Value {
        self.values[number as usize]
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

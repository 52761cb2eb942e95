//! The search itself. Each node is a configuration; its moves are the operations that may happen
//! next. It never recurses, so that the length of a history is no matter.
//!
//! Some moves need no alternative, because every order that exists can be turned into one that
//! makes them now: a read that fits the state; and, just before another plain write, all writes
//! that nobody observes.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::model::{Call, Change, State, UNSEEN, scatter};
use super::problem::{Problem, wanted, written};
use crate::history::NEVER;

/// What came of a search.
pub(super) enum Outcome {
    /// There is an order.
    Found,
    /// There is none; before the end of `reached`, as the caller counts, the search found one.
    Impossible { reached: usize },
    /// The budget is spent.
    TooMany,
}

/// What may happen next.
#[derive(Clone, Copy)]
enum Move {
    /// One operation.
    One(u32),
    /// All possible writes that nobody observes, and then a plain write.
    Over(u32),
    /// All possible writes that nobody observes.
    Unseen,
}

/// A configuration whose moves are being tried.
struct Node {
    state: State,
    /// How much of the log had happened.
    happened: usize,
    /// Its moves, from here to those of the next node.
    moves: usize,
    next: usize,
}

struct Search<'p> {
    problem: &'p Problem,
    state: State,
    /// What has happened, in order.
    log: Vec<u32>,
    has_happened: Vec<bool>,
    /// Stands for the set of what has happened.
    hash: u128,
    /// Sure operations that have not happened, as a ring by invocation; the last slot is its head.
    next: Vec<u32>,
    prev: Vec<u32>,
    nodes: Vec<Node>,
    moves: Vec<Move>,
    /// Sure operations that could be next, and the first completion among them.
    window: Vec<u32>,
    first_end: u32,
    /// The latest [`Self::first_end`] met: where the search never got past.
    furthest: u32,
    seen: HashSet<u128, BuildHasherDefault<Low>>,
}

/// Takes the low half of numbers that are well mixed already.
#[derive(Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// Runs the search.
pub(super) fn run(problem: &Problem, budget: &mut u64) -> Outcome {
    let mut search = Search::new(problem);
    loop {
        search.absorb_reads();
        if search.window.is_empty() {
            return Outcome::Found;
        }
        search.furthest = search.furthest.max(search.first_end);
        if search.seen.insert(search.hash ^ search.state.hash()) {
            if *budget == 0 {
                return Outcome::TooMany;
            }
            *budget -= 1;
            search.open();
        }
        if !search.step() {
            return Outcome::Impossible {
                reached: search.reached(),
            };
        }
    }
}

impl<'p> Search<'p> {
    fn new(problem: &'p Problem) -> Self {
        let count = problem.ops.len();
        let head = u32::try_from(count).expect("a position in a history is 32 bits wide");
        let mut next = vec![head; count + 1];
        let mut prev = vec![head; count + 1];
        let mut last = head;
        for op in (0..head).filter(|op| problem.is_sure(*op)) {
            next[last as usize] = op;
            prev[op as usize] = last;
            last = op;
        }
        next[last as usize] = head;
        prev[count] = last;
        Self {
            problem,
            state: State::INITIAL,
            log: Vec::with_capacity(count),
            has_happened: vec![false; count],
            hash: 0,
            next,
            prev,
            nodes: Vec::new(),
            moves: Vec::new(),
            window: Vec::new(),
            first_end: NEVER,
            furthest: 0,
            seen: HashSet::default(),
        }
    }

    /// Finds which sure operations may be next: those that began before the first of them ended.
    fn look(&mut self) {
        self.window.clear();
        self.first_end = NEVER;
        let head = self.problem.ops.len();
        let mut op = self.next[head];
        while op as usize != head {
            let timed = &self.problem.ops[op as usize];
            if timed.invoked_at > self.first_end {
                break;
            }
            self.first_end = self.first_end.min(timed.completed_at);
            self.window.push(op);
            op = self.next[op as usize];
        }
    }

    fn happen(&mut self, op: u32) {
        if self.problem.is_sure(op) {
            let (next, prev) = (self.next[op as usize], self.prev[op as usize]);
            self.next[prev as usize] = next;
            self.prev[next as usize] = prev;
        }
        self.has_happened[op as usize] = true;
        self.hash ^= scatter(u64::from(op), 1);
        self.log.push(op);
    }

    /// Takes back all but the first `happened` of the log.
    fn undo(&mut self, happened: usize) {
        while self.log.len() > happened
            && let Some(op) = self.log.pop()
        {
            // Invariant: operations come back in the reverse order, so the neighbours that this
            // one remembers are its neighbours again.
            if self.problem.is_sure(op) {
                let (next, prev) = (self.next[op as usize], self.prev[op as usize]);
                self.next[prev as usize] = op;
                self.prev[next as usize] = op;
            }
            self.has_happened[op as usize] = false;
            self.hash ^= scatter(u64::from(op), 1);
        }
    }

    /// Lets every possible read happen that leaves the state as it is.
    fn absorb_reads(&mut self) {
        loop {
            self.look();
            let fits = |op: &u32| {
                let call = &self.problem.ops[*op as usize].call;
                matches!(call.change, Change::Read(_)) && self.state.step(call) == Some(self.state)
            };
            let mut fitting = std::mem::take(&mut self.window);
            fitting.retain(fits);
            if fitting.is_empty() {
                self.look();
                return;
            }
            fitting.iter().for_each(|op| self.happen(*op));
            self.window = fitting;
        }
    }

    /// Makes a node of the present configuration.
    fn open(&mut self) {
        let moves = self.moves.len();
        self.nodes.push(Node {
            state: self.state,
            happened: self.log.len(),
            moves,
            next: moves,
        });
        let problem = self.problem;
        let has_unseen = self.window.iter().any(|op| problem.is_unseen(*op));
        let mut window = self.window.clone();
        // What ends first must happen first of all.
        window.sort_unstable_by_key(|op| problem.ops[*op as usize].completed_at);
        let mut unseen = has_unseen.then_some(Move::Unseen);
        for op in window {
            let call = &problem.ops[op as usize].call;
            if problem.is_unseen(op) {
                self.moves.extend(unseen.take());
            } else if self.state.step(call).is_some() && !self.is_too_early(op) {
                let is_plain = matches!(call.change, Change::Write(_));
                self.moves.push(if has_unseen && is_plain {
                    Move::Over(op)
                } else {
                    Move::One(op)
                });
            }
        }
        if problem.is_versioned {
            self.open_unsure_versioned();
        } else {
            self.open_unsure();
        }
    }

    /// Whether a write cannot be next, because its value must stay until all who find it have: no
    /// other operation writes it again, and something else must happen before the last of them
    /// begins.
    fn is_too_early(&self, op: u32) -> bool {
        let ops = &self.problem.ops;
        let value = written(ops[op as usize].call.change);
        let Some((value, last)) =
            value.and_then(|value| Some((value, *self.problem.sole.get(&value)?)))
        else {
            return false;
        };
        self.window.iter().any(|other| {
            let timed = &ops[*other as usize];
            *other != op
                && timed.completed_at < last
                && wanted(timed.call.change) != Some(value)
                // These happen just before a plain write.
                && !self.problem.is_unseen(*other)
        })
    }

    /// Operations of unknown outcome: only one that is followed at once by what observes it need
    /// happen at all.
    fn open_unsure(&mut self) {
        if self.problem.unsure.is_empty() {
            return;
        }
        let ops = &self.problem.ops;
        let wants = self.window.iter();
        let mut open: Vec<u32> = wants
            .filter_map(|op| wanted(ops[*op as usize].call.change))
            .filter(|value| *value != self.state.value)
            .collect();
        let mut asked: HashSet<u32> = open.iter().copied().collect();
        while let Some(value) = open.pop() {
            let mut tried: Vec<Change> = Vec::new();
            for op in self.possible(value) {
                let change = ops[op as usize].call.change;
                // Of equal ones the first to begin can do whatever the others can.
                if tried.contains(&change) {
                    continue;
                }
                tried.push(change);
                match change {
                    Change::Cas { old, .. } if old != self.state.value => {
                        if asked.insert(old) {
                            open.push(old);
                        }
                    }
                    _ if self.is_too_early(op) => {}
                    _ => self.moves.push(Move::One(op)),
                }
            }
        }
    }

    /// Operations of unknown outcome that write `value`, have begun and not happened.
    fn possible(&self, value: u32) -> Vec<u32> {
        let unsure = self.problem.unsure.get(&value).into_iter().flatten();
        unsure
            .copied()
            .take_while(|op| self.problem.ops[*op as usize].invoked_at < self.first_end)
            .filter(|op| !self.has_happened[*op as usize])
            .collect()
    }

    /// With versions: such operations fill the gap to the least version that a sure one tells.
    fn open_unsure_versioned(&mut self) {
        let ops = &self.problem.ops;
        let least = self.window.iter().filter_map(|op| {
            let call = &ops[*op as usize].call;
            let is_read = matches!(call.change, Change::Read(_));
            call.version
                .map(|told| if is_read { told } else { told - 1 })
        });
        if least.min().is_some_and(|least| least <= self.state.version) {
            return;
        }
        let mut values: Vec<u32> = match self.problem.told.get(&(self.state.version + 1)) {
            Some(value) => vec![*value],
            None => self.problem.unsure.keys().copied().collect(),
        };
        // Values that are told of no version first: the others may be needed for their own.
        values.sort_unstable_by_key(|value| std::cmp::Reverse(*value == UNSEEN));
        for value in values {
            let mut tried: Vec<Call> = Vec::new();
            for op in self.possible(value) {
                let call = ops[op as usize].call;
                if !tried.contains(&call) && self.state.step(&call).is_some() {
                    tried.push(call);
                    if self.is_too_early(op) {
                        continue;
                    }
                    self.moves.push(Move::One(op));
                }
            }
        }
    }

    /// Makes the next untried move of the deepest node that has one. False if there is none.
    fn step(&mut self) -> bool {
        while let Some(node) = self.nodes.last_mut() {
            let (state, happened) = (node.state, node.happened);
            if let Some(next) = self.moves.get(node.next).copied() {
                node.next += 1;
                self.undo(happened);
                self.state = state;
                self.make(next);
                return true;
            }
            self.moves.truncate(node.moves);
            self.nodes.pop();
        }
        false
    }

    fn make(&mut self, next: Move) {
        if matches!(next, Move::Over(_) | Move::Unseen) {
            self.look();
            let mut unseen = std::mem::take(&mut self.window);
            unseen.retain(|op| self.problem.is_unseen(*op));
            for op in &unseen {
                self.apply(*op);
            }
            self.window = unseen;
        }
        if let Move::One(op) | Move::Over(op) = next {
            self.apply(op);
        }
    }

    fn apply(&mut self, op: u32) {
        let call = &self.problem.ops[op as usize].call;
        self.state = self
            .state
            .step(call)
            .expect("only possible moves are made, and a plain write is always possible");
        self.happen(op);
    }

    /// The operation that the search never got past, as the caller counts.
    fn reached(&self) -> usize {
        let ops = self.problem.ops.iter();
        let at = ops
            .zip(&self.problem.origin)
            .find(|(op, _)| op.completed_at == self.furthest)
            .map(|(_, at)| *at);
        at.expect("every end that was met is that of an operation")
    }
}

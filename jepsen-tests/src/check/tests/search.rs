//! The search against others: an exhaustive one that knows no shortcut, and stateright's tester.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use crate::check::linear::{Call, Change, Failure, Timed, check};
use crate::history::NEVER;

/// A few operations of three clients at random, right or wrong.
fn random(chance: &mut StdRng, is_versioned: bool) -> Vec<Timed> {
    let count = chance.random_range(2..=7);
    let mut ops: Vec<Timed> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while ops.len() < count || (!open.is_empty() && chance.random_range(0..8) > 0) {
        at += 1;
        let begins = open.len() < 3 && ops.len() < count && chance.random_range(0..2) == 0;
        if begins || open.is_empty() {
            if ops.len() == count {
                break;
            }
            let value = |chance: &mut StdRng| chance.random_range(0..3);
            let change = match chance.random_range(0..5) {
                0 | 1 => Change::Read(value(chance)),
                2 | 3 => Change::Write(value(chance)),
                _ => Change::Cas {
                    old: value(chance),
                    new: value(chance),
                },
            };
            open.push(ops.len());
            let version =
                (is_versioned && chance.random_range(0..4) > 0).then(|| chance.random_range(0..4));
            ops.push(Timed {
                call: Call {
                    change,
                    version,
                    revision: None,
                },
                invoked_at: at,
                completed_at: NEVER,
            });
            continue;
        }
        let ended = open.swap_remove(chance.random_range(0..open.len()));
        // Some are forgotten instead, and never end.
        if chance.random_range(0..6) > 0 {
            ops[ended].completed_at = at;
        }
    }
    for op in &mut ops {
        if op.completed_at == NEVER {
            op.call.version = None;
        }
    }
    ops
}

/// Tries every order. `left` are operations that have not happened.
fn has_order(ops: &[Timed], left: &[usize], value: u32, version: i64) -> bool {
    let sure = |at: &&usize| ops[**at].completed_at != NEVER;
    if left.iter().filter(sure).count() == 0 {
        return true;
    }
    let first_end = left.iter().map(|at| ops[*at].completed_at).min();
    left.iter().any(|at| {
        let op = &ops[*at];
        if first_end.is_some_and(|end| op.invoked_at > end) {
            return false;
        }
        let (value, version) = match op.call.change {
            Change::Read(seen) if seen == value => (value, version),
            Change::Write(new) => (new, version + 1),
            Change::Cas { old, new } if old == value => (new, version + 1),
            _ => return false,
        };
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != at).collect();
        op.call.version.is_none_or(|told| told == version) && has_order(ops, &rest, value, version)
    })
}

fn exhaustive(ops: &[Timed]) -> bool {
    let all: Vec<usize> = (0..ops.len()).collect();
    has_order(ops, &all, 0, 0)
}

/// What a proof says happened: nothing after the end of its last operation.
fn cut(ops: &[Timed], last: usize, shown: &[usize]) -> Vec<Timed> {
    let end = ops[last].completed_at;
    let begun = shown.iter().filter(|at| ops[**at].invoked_at < end);
    let shown = begun.map(|at| {
        let op = ops[*at];
        let completed_at = if op.completed_at > end {
            NEVER
        } else {
            op.completed_at
        };
        Timed { completed_at, ..op }
    });
    shown.collect()
}

fn agree(seeds: std::ops::Range<u64>, is_versioned: bool) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for seed in seeds {
        let ops = random(&mut StdRng::seed_from_u64(seed), is_versioned);
        let mut budget = u64::MAX;
        let ours = check(&ops, is_versioned, &mut budget);
        assert_eq!(ours.is_ok(), exhaustive(&ops), "seed {seed}: {ops:#?}");
        match ours {
            Ok(()) => valid += 1,
            Err(Failure::TooMany) => panic!("seed {seed} ran out of an endless budget"),
            Err(Failure::Impossible { last, shown }) => {
                invalid += 1;
                let all: Vec<usize> = (0..ops.len()).collect();
                let before = (0..ops.len())
                    .filter(|at| ops[*at].completed_at < ops[last].completed_at)
                    .max_by_key(|at| ops[*at].completed_at);
                if let Some(before) = before {
                    let earlier = cut(&ops, before, &all);
                    assert!(exhaustive(&earlier), "seed {seed}: {last} is not the first");
                }
                let proof = cut(&ops, last, &shown);
                assert!(!exhaustive(&proof), "seed {seed}: no proof: {proof:#?}");
            }
        }
    }
    (valid, invalid)
}

#[test]
fn agrees_with_an_exhaustive_search() {
    let (valid, invalid) = agree(0..30_000, false);
    assert!(
        valid > 5_000 && invalid > 5_000,
        "{valid} valid, {invalid} invalid"
    );
}

#[test]
fn agrees_with_an_exhaustive_search_of_versions() {
    let (valid, invalid) = agree(0..30_000, true);
    assert!(
        valid > 2_000 && invalid > 5_000,
        "{valid} valid, {invalid} invalid"
    );
}

#[test]
fn gives_up_when_its_budget_is_spent() {
    let ops = random(&mut StdRng::seed_from_u64(1), false);
    assert_eq!(check(&ops, false, &mut 0), Err(Failure::TooMany));
}

/// The register as stateright wants it.
#[derive(Clone)]
struct Register(u32);

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Seen(u32),
    Written,
    Unequal,
}

impl SequentialSpec for Register {
    type Op = Change;
    type Ret = Answer;

    fn invoke(&mut self, change: &Change) -> Answer {
        match *change {
            Change::Read(_) => Answer::Seen(self.0),
            Change::Cas { old, .. } if old != self.0 => Answer::Unequal,
            Change::Write(new) | Change::Cas { new, .. } => {
                self.0 = new;
                Answer::Written
            }
        }
    }
}

/// Stateright's verdict. Every operation has a thread of its own, as far as one that never ends
/// is the last of its thread; the order of time is kept all the same.
fn stateright(ops: &[Timed]) -> bool {
    let mut moments: Vec<(u32, usize, bool)> = Vec::new();
    for (thread, op) in ops.iter().enumerate() {
        moments.push((op.invoked_at, thread, true));
        if op.completed_at != NEVER {
            moments.push((op.completed_at, thread, false));
        }
    }
    moments.sort_unstable();
    let mut tester = LinearizabilityTester::new(Register(0));
    for (_, thread, begins) in moments {
        let change = ops[thread].call.change;
        let noted = if begins {
            tester.on_invoke(thread, change)
        } else {
            let answer = match change {
                Change::Read(value) => Answer::Seen(value),
                _ => Answer::Written,
            };
            tester.on_return(thread, answer)
        };
        noted.expect("a well-formed history");
    }
    tester.is_consistent()
}

#[test]
fn agrees_with_stateright() {
    for seed in 0..5_000 {
        let ops = random(&mut StdRng::seed_from_u64(seed), false);
        let mut budget = u64::MAX;
        let ours = check(&ops, false, &mut budget).is_ok();
        assert_eq!(ours, stateright(&ops), "seed {seed}: {ops:#?}");
    }
}

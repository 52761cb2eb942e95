//! Transactions made up by seed, and small ones beside an exhaustive search.

use std::collections::HashMap;

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::{BUSY, blamed};
use crate::check::{Model, Options, Verdict, Workload, judge};
use crate::edn::Value;
use crate::generate::{Isolation, Shape, Txns, history};
use crate::history::{Event, Kind, NEVER, Op, pair};

type Make = fn(i64, Isolation) -> Txns;

const MADE: [(Workload, Make); 2] = [(Workload::Append, Txns::append), (Workload::Wr, Txns::wr)];

#[test]
fn a_store_that_keeps_its_word_is_never_blamed() {
    for (workload, make) in MADE {
        for keys in [1, 3, 8] {
            let store = || make(keys, Isolation::StrictSerializable);
            assert_eq!(
                blamed(0..300, BUSY, workload, store),
                [0; 0],
                "{workload:?}, {keys} keys"
            );
        }
    }
}

#[test]
fn a_store_that_breaks_it_is() {
    for (workload, make) in MADE {
        for isolation in [
            Isolation::Unchecked,
            Isolation::Stale,
            Isolation::Lost,
            Isolation::Dirty,
        ] {
            let found = blamed(0..100, BUSY, workload, || make(3, isolation)).len();
            // A state of some time ago may by chance be that of now.
            assert!(found >= 80, "{workload:?}, {isolation:?}: {found} of 100");
        }
    }
}

const TINY: Shape = Shape {
    clients: 3,
    ops: 6,
    fail_percent: 5,
    info_percent: 10,
};

/// Never blames what has an order; `found` of `broken` shows how much of what has none it sees.
#[test]
fn what_has_an_order_is_never_blamed_and_most_of_the_rest_is() {
    for (workload, make) in MADE {
        let (mut broken, mut found) = (0, 0);
        for isolation in [Isolation::Unchecked, Isolation::Stale, Isolation::Lost] {
            for seed in 0..1500 {
                let events = history(seed, TINY, &mut make(2, isolation));
                let ops = pair(&events).unwrap();
                let all: Vec<usize> = (0..ops.len())
                    .filter(|at| ops[*at].kind != Kind::Fail)
                    .collect();
                let is_append = workload == Workload::Append;
                let has_order = has_order(&ops, &all, &HashMap::new(), is_append);
                let is_blamed = is_blamed(&events, workload);
                assert!(
                    !(has_order && is_blamed),
                    "{workload:?}, {isolation:?}, seed {seed}"
                );
                broken += usize::from(!has_order);
                found += usize::from(is_blamed);
            }
        }
        // Appends show all; blind writes of registers hide some of their order.
        assert!(broken > 400, "{workload:?}: {broken} broken");
        let least = if workload == Workload::Append { 98 } else { 90 };
        assert!(
            found * 100 >= broken * least,
            "{workload:?}: {found} of {broken}"
        );
    }
}

/// The lists or registers of transactions as stateright wants them: what a transaction has read, or
/// nothing if it is only known to have happened.
#[derive(Clone)]
struct Keys {
    state: State,
    is_append: bool,
}

impl SequentialSpec for Keys {
    type Op = Vec<Value>;
    type Ret = Vec<Value>;

    fn invoke(&mut self, steps: &Vec<Value>) -> Vec<Value> {
        let mut answer = Vec::new();
        for step in steps {
            let Some([name, Value::Int(key), value]) = step.elements() else {
                continue;
            };
            let list = self.state.entry(*key).or_default();
            if name.name() != Some("r") {
                list.extend(value.int());
                answer.push(step.clone());
                continue;
            }
            let all: Vec<Value> = list.iter().copied().map(Value::Int).collect();
            let seen = match self.is_append {
                true => Value::Vector(all),
                false => all.last().cloned().unwrap_or(Value::Nil),
            };
            answer.push(Value::Vector(vec![name.clone(), Value::Int(*key), seen]));
        }
        answer
    }
}

/// Stateright's verdict: whether each transaction, whole, can have happened at one moment of its time.
fn stateright(ops: &[Op<'_>], all: &[usize], is_append: bool) -> bool {
    let mut moments: Vec<(u32, usize, bool)> = Vec::new();
    for at in all {
        moments.push((ops[*at].invoked_at, *at, true));
        if ops[*at].completed_at != NEVER {
            moments.push((ops[*at].completed_at, *at, false));
        }
    }
    moments.sort_unstable();
    let mut tester = LinearizabilityTester::new(Keys {
        state: State::new(),
        is_append,
    });
    for (_, at, begins) in moments {
        let op = &ops[at];
        let steps = |value: &Value| value.elements().unwrap_or_default().to_vec();
        let noted = match begins {
            true => tester.on_invoke(at, steps(&op.invoked.value)),
            false => tester.on_return(at, steps(op.value())),
        };
        noted.expect("a well-formed history");
    }
    tester.is_consistent()
}

/// Stateright's tester says of each small history what our exhaustive search says, which ours are held
/// against above; and what it takes for consistent is never blamed.
#[test]
fn agrees_with_stateright() {
    for (workload, make) in MADE {
        let (mut valid, mut broken) = (0, 0);
        for isolation in [
            Isolation::StrictSerializable,
            Isolation::Unchecked,
            Isolation::Stale,
        ] {
            for seed in 0..1_000 {
                let events = history(seed, TINY, &mut make(2, isolation));
                let ops = pair(&events).unwrap();
                let all: Vec<usize> = (0..ops.len())
                    .filter(|at| ops[*at].kind != Kind::Fail)
                    .collect();
                let is_append = workload == Workload::Append;
                let theirs = stateright(&ops, &all, is_append);
                let ours = has_order(&ops, &all, &State::new(), is_append);
                assert_eq!(ours, theirs, "{workload:?}, {isolation:?}, seed {seed}");
                if theirs {
                    valid += 1;
                    assert!(!is_blamed(&events, workload), "{workload:?}, seed {seed}");
                } else {
                    broken += 1;
                }
            }
        }
        assert!(
            valid > 300 && broken > 100,
            "{workload:?}: {valid}, {broken}"
        );
    }
}

fn is_blamed(events: &[Event], workload: Workload) -> bool {
    let options = Options {
        workload: Some(workload),
        model: Model::StrictSerializable,
    };
    matches!(judge(events, options).verdict, Verdict::Violated(_))
}

type State = HashMap<i64, Vec<i64>>;

/// Tries every order of the transactions `left` that keeps to their times.
fn has_order(ops: &[Op<'_>], left: &[usize], state: &State, is_append: bool) -> bool {
    if left.iter().all(|at| ops[*at].completed_at == NEVER) {
        return true;
    }
    let first_end = left
        .iter()
        .map(|at| ops[*at].completed_at)
        .min()
        .unwrap_or(NEVER);
    left.iter().any(|at| {
        let op = &ops[*at];
        if op.invoked_at > first_end {
            return false;
        }
        let Some(after) = apply(op, state, is_append) else {
            return false;
        };
        let rest: Vec<usize> = left.iter().copied().filter(|other| other != at).collect();
        has_order(ops, &rest, &after, is_append)
    })
}

/// The state after the transaction, if it can have read there what it read.
fn apply(op: &Op<'_>, state: &State, is_append: bool) -> Option<State> {
    let mut state = state.clone();
    for step in op.value().elements()? {
        let [name, key, value] = step.elements()? else {
            return None;
        };
        let list = state.entry(key.int()?).or_default();
        match name.name() {
            Some("r") if op.kind != Kind::Ok => {}
            Some("r") => {
                let all: Vec<Value> = list.iter().copied().map(Value::Int).collect();
                let seen = if is_append {
                    Value::Vector(all)
                } else {
                    all.last().cloned().unwrap_or(Value::Nil)
                };
                if seen != *value {
                    return None;
                }
            }
            _ => list.push(value.int()?),
        }
    }
    Some(state)
}

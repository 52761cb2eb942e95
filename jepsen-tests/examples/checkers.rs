//! How long each checker takes for a history of so many operations (100,000 unless told otherwise),
//! of a store that keeps its word and of one that does not.
#![expect(clippy::print_stdout, reason = "a measurement is for its reader")]

use std::time::Instant;

use jepsen_tests::generate::{Isolation, Registers, Sets, Shape, Store, Txns, history};
use jepsen_tests::{Model, Options, Verdict, Workload, judge};

fn main() {
    let ops = std::env::args().nth(1);
    let ops = ops.map_or(100_000, |ops| ops.parse().expect("a number of operations"));
    let registers = |keys| move || Registers::new(keys, None);
    for clients in [10, 50] {
        let shape = Shape {
            clients,
            ops,
            fail_percent: 3,
            info_percent: 1,
        };
        println!("{ops} operations of {clients} clients");
        for keys in [1, 10, 1000] {
            let name = format!("register, {keys} keys");
            measure(&name, shape, Workload::Register, registers(keys));
        }
        measure(
            "register, 10 keys, stale",
            shape,
            Workload::Register,
            || Registers::new(10, None).breaking(1, 0),
        );
        measure(
            "versioned, 10 keys",
            shape,
            Workload::VersionedRegister,
            || Registers::new(10, None).versioned(),
        );
        let strict = Isolation::StrictSerializable;
        measure("append", shape, Workload::Append, || {
            Txns::append(10, strict)
        });
        measure("append, unchecked", shape, Workload::Append, || {
            Txns::append(10, Isolation::Unchecked)
        });
        measure("append, lost", shape, Workload::Append, || {
            Txns::append(10, Isolation::Lost)
        });
        measure("wr", shape, Workload::Wr, || Txns::wr(10, strict));
        measure("wr, lost", shape, Workload::Wr, || {
            Txns::wr(10, Isolation::Lost)
        });
        let few = Shape {
            ops: ops / 10,
            ..shape
        };
        measure("set, a tenth of them", few, Workload::Set, Sets::default);
    }
}

fn measure<S: Store>(name: &str, shape: Shape, workload: Workload, store: impl Fn() -> S) {
    let events = history(1, shape, &mut store());
    let options = Options {
        workload: Some(workload),
        model: Model::StrictSerializable,
    };
    let started = Instant::now();
    let judgement = judge(&events, options);
    let seconds = started.elapsed().as_secs_f64();
    let verdict = match judgement.verdict {
        Verdict::Valid => "valid".to_owned(),
        Verdict::Unknown(why) => format!("unknown: {why}"),
        Verdict::Violated(found) => format!("violated: {:?}", found.counts()),
    };
    println!("  {name:<26} {seconds:>7.2} s  {verdict}");
}

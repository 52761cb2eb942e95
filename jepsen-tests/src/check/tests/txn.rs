//! Transactions by hand: each anomaly in its smallest form.

use super::{anomalies, judged};
use crate::check::{Finding, Model, Verdict, Workload};

/// Each line is a transaction: `process does steps`, `process invoke steps`, and so on.
fn text(lines: &str) -> String {
    let line = |line: &str| {
        let mut words = line.trim().splitn(3, ' ');
        let [process, kind, steps] = [0; 3].map(|_| words.next().unwrap_or(""));
        format!("{process} {kind} :f :txn :value {steps}\n")
    };
    lines
        .lines()
        .filter(|each| !each.trim().is_empty())
        .map(line)
        .collect()
}

fn append(lines: &str, model: Model) -> String {
    anomalies(&judged(&text(lines), Workload::Append, model)).join(", ")
}

fn wr(lines: &str, model: Model) -> String {
    anomalies(&judged(&text(lines), Workload::Wr, model)).join(", ")
}

/// Transactions that are all under way at once, each of a process of its own.
fn at_once(steps: &[&str]) -> String {
    let each = |kind: &'static str| {
        let lines = steps.iter().enumerate();
        lines.map(move |(process, steps)| format!("{process} {kind} {steps}\n"))
    };
    each("invoke").chain(each("ok")).collect()
}

const STRICT: Model = Model::StrictSerializable;
const SERIAL: Model = Model::Serializable;

#[test]
fn appends_that_are_in_order_pass() {
    let cases = [
        "0 does [[:append x 1] [:r x [1]]]\n1 does [[:r x [1]] [:append x 2]]\n0 does [[:r x [1 2]]]",
        "0 does [[:r x []] [:r y nil]]",
        // Without an answer: late, or never.
        "0 invoke [[:append x 1]]\n0 info [[:append x 1]]\n1 does [[:r x []]]\n1 does [[:r x [1]]]",
        "0 invoke [[:append x 1]]\n1 does [[:r x []]]",
        "0 invoke [[:append x 1]]\n0 fail [[:append x 1]]\n1 does [[:r x []]]",
        // Under way at once, one may read what the other has just done.
        "0 invoke [[:append x 1]]\n1 does [[:r x [1]]]\n2 does [[:r x [1]]]\n0 ok [[:append x 1]]",
    ];
    for case in cases {
        assert_eq!(append(case, STRICT), "", "{case}");
    }
}

#[test]
fn finds_each_anomaly_of_appends() {
    let g0 = at_once(&[
        "[[:append x 1] [:append y 1]]",
        "[[:append x 2] [:append y 2]]",
        "[[:r x [1 2]]]",
        "[[:r y [2 1]]]",
    ]);
    let g1c = at_once(&["[[:append x 1] [:r y [1]]]", "[[:append y 1] [:r x [1]]]"]);
    let g_single = at_once(&["[[:append x 1] [:append y 1]]", "[[:r x [1]] [:r y []]]"]);
    // Two readers see two independent appends in contrary orders.
    let long_fork = at_once(&[
        "[[:append x 1]]",
        "[[:append y 1]]",
        "[[:r x [1]] [:r y []]]",
        "[[:r x []] [:r y [1]]]",
    ]);
    let g2 = at_once(&[
        "[[:r x []] [:append y 1]]",
        "[[:r y []] [:append x 1]]",
        "[[:r x [1]] [:r y [1]]]",
    ]);
    let lost = at_once(&[
        "[[:r x []] [:append x 1]]",
        "[[:r x []] [:append x 2]]",
        "[[:r x [1 2]]]",
    ]);
    let cases = [
        (g0.as_str(), "G0"),
        (&g1c, "G1c"),
        (&g_single, "G-single"),
        (&long_fork, "G-nonadjacent"),
        (&g2, "G2-item"),
        (&lost, "G-single, lost-update"),
        (
            "0 invoke [[:append x 1]]\n0 fail [[:append x 1]]\n1 does [[:r x [1]]]",
            "G1a",
        ),
        (
            "0 invoke [[:append x 1] [:append x 2]]\n1 does [[:r x [1]]]\n0 ok [[:append x 1] [:append x 2]]\n2 does [[:r x [1 2]]]",
            "G-single, G1b",
        ),
        (
            "0 invoke [[:append x 1]]\n0 fail [[:append x 1]]\n1 does [[:append x 2]]\n2 does [[:r x [1 2]]]",
            "G1a, dirty-update",
        ),
        ("0 does [[:append x 1] [:r x []]]", "internal"),
        (
            "0 does [[:append x 1]]\n0 does [[:r x [1]] [:r x []]]",
            "G-single, internal",
        ),
        (
            "0 does [[:append x 1]]\n1 does [[:r x [1 1]]]",
            "duplicate-elements",
        ),
        ("1 does [[:r x [7]]]", "unwritten"),
        // Stale, and lost.
        (
            "0 does [[:append x 1]]\n1 does [[:r x []]]\n2 does [[:r x [1]]]",
            "G-single-realtime",
        ),
        (
            "0 does [[:append x 1]]\n1 does [[:r x []]]",
            "G-single-realtime",
        ),
        (
            "0 does [[:append x 1]]\n0 does [[:r x []]]\n2 does [[:r x [1]]]",
            "G-single-process",
        ),
    ];
    for (case, anomaly) in cases {
        assert_eq!(append(case, STRICT), anomaly, "{case}");
    }
}

#[test]
fn lists_that_contradict_each_other_are_found() {
    // As elle-cli's list-fail.edn has it.
    let case = "1 does [[:r x []]]\n2 does [[:r x []]]\n1 invoke [[:append x 1]]\n2 invoke [[:append x 2]]\n\
                1 ok [[:append x 1]]\n2 ok [[:append x 2]]\n1 does [[:r x [1 2]]]\n2 does [[:r x [2 1]]]";
    assert!(
        append(case, SERIAL).contains("incompatible-order"),
        "{}",
        append(case, SERIAL)
    );
}

#[test]
fn the_example_of_the_paper_is_found() {
    // Elle's own: the last transaction missed an append of the second, which the third saw, and
    // appended after the third.
    let case = "1 does [[:append 253 1] [:append 253 3] [:append 253 4] [:append 255 2] [:append 255 3] [:append 255 4] [:append 255 5] [:append 256 1] [:append 256 2]]\n\
                1 does [[:append 255 8] [:r 253 [1 3 4]]]\n\
                1 does [[:append 256 4] [:r 255 [2 3 4 5 8]] [:r 256 [1 2 4]] [:r 253 [1 3 4]]]\n\
                1 does [[:append 250 10] [:r 253 [1 3 4]] [:r 255 [2 3 4 5]] [:append 256 3]]";
    assert_eq!(append(case, STRICT), "G-single");
    assert_eq!(append(case, Model::ReadCommitted), "");
}

#[test]
fn each_model_forbids_what_it_promises_not_to_do() {
    let skew = at_once(&[
        "[[:r x []] [:append y 1]]",
        "[[:r y []] [:append x 1]]",
        "[[:r x [1]] [:r y [1]]]",
    ]);
    assert_eq!(append(&skew, Model::SnapshotIsolation), "");
    assert_eq!(append(&skew, SERIAL), "G2-item");
    let stale = "0 does [[:append x 1]]\n1 does [[:r x []]]";
    assert_eq!(append(stale, Model::StrongSessionSerializable), "");
    let own = "0 does [[:append x 1]]\n0 does [[:r x []]]";
    assert_eq!(
        append(own, Model::StrongSessionSerializable),
        "G-single-process"
    );
    assert_eq!(append(own, SERIAL), "");
    let aborted = "0 invoke [[:append x 1]]\n0 fail [[:append x 1]]\n1 does [[:r x [1]]]";
    assert_eq!(append(aborted, Model::ReadUncommitted), "");
    assert_eq!(append(aborted, Model::ReadCommitted), "G1a");
}

#[test]
fn registers_that_are_in_order_pass() {
    let cases = [
        "0 does [[:w x 1] [:r x 1]]\n1 does [[:r x 1] [:w x 2]]\n0 does [[:r x 2]]",
        "0 does [[:r x nil]]",
        "0 invoke [[:w x 1]]\n0 info [[:w x 1]]\n1 does [[:r x nil]]\n1 does [[:r x 1]]",
        "0 invoke [[:w x 1]]\n1 invoke [[:w x 2]]\n0 ok [[:w x 1]]\n1 ok [[:w x 2]]\n2 does [[:r x 1]]\n2 does [[:r x 1]]",
    ];
    for case in cases {
        assert_eq!(wr(case, STRICT), "", "{case}");
    }
}

#[test]
fn finds_each_anomaly_of_registers() {
    let g0 = at_once(&["[[:w x 1] [:w y 1]]", "[[:w x 2] [:w y 2]]"])
        + "4 does [[:r x 1] [:w x 3]]\n4 does [[:r x 3]]";
    assert_eq!(wr(&g0, STRICT), "");
    let g1c = at_once(&["[[:w x 1] [:r y 1]]", "[[:w y 1] [:r x 1]]"]);
    let g_single = at_once(&["[[:w x 1] [:w y 1]]", "[[:r x 1] [:r y nil]]"]);
    let fork = at_once(&[
        "[[:w x 1]]",
        "[[:w y 1]]",
        "[[:r x 1] [:r y nil]]",
        "[[:r x nil] [:r y 1]]",
    ]);
    let g2 = at_once(&["[[:r x nil] [:w y 1]]", "[[:r y nil] [:w x 1]]"]);
    let lost = at_once(&["[[:r x nil] [:w x 1]]", "[[:r x nil] [:w x 2]]"]);
    let cyclic = at_once(&["[[:r x 1] [:w x 2]]", "[[:r x 2] [:w x 1]]"]);
    let cases = [
        (g1c.as_str(), "G1c"),
        (&g_single, "G-single"),
        (&fork, "G-nonadjacent"),
        (&g2, "G2-item"),
        (&lost, "G2-item, lost-update"),
        (&cyclic, "G1c, cyclic-versions"),
        (
            "0 invoke [[:w x 1]]\n0 fail [[:w x 1]]\n1 does [[:r x 1]]",
            "G1a",
        ),
        (
            "0 invoke [[:w x 1] [:w x 2]]\n1 does [[:r x 1]]\n0 ok [[:w x 1] [:w x 2]]",
            "G1b",
        ),
        ("0 does [[:w x 1] [:r x nil]]", "internal"),
        (
            "0 does [[:w x 1] [:w y 2]]\n1 does [[:r x 1] [:r x nil]]",
            "internal",
        ),
        ("1 does [[:r x 7]]", "unwritten"),
        // Stale by time alone.
        (
            "0 does [[:w x 1]]\n1 does [[:w x 2]]\n2 does [[:r x 1]]",
            "G-single-realtime, cyclic-versions",
        ),
        (
            "0 does [[:w x 1]]\n1 does [[:r x nil]]",
            "G-single-realtime, cyclic-versions",
        ),
    ];
    for (case, anomaly) in cases {
        assert_eq!(wr(case, STRICT), anomaly, "{case}");
    }
}

#[test]
fn the_proof_is_the_shortest_cycle_and_says_why() {
    let mut lines = String::new();
    for value in 1..=100 {
        let list: Vec<String> = (1..=value).map(|each| each.to_string()).collect();
        lines.push_str(&format!(
            "0 does [[:append x {value}] [:r x [{}]]]\n",
            list.join(" ")
        ));
    }
    lines.push_str("1 does [[:r x [1 2 3]]]\n");
    let judgement = judged(&text(&lines), Workload::Append, STRICT);
    let Verdict::Violated(found) = &judgement.verdict else {
        panic!("{judgement:?}");
    };
    let Finding {
        anomaly,
        ops,
        edges,
        ..
    } = &found.told()[0];
    assert_eq!(
        (*anomaly, ops.len(), edges.len()),
        ("G-single-realtime", 2, 2)
    );
    let mut why: Vec<&str> = edges.iter().map(|edge| edge.why.as_str()).collect();
    why.sort_unstable();
    assert!(
        why[0].contains("read 3 of key x, before") && why[1].contains("was acknowledged before"),
        "{why:?}"
    );
}

//! Tells a cycle to people: which transaction must come before which, and why.

use super::graph::{Base, Edge, Level};
use super::parse::Txns;
use crate::check::intern::NIL;
use crate::check::{self, Finding};

/// The cycle for people.
pub(super) fn explain(txns: &Txns<'_>, name: &'static str, cycle: &[Edge]) -> Finding {
    let ops: Vec<_> = cycle
        .iter()
        .map(|edge| txns.all[edge.from as usize].op)
        .collect();
    let what = format!(
        "{} transactions must each come before the next",
        cycle.len()
    );
    let mut finding = Finding::new(name, what, &ops);
    for (at, edge) in cycle.iter().enumerate() {
        let to = (at + 1) % cycle.len();
        finding.edges.push(check::Edge {
            from: at,
            to,
            kind: edge.base.name(edge.level),
            why: why(txns, edge, at + 1, to + 1),
        });
    }
    finding
}

fn why(txns: &Txns<'_>, edge: &Edge, from: usize, to: usize) -> String {
    let key = || txns.keys.value(edge.why.key);
    let version = |value: u32| match value {
        NIL => "nothing".to_owned(),
        value => txns.values.value(value).to_string(),
    };
    let (before, after) = (edge.why.before, edge.why.after);
    let by_time = match edge.level {
        Level::Data => "",
        Level::Process => ", as the process's order tells",
        Level::Realtime => ", as their times tell",
    };
    match edge.base {
        Base::Ww => format!(
            "T{from} wrote {} to key {}, and T{to} wrote {} after it{by_time}",
            version(before),
            key(),
            version(after)
        ),
        Base::Wr => format!(
            "T{from} wrote {} to key {}, and T{to} read it",
            version(after),
            key()
        ),
        Base::Rw => format!(
            "T{from} read {} of key {}, before T{to} wrote {}{by_time}",
            version(before),
            key(),
            version(after)
        ),
        Base::Order if edge.level == Level::Process => {
            format!("T{from} came before T{to} in the same process")
        }
        Base::Order => format!("T{from} was acknowledged before T{to} began"),
    }
}

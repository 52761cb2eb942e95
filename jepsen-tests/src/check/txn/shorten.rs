//! Makes a cycle shorter by what time alone implies.

use super::graph::{Base, Edge, Level, Why};
use super::parse::Txns;

/// The cycle with each run of edges between two anti-dependencies made as short as time allows: the
/// graph has only edges by time that others do not imply.
pub(super) fn shortened(cycle: Vec<Edge>, level: Level, txns: &Txns<'_>) -> Vec<Edge> {
    if level == Level::Data {
        return cycle;
    }
    let runs = cycle.chunk_by(|one, other| one.base != Base::Rw && other.base != Base::Rw);
    runs.flat_map(|run| match run {
        [only] => vec![*only],
        run => shortest_run(run, level, txns),
    })
    .collect()
}

/// The shortest way over the nodes of `run` by its own edges and by time.
fn shortest_run(run: &[Edge], level: Level, txns: &Txns<'_>) -> Vec<Edge> {
    let nodes: Vec<u32> = run
        .iter()
        .map(|edge| edge.from)
        .chain(run.last().map(|edge| edge.to))
        .collect();
    // For each node the edge by which a shortest way reaches it, and where that begins.
    let mut reached: Vec<(usize, usize, Edge)> = vec![(0, 0, run[0])];
    for to in 1..nodes.len() {
        let own = (reached[to - 1].0 + 1, to - 1, run[to - 1]);
        let by_time = (0..to)
            .filter(|from| precedes(txns, nodes[*from], nodes[to], level))
            .map(|from| {
                (
                    reached[from].0 + 1,
                    from,
                    ordered_edge(nodes[from], nodes[to], level),
                )
            })
            .min_by_key(|way| way.0);
        reached.push(match by_time {
            Some(by_time) if by_time.0 < own.0 => by_time,
            _ => own,
        });
    }
    let mut way = Vec::new();
    let mut at = nodes.len() - 1;
    while at > 0 {
        let (_, from, edge) = reached[at];
        way.push(edge);
        at = from;
    }
    way.reverse();
    way
}

/// Whether the one transaction was acknowledged before the other began.
fn precedes(txns: &Txns<'_>, one: u32, other: u32, level: Level) -> bool {
    let [one, other] = [one, other].map(|txn| txns.all[txn as usize].op);
    one.completed_at < other.invoked_at
        && (level == Level::Realtime || one.process == other.process)
}

pub(super) fn ordered_edge(from: u32, to: u32, level: Level) -> Edge {
    Edge {
        from,
        to,
        level,
        base: Base::Order,
        why: Why::default(),
    }
}

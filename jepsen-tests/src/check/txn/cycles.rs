//! Finds cycles of dependencies, and names each as Adya and Elle do.
//!
//! A class of cycle has an edge that it must have, the pivot, and edges that it may have. For each
//! component of the graph of such edges, the shortest way from a pivot's end back to its beginning
//! is looked for, over nodes together with what the way has met so far.

use std::collections::{HashMap, HashSet};

use super::explain::explain;
use super::graph::{Base, Edge, Graph, Level};
use super::order::{self, Span};
use super::parse::Txns;
use super::shorten::{ordered_edge, shortened};
use super::{Model, scc};
use crate::check::Findings;

/// After so many steps in one component no further pivot is tried: what was found by then is a
/// cycle, if perhaps not the shortest.
const STEPS_MAX: usize = 5_000_000;

/// A class of cycles, at one level.
struct Class {
    name: &'static str,
    pivot: Base,
    rest: &'static [Base],
    anti: Anti,
    level: Level,
}

/// What a cycle may have of anti-dependencies besides its pivot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Anti {
    /// None.
    None,
    /// Any.
    Any,
    /// More, but no two next to each other.
    Apart,
    /// Two next to each other.
    Adjacent,
}

const CLASSES: [(&[&str; 3], Base, &[Base], Anti); 5] = [
    (
        &["G0", "G0-process", "G0-realtime"],
        Base::Ww,
        &[Base::Ww],
        Anti::None,
    ),
    (
        &["G1c", "G1c-process", "G1c-realtime"],
        Base::Wr,
        &[Base::Ww, Base::Wr],
        Anti::None,
    ),
    (
        &["G-single", "G-single-process", "G-single-realtime"],
        Base::Rw,
        &[Base::Ww, Base::Wr],
        Anti::None,
    ),
    (
        &[
            "G-nonadjacent",
            "G-nonadjacent-process",
            "G-nonadjacent-realtime",
        ],
        Base::Rw,
        &[Base::Ww, Base::Wr, Base::Rw],
        Anti::Apart,
    ),
    (
        &["G2-item", "G2-item-process", "G2-item-realtime"],
        Base::Rw,
        &[Base::Ww, Base::Wr, Base::Rw],
        Anti::Adjacent,
    ),
];

/// Finds the cycles among `nodes`, which are positions of transactions that happened, and notes
/// them. `data` are their dependencies by values; those by time are added as the model asks.
pub(super) fn find(
    txns: &Txns<'_>,
    nodes: &[u32],
    mut data: Vec<Edge>,
    model: Model,
    found: &mut Findings,
) {
    let spans: Vec<Span> = nodes
        .iter()
        .map(|node| Span::new(*node, txns.all[*node as usize].op))
        .collect();
    let mut levels = vec![Level::Data];
    if model >= Model::StrongSessionSerializable {
        levels.push(Level::Process);
        data.extend(ordered(order::process(&spans), Level::Process));
    }
    if model >= Model::StrictSerializable {
        levels.push(Level::Realtime);
        data.extend(ordered(order::realtime(&spans), Level::Realtime));
    }
    let graph = Graph::new(txns.all.len(), data);
    // Nodes of cycles found so far, by class: a weaker level of a class says nothing new there.
    let mut told: HashMap<&str, Vec<u32>> = HashMap::new();
    for level in levels {
        for (names, pivot, rest, anti) in CLASSES {
            let class = Class {
                name: names[level as usize],
                pivot,
                rest,
                anti,
                level,
            };
            let told = told.entry(names[0]).or_default();
            for component in components(&graph, &class) {
                if component.iter().any(|node| told.contains(node)) {
                    continue;
                }
                if let Some(cycle) = shortest(&graph, &class, &component, txns) {
                    told.extend(cycle.iter().map(|edge| edge.from));
                    found.add(class.name, || explain(txns, class.name, &cycle));
                }
            }
        }
        let told: HashSet<u32> = told.values().flatten().copied().collect();
        find_left_over(txns, &graph, level, &told, found);
    }
}

/// Components whose classes were all given up for their size: still there is a cycle in each.
fn find_left_over(
    txns: &Txns<'_>,
    graph: &Graph,
    level: Level,
    told: &HashSet<u32>,
    found: &mut Findings,
) {
    let class = Class {
        name: "",
        pivot: Base::Rw,
        rest: &[Base::Ww, Base::Wr, Base::Rw],
        anti: Anti::Any,
        level,
    };
    for component in components(graph, &class) {
        if component.iter().any(|node| told.contains(node)) {
            continue;
        }
        if let Some(cycle) = shortest(graph, &class, &component, txns) {
            let name = name(&cycle, level);
            found.add(name, || explain(txns, name, &cycle));
        }
    }
}

/// The class of a cycle with an anti-dependency first.
fn name(cycle: &[Edge], level: Level) -> &'static str {
    let is_anti = |at: usize| cycle[at % cycle.len()].base == Base::Rw;
    let count = (0..cycle.len()).filter(|at| is_anti(*at)).count();
    let is_adjacent = (0..cycle.len()).any(|at| is_anti(at) && is_anti(at + 1));
    let class = match (count, is_adjacent) {
        (0 | 1, _) => 2,
        (_, false) => 3,
        (_, true) => 4,
    };
    CLASSES[class].0[level as usize]
}

fn ordered(pairs: Vec<(u32, u32)>, level: Level) -> impl Iterator<Item = Edge> {
    let edge = move |(from, to)| ordered_edge(from, to, level);
    pairs.into_iter().map(edge)
}

impl Class {
    /// Whether a cycle of the class may have the edge.
    fn has(&self, edge: &Edge) -> bool {
        let in_level = edge.level == Level::Data || edge.level == self.level;
        in_level
            && (edge.base == Base::Order || self.rest.contains(&edge.base) || self.is_pivot(edge))
    }

    fn is_pivot(&self, edge: &Edge) -> bool {
        edge.base == self.pivot && (edge.level == Level::Data || edge.level == self.level)
    }
}

fn components(graph: &Graph, class: &Class) -> Vec<Vec<u32>> {
    // Edges that the class has not lead from a node to itself, which is nowhere.
    let successor = |node: u32, at: usize| {
        let edge = graph.from(node).get(at)?;
        Some(if class.has(edge) { edge.to } else { node })
    };
    scc::components(graph.len(), successor)
}

/// What a way has met.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Met {
    /// The last edge was an anti-dependency.
    anti_last: bool,
    /// An anti-dependency besides the pivot.
    anti_more: bool,
    /// Two next to each other.
    adjacent: bool,
    /// An edge of the class's own level, if that is not [`Level::Data`].
    ordered: bool,
}

impl Met {
    fn pivot(class: &Class, edge: &Edge) -> Self {
        Self {
            anti_last: edge.base == Base::Rw,
            anti_more: false,
            adjacent: false,
            ordered: class.level != Level::Data && edge.level == class.level,
        }
    }

    /// After one more edge, or nothing if the class cannot have it there.
    fn step(self, class: &Class, edge: &Edge) -> Option<Self> {
        let in_level = edge.level == Level::Data || edge.level == class.level;
        let is_allowed = edge.base == Base::Order || class.rest.contains(&edge.base);
        let is_anti = edge.base == Base::Rw;
        if !in_level || !is_allowed || (class.anti == Anti::Apart && is_anti && self.anti_last) {
            return None;
        }
        Some(Self {
            anti_last: is_anti,
            anti_more: self.anti_more || is_anti,
            adjacent: self.adjacent || (is_anti && self.anti_last),
            ordered: self.ordered || (class.level != Level::Data && edge.level == class.level),
        })
    }

    /// Whether a way that is back at the pivot makes a cycle of the class.
    fn closes(self, class: &Class) -> bool {
        // The pivot is the next edge again.
        let adjacent = self.adjacent || (self.anti_last && self.anti_more);
        let anti = match class.anti {
            Anti::None | Anti::Any => true,
            Anti::Apart => self.anti_more && !adjacent,
            Anti::Adjacent => adjacent,
        };
        anti && (class.level == Level::Data || self.ordered)
    }
}

/// A shortest cycle of the class within the component.
fn shortest(graph: &Graph, class: &Class, component: &[u32], txns: &Txns<'_>) -> Option<Vec<Edge>> {
    let mut best: Option<Vec<Edge>> = None;
    let mut steps = STEPS_MAX;
    for node in component {
        for pivot in graph.from(*node) {
            let is_inside = component.binary_search(&pivot.to).is_ok();
            if !class.is_pivot(pivot) || !is_inside {
                continue;
            }
            // A longer way in the graph may become a shorter one by time.
            let longest = match &best {
                Some(best) if class.level == Level::Data => best.len() - 1,
                _ => usize::MAX,
            };
            if let Some(cycle) = around(graph, class, component, pivot, longest, &mut steps) {
                let cycle = shortened(cycle, class.level, txns);
                if best.as_ref().is_none_or(|best| cycle.len() < best.len()) {
                    best = Some(cycle);
                }
            }
            if steps == 0 || best.as_ref().is_some_and(|best| best.len() == 2) {
                return best;
            }
        }
    }
    best
}

/// One place of a search: a node, what the way to it has met, the place it came from, and by which
/// edge.
struct Place {
    node: u32,
    met: Met,
    from: usize,
    edge: Edge,
    length: usize,
}

/// A shortest cycle of at most `longest` edges that begins with `pivot`.
fn around(
    graph: &Graph,
    class: &Class,
    component: &[u32],
    pivot: &Edge,
    longest: usize,
    steps: &mut usize,
) -> Option<Vec<Edge>> {
    let mut places = vec![Place {
        node: pivot.to,
        met: Met::pivot(class, pivot),
        from: 0,
        edge: *pivot,
        length: 1,
    }];
    let mut been: HashSet<(u32, Met)> = HashSet::new();
    let mut at = 0;
    while at < places.len() {
        let (node, met, length) = (places[at].node, places[at].met, places[at].length);
        if length >= longest {
            return None;
        }
        for edge in graph.from(node) {
            *steps = steps.saturating_sub(1);
            let Some(met) = met.step(class, edge) else {
                continue;
            };
            if edge.to == pivot.from {
                if met.closes(class) {
                    return Some(way(&places, at, *edge));
                }
                continue;
            }
            let is_new = component.binary_search(&edge.to).is_ok() && been.insert((edge.to, met));
            if is_new {
                places.push(Place {
                    node: edge.to,
                    met,
                    from: at,
                    edge: *edge,
                    length: length + 1,
                });
            }
        }
        at += 1;
    }
    None
}

/// The edges to a place, and one more.
fn way(places: &[Place], mut at: usize, last: Edge) -> Vec<Edge> {
    let mut edges = vec![last];
    loop {
        edges.push(places[at].edge);
        if at == 0 {
            break;
        }
        at = places[at].from;
    }
    edges.reverse();
    edges
}

//! Which transaction must have come before which, and why.

/// What a dependency is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Base {
    /// The one's version of a key comes before the other's.
    Ww,
    /// The other read the one's version.
    Wr,
    /// The one read a version that comes before the other's.
    Rw,
    /// The one ended before the other began.
    Order,
}

/// What the dependency was learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    /// Values alone.
    Data,
    /// The order of a process's own operations.
    Process,
    /// The order of operations in real time.
    Realtime,
}

/// The values that show a dependency, as numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Why {
    pub(super) key: u32,
    /// The earlier version; `NIL` for the initial one.
    pub(super) before: u32,
    pub(super) after: u32,
}

/// One dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) level: Level,
    pub(super) base: Base,
    pub(super) why: Why,
}

/// All dependencies, ready to be followed.
#[derive(Debug)]
pub(super) struct Graph {
    edges: Vec<Edge>,
    /// For each node, where its edges begin; one more at the end.
    starts: Vec<usize>,
}

impl Base {
    /// As findings have it.
    pub(super) fn name(self, level: Level) -> &'static str {
        match (self, level) {
            (Self::Ww, _) => "ww",
            (Self::Wr, _) => "wr",
            (Self::Rw, _) => "rw",
            (Self::Order, Level::Process) => "process",
            (Self::Order, _) => "realtime",
        }
    }
}

impl Graph {
    /// A graph of `0..count`. Of equal edges one is kept, and none from a node to itself.
    pub(super) fn new(count: usize, mut edges: Vec<Edge>) -> Self {
        edges.retain(|edge| edge.from != edge.to);
        edges.sort_unstable();
        edges.dedup_by_key(|edge| (edge.from, edge.to, edge.level, edge.base));
        let mut starts = vec![0; count + 1];
        for edge in &edges {
            starts[edge.from as usize + 1] += 1;
        }
        for node in 0..count {
            starts[node + 1] += starts[node];
        }
        Self { edges, starts }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The edges from `node`, strongest level first.
    pub(super) fn from(&self, node: u32) -> &[Edge] {
        let node = node as usize;
        &self.edges[self.starts[node]..self.starts[node + 1]]
    }
}

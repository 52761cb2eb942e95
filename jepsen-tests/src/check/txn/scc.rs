//! Strongly connected components, by Tarjan's algorithm without recursion.

const UNVISITED: u32 = u32::MAX;

/// The components of more than one node. Nodes are `0..count`; `successors` gives a node's by
/// number, and nothing past the last.
pub(super) fn components(
    count: usize,
    successor: impl Fn(u32, usize) -> Option<u32>,
) -> Vec<Vec<u32>> {
    let mut tarjan = Tarjan {
        index: vec![UNVISITED; count],
        low: vec![0; count],
        is_open: vec![false; count],
        open: Vec::new(),
        next: 0,
        found: Vec::new(),
    };
    let last = u32::try_from(count).expect("nodes have 32-bit positions");
    for root in 0..last {
        if tarjan.index[root as usize] == UNVISITED {
            tarjan.visit(root, &successor);
        }
    }
    tarjan.found
}

struct Tarjan {
    index: Vec<u32>,
    low: Vec<u32>,
    is_open: Vec<bool>,
    open: Vec<u32>,
    next: u32,
    found: Vec<Vec<u32>>,
}

impl Tarjan {
    fn enter(&mut self, node: u32) {
        self.index[node as usize] = self.next;
        self.low[node as usize] = self.next;
        self.is_open[node as usize] = true;
        self.open.push(node);
        self.next += 1;
    }

    fn visit(&mut self, root: u32, successor: &impl Fn(u32, usize) -> Option<u32>) {
        // The path from the root, each with the number of its next successor.
        let mut path: Vec<(u32, usize)> = vec![(root, 0)];
        self.enter(root);
        while let Some((node, at)) = path.last_mut() {
            let node = *node;
            let child = successor(node, *at);
            *at += 1;
            match child {
                Some(child) if self.index[child as usize] == UNVISITED => {
                    self.enter(child);
                    path.push((child, 0));
                }
                Some(child) => {
                    if self.is_open[child as usize] {
                        let reached = self.index[child as usize];
                        self.low[node as usize] = self.low[node as usize].min(reached);
                    }
                }
                None => {
                    path.pop();
                    if let Some((parent, _)) = path.last() {
                        let low = self.low[node as usize];
                        self.low[*parent as usize] = self.low[*parent as usize].min(low);
                    }
                    if self.low[node as usize] == self.index[node as usize] {
                        self.close(node);
                    }
                }
            }
        }
    }

    fn close(&mut self, root: u32) {
        let mut component = Vec::new();
        while let Some(node) = self.open.pop() {
            self.is_open[node as usize] = false;
            component.push(node);
            if node == root {
                break;
            }
        }
        if component.len() > 1 {
            component.sort_unstable();
            self.found.push(component);
        }
    }
}

//! How many nodes of each zone are ready. Kept by the changes of nodes, so that a look at one node does not take one at all.
//! Pure.

use std::collections::HashMap;

use super::zones::Count;

/// The count.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Zone and readiness of each node, as they are counted.
    nodes: HashMap<String, (String, bool)>,
    zones: HashMap<String, Count>,
}

impl Census {
    /// A node is like this.
    pub(super) fn note(&mut self, node: String, zone: String, is_ready: bool) {
        self.forget(&node);
        let count = self.zones.entry(zone.clone()).or_default();
        *side(count, is_ready) += 1;
        self.nodes.insert(node, (zone, is_ready));
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: &str) {
        let Some((zone, is_ready)) = self.nodes.remove(node) else {
            return;
        };
        let Some(count) = self.zones.get_mut(&zone) else {
            return;
        };
        *side(count, is_ready) -= 1;
        if *count == Count::default() {
            self.zones.remove(&zone);
        }
    }

    /// The zones that have nodes.
    pub(super) fn zones(&self) -> &HashMap<String, Count> {
        &self.zones
    }
}

fn side(count: &mut Count, is_ready: bool) -> &mut usize {
    if is_ready {
        &mut count.ready
    } else {
        &mut count.lost
    }
}

#[cfg(test)]
mod tests {
    use super::Census;

    #[test]
    fn nodes_are_counted_where_they_are_now() {
        let mut census = Census::default();
        let check = |census: &Census, zone: &str| {
            let count = census.zones().get(zone);
            count.map(|count| (count.ready, count.lost))
        };
        for (node, zone, is_ready) in [("a", "x", true), ("b", "x", true), ("c", "y", false)] {
            census.note(node.into(), zone.into(), is_ready);
        }
        assert_eq!(check(&census, "x"), Some((2, 0)));
        assert_eq!(check(&census, "y"), Some((0, 1)));
        census.note("b".into(), "x".into(), false);
        // The same again is the same.
        census.note("b".into(), "x".into(), false);
        assert_eq!(check(&census, "x"), Some((1, 1)));
        census.note("b".into(), "y".into(), true);
        assert_eq!(check(&census, "y"), Some((1, 1)));
        census.forget("b");
        census.forget("c");
        census.forget("unknown");
        assert_eq!(check(&census, "x"), Some((1, 0)));
        assert_eq!(check(&census, "y"), None);
    }
}

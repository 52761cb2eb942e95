//! How many nodes hold each image, kept up as nodes come, change and go.

use std::collections::BTreeMap;

/// Sizes of the images of one node by name.
pub(super) type Images = BTreeMap<String, i64>;

/// The counts. An image that no node holds has none.
#[derive(Clone, Debug, Default)]
pub(super) struct ImageCounts(BTreeMap<String, i64>);

impl ImageCounts {
    /// How many nodes hold the image.
    pub(super) fn nodes_with(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// A node that held `old` holds `new`.
    pub(super) fn exchange(&mut self, old: &Images, new: &Images) {
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            if let Some(count) = self.0.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(name);
                }
            }
        }
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            *self.0.entry(name.clone()).or_default() += 1;
        }
    }
}

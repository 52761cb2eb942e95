//! What each link does to what passes: nothing, hold it, delay it, or lose some of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From one member to another, by number.
pub(crate) type Link = (usize, usize);

/// What is done to links. Those not named pass everything at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    held: BTreeSet<Link>,
    delayed: BTreeMap<Link, Duration>,
    lost_percent: BTreeMap<Link, u32>,
}

impl Rules {
    /// Holds what `from` sends to `to`.
    pub(crate) fn hold(&mut self, from: usize, to: usize) {
        self.held.insert((from, to));
    }

    /// Holds both directions between each member of `one` and each of `other`.
    pub(crate) fn cut(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.hold(*a, *b);
                self.hold(*b, *a);
            }
        }
    }

    /// Holds the links that `other` holds, and no others.
    pub(crate) fn hold_as(&mut self, other: &Self) {
        self.held.clone_from(&other.held);
    }

    /// Lets every held link go.
    pub(crate) fn heal(&mut self) {
        self.held.clear();
    }

    /// Delays what `from` sends to `to`.
    pub(crate) fn delay(&mut self, from: usize, to: usize, by: Duration) {
        self.delayed.insert((from, to), by);
    }

    /// Delays nothing any more.
    pub(crate) fn hurry(&mut self) {
        self.delayed.clear();
    }

    /// Loses so much of what `from` sends to `to`.
    pub(crate) fn lose(&mut self, from: usize, to: usize, percent: u32) {
        self.lost_percent.insert((from, to), percent);
    }

    /// Loses nothing any more.
    pub(crate) fn keep(&mut self) {
        self.lost_percent.clear();
    }

    pub(in crate::target) fn lost_percent_of(&self, link: Link) -> u32 {
        self.lost_percent.get(&link).copied().unwrap_or(0)
    }

    pub(in crate::target) fn holds(&self, link: Link) -> bool {
        self.held.contains(&link)
    }

    pub(super) fn delay_of(&self, link: Link) -> Duration {
        self.delayed.get(&link).copied().unwrap_or_default()
    }
}

//! Kinds of change in the cluster that can make a refused pod fit, as a set in one word.
//!
//! A plugin names the kinds that can undo its refusals; the queue wakes only the pods that
//! those plugins refused.

use std::ops::BitOr;

/// A set of kinds of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet(u16);

impl EventSet {
    /// No change.
    pub const NONE: Self = Self(0);
    /// A node appeared.
    pub const NODE_ADD: Self = Self(1);
    /// A node's allocatable resources changed.
    pub const NODE_ALLOCATABLE: Self = Self(1 << 1);
    /// A node's labels changed.
    pub const NODE_LABEL: Self = Self(1 << 2);
    /// A node's taints or its unschedulable mark changed.
    pub const NODE_TAINT: Self = Self(1 << 3);
    /// A pod was assigned to a node, or an assigned pod's labels changed.
    pub const ASSIGNED_POD_ADD: Self = Self(1 << 4);
    /// An assigned pod ended, went away or asks for less.
    pub const ASSIGNED_POD_DELETE: Self = Self(1 << 5);
    /// The waiting pod itself changed.
    pub const POD_UPDATE: Self = Self(1 << 6);
    /// A node went away, which changes how pods spread.
    pub const NODE_DELETE: Self = Self(1 << 7);
    /// Any of them: for refusals that no single plugin explains.
    pub const ALL: Self = Self(u16::MAX);

    /// Whether the sets share a kind.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets together, in constants.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for EventSet {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

//! The two-part counter that orders all changes.

/// A place in the history: one transaction is one `main`, its changes count `sub` from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The revision that clients see.
    pub main: i64,
    /// The change within it.
    pub sub: u32,
}

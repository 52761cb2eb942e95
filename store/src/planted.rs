//! Faults built in on purpose: each breaks one promise of the store, so that the failure tests can
//! prove that they notice.
//!
//! Only test builds and builds with the feature `planted` have them; elsewhere [`has`] is a constant
//! `false`, and nothing of a fault is left in the program.
//!
//! Input: `KEELSON_PLANTED`, the name of one fault, read once at the start. Without it, such a build
//! keeps its word like any other.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A linearizable read is answered from the member's own state at once; nobody is asked.
    ReadIndexSkipped = 1,
    /// A group of the log is told to be durable as soon as it is written.
    FsyncSkipped,
    /// The applied index follows the rows that it speaks of in a batch of its own.
    AppliedIndexApart,
    /// Changes for which a watcher's queue has no room are lost, and nobody is told.
    WatchEventsDropped,
    /// A new leader does not give leases their time again.
    LeaseNotExtended,
    /// A vote is told to be durable and never written.
    VoteNotPersisted,
    /// A member that leads no more goes on ending leases by its own clock.
    DeposedLeaderRevokes,
}

#[cfg(not(any(test, feature = "planted")))]
pub(crate) use self::absent::{choose, has};
#[cfg(any(test, feature = "planted"))]
pub(crate) use self::active::choose;
#[cfg(any(test, feature = "planted"))]
pub use self::active::{ALL, UnknownFault, has, named, plant};

#[cfg(not(any(test, feature = "planted")))]
mod absent {
    use std::io;

    use super::Fault;

    /// Nothing is.
    #[inline(always)]
    pub(crate) const fn has(_fault: Fault) -> bool {
        false
    }

    /// Nothing to choose from.
    #[inline(always)]
    pub(crate) const fn choose() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(test, feature = "planted"))]
mod active {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Fault;

    /// Every fault by its name.
    pub const ALL: [(&str, Fault); 7] = [
        ("read-index-skipped", Fault::ReadIndexSkipped),
        ("fsync-skipped", Fault::FsyncSkipped),
        ("applied-index-apart", Fault::AppliedIndexApart),
        ("watch-events-dropped", Fault::WatchEventsDropped),
        ("lease-not-extended", Fault::LeaseNotExtended),
        ("vote-not-persisted", Fault::VoteNotPersisted),
        ("deposed-leader-revokes", Fault::DeposedLeaderRevokes),
    ];

    const VARIABLE: &str = "KEELSON_PLANTED";

    /// The process's own, because its places are reached without any way to pass values to them. 0 is
    /// none.
    static PLANTED: AtomicU8 = AtomicU8::new(0);

    /// A name that no fault has.
    #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("{VARIABLE}={name}: there is no such fault; choose from {}", names())]
    pub struct UnknownFault {
        /// What was asked for.
        pub name: String,
    }

    fn names() -> String {
        ALL.map(|(name, _)| name).join(", ")
    }

    /// The fault with this name.
    pub fn named(name: &str) -> Result<Fault, UnknownFault> {
        let found = ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, fault)| *fault).ok_or_else(|| UnknownFault {
            name: name.to_owned(),
        })
    }

    /// Plants one fault in this process, or none.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.store(fault.map_or(0, |fault| fault as u8), Ordering::Relaxed);
    }

    /// Whether this is what is planted.
    pub fn has(fault: Fault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as u8
    }

    /// Plants what the environment names.
    pub(crate) fn choose() -> Result<(), UnknownFault> {
        let Ok(name) = std::env::var(VARIABLE) else {
            return Ok(());
        };
        if !name.is_empty() {
            plant(Some(named(&name)?));
            tracing::warn!(fault = name, "this member breaks its word on purpose");
        }
        Ok(())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_that_no_fault_has_is_refused_with_those_there_are() {
            for (name, fault) in ALL {
                assert_eq!(named(name), Ok(fault));
            }
            let error = named("no-such-fault").unwrap_err().to_string();
            assert!(error.starts_with("KEELSON_PLANTED=no-such-fault: "));
            assert!(error.ends_with("vote-not-persisted, deposed-leader-revokes"));
        }
    }
}

//! The places that this program has, and what is asked of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::terms::{BadTerms, Deed, Terms};

/// Every place. A name stands here only if the code has the step: tools wait for it to be hit.
const NAMES: &[&str] = &[
    "applyBeforeOpenSnapshot",
    "afterCommit",
    "afterWritebackBuf",
    "backup::base_written",
    "backup::block_written",
    "backup::manifest_written",
    "beforeApplyOneConfChange",
    "beforeCommit",
    "beforeProgressIfSync",
    "beforeSendWatchResponse",
    "beforeSyncWatchers",
    "beforeWritebackBuf",
    "commitAfterPreCommitHook",
    "commitBeforePreCommitHook",
    "compactAfterCommitBatch",
    "compactAfterCommitScheduledCompact",
    "compactAfterSetFinishedCompact",
    "compactBeforeCommitBatch",
    "compactBeforeCommitScheduledCompact",
    "compactBeforeSetFinishedCompact",
    "defragBeforeCopy",
    "log::after_write",
    "log::segment_renamed",
    "log::segment_synced",
    "log::segment_trimmed",
    "log::segment_written",
    "migrate::applied",
    "migrate::begun",
    "migrate::imported",
    "migrate::logged",
    "raftAfterApplySnap",
    "raftAfterSave",
    "raftAfterSaveSnap",
    "raftAfterWALRelease",
    "raftBeforeApplySnap",
    "raftBeforeFollowerSend",
    "raftBeforeLeaderSend",
    "raftBeforeSave",
    "raftBeforeSaveSnap",
    "restore::begun",
    "restore::identified",
    "restore::imported",
    "restore::logged",
    "restore::synced",
];

/// The process's own, because a place is reached without any way to pass values to it.
pub(super) static POINTS: LazyLock<Points> = LazyLock::new(|| {
    let points = Points::default();
    let wanted = std::env::var("GOFAIL_FAILPOINTS").unwrap_or_default();
    if let Err(error) = points.set_list(&wanted) {
        tracing::error!(error = %error, "GOFAIL_FAILPOINTS is not understood");
    }
    points
});

/// What went wrong with an order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OrderError {
    #[error("failpoint: failpoint does not exist: {0}")]
    Unknown(String),
    #[error("failpoint: failpoint is disabled: {0}")]
    Disabled(String),
    #[error("failpoint: could not parse terms {0:?}: {1}")]
    Terms(String, BadTerms),
}

/// See the module.
#[derive(Default)]
pub(super) struct Points {
    set: Mutex<BTreeMap<&'static str, Point>>,
    /// How many places have terms: without any, a hit takes no lock.
    active: AtomicUsize,
}

struct Point {
    terms: Terms,
    hits: u64,
}

impl Points {
    /// What to do at the place now.
    pub(super) fn hit(&self, name: &'static str) -> Option<Deed> {
        debug_assert!(NAMES.contains(&name), "{name} is not in the list");
        if self.active.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut set = self.set.lock();
        let point = set.get_mut(name)?;
        point.hits += 1;
        point.terms.next()
    }

    /// Gives a place its terms.
    pub(super) fn set(&self, name: &str, terms: &str) -> Result<(), OrderError> {
        let name = known(name)?;
        let parsed = Terms::parse(terms).map_err(|bad| OrderError::Terms(terms.to_owned(), bad))?;
        let mut set = self.set.lock();
        let point = Point {
            terms: parsed,
            hits: 0,
        };
        set.insert(name, point);
        self.active.store(set.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Reads a list of `name=terms`, separated by semicolons.
    pub(super) fn set_list(&self, list: &str) -> Result<(), OrderError> {
        for part in list.split(';').filter(|part| !part.is_empty()) {
            let (name, terms) = part.split_once('=').unwrap_or((part, ""));
            self.set(name, terms)?;
        }
        Ok(())
    }

    /// Takes a place's terms away.
    pub(super) fn clear(&self, name: &str) -> Result<(), OrderError> {
        let name = known(name)?;
        let mut set = self.set.lock();
        let removed = set.remove(name);
        self.active.store(set.len(), Ordering::Relaxed);
        removed
            .map(drop)
            .ok_or_else(|| OrderError::Disabled(name.to_owned()))
    }

    /// A place's terms and how often it was hit since it has them.
    pub(super) fn get(&self, name: &str) -> Result<(String, u64), OrderError> {
        let name = known(name)?;
        let set = self.set.lock();
        let point = set
            .get(name)
            .ok_or_else(|| OrderError::Disabled(name.to_owned()))?;
        Ok((point.terms.text().to_owned(), point.hits))
    }

    /// `name=terms` for every place, a line each.
    pub(super) fn list(&self) -> String {
        let set = self.set.lock();
        let line = |name: &&str| {
            let terms = set.get(*name).map_or("", |point| point.terms.text());
            format!("{name}={terms}\n")
        };
        NAMES.iter().map(line).collect()
    }
}

fn known(name: &str) -> Result<&'static str, OrderError> {
    let found = NAMES.iter().find(|known| **known == name);
    found
        .copied()
        .ok_or_else(|| OrderError::Unknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_does_what_it_was_told_until_it_is_told_no_more() {
        let points = Points::default();
        assert_eq!(points.hit("beforeCommit"), None);
        points
            .set_list("beforeCommit=1*off->return(\"x\");raftBeforeSave=panic")
            .unwrap();
        assert_eq!(points.hit("beforeCommit"), None);
        assert_eq!(
            points.hit("beforeCommit"),
            Some(Deed::Return("x".to_owned()))
        );
        assert_eq!(points.get("beforeCommit").unwrap().1, 2);
        assert_eq!(points.hit("afterCommit"), None);
        points.clear("beforeCommit").unwrap();
        assert_eq!(points.hit("beforeCommit"), None);
        assert!(points.list().contains("\nraftBeforeSave=panic\n"));
        assert!(points.list().contains("\nbeforeCommit=\n"));
    }

    #[test]
    fn orders_that_cannot_be_followed_are_refused() {
        let points = Points::default();
        assert!(matches!(
            points.set("noSuchPlace", "panic"),
            Err(OrderError::Unknown(_))
        ));
        assert!(matches!(
            points.set("beforeCommit", "dance"),
            Err(OrderError::Terms(..))
        ));
        assert!(matches!(
            points.clear("beforeCommit"),
            Err(OrderError::Disabled(_))
        ));
        let mut sorted = NAMES.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), NAMES.len());
    }
}

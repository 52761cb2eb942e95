//! What became of leases since the leader last looked. Kept beside the replicated leases and filled as
//! entries are applied, so that a lease which is revoked and granted again is seen as two.

use crate::limits;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A lease was granted for so many seconds.
    Granted {
        /// Its id.
        id: i64,
        /// What was granted, in seconds.
        ttl_s: i64,
    },
    /// The lease with that id is gone.
    Gone(i64),
}

/// Changes in their order. Nothing is kept until somebody asks for it, and nothing after more has
/// come than is kept.
#[derive(Debug, Default)]
pub struct News(Option<Vec<Change>>);

impl News {
    /// Begins anew, from now on.
    pub fn begin(&mut self) {
        self.0 = Some(Vec::new());
    }

    /// Keeps nothing any more.
    pub fn end(&mut self) {
        self.0 = None;
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        if let Some(changes) = &mut self.0 {
            if changes.len() < limits::LEASE_NEWS_MAX {
                changes.push(change);
            } else {
                self.end();
            }
        }
    }

    /// Takes what has come; none if not everything is here.
    pub fn take(&mut self) -> Option<Vec<Change>> {
        self.0.as_mut().map(std::mem::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_not_given() {
        let mut news = News::default();
        news.push(Change::Gone(1));
        assert_eq!(news.take(), None);
        news.begin();
        assert_eq!(news.take(), Some(vec![]));
        let granted = Change::Granted { id: 1, ttl_s: 9 };
        news.push(granted);
        news.push(Change::Gone(1));
        assert_eq!(news.take(), Some(vec![granted, Change::Gone(1)]));
        (0..=limits::LEASE_NEWS_MAX).for_each(|_| news.push(granted));
        assert_eq!(news.take(), None);
        news.begin();
        news.push(granted);
        assert_eq!(news.take(), Some(vec![granted]));
    }
}

//! What bounds a write: the end of the leader's term, and a time. Nothing is sent after either.
//!
//! Somebody else may lead as soon as the term is over, so a write must not outlive it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// One request that takes longer has failed.
pub(super) const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a write was not waited for. It may have been executed all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Cut {
    /// Not to be tried again: that is up to the next leader.
    #[error("the leader's term ended")]
    TermEnded,
    /// To be tried again.
    #[error("no answer in time")]
    TooLate,
}

/// The leader's term, as its writes see it.
#[derive(Clone, Debug)]
pub(super) struct Term(CancellationToken);

impl Term {
    /// A term that lasts until `end`.
    pub(super) fn until(end: CancellationToken) -> Self {
        Self(end)
    }

    /// Whether nothing may be written any more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.is_cancelled()
    }

    /// What `write` comes to, within the term and `time_max`. After the term it is not even begun.
    pub(super) async fn bound<T>(
        &self,
        time_max: Duration,
        write: impl Future<Output = T>,
    ) -> Result<T, Cut> {
        // The end first: a write must not be begun because both are ready.
        tokio::select! { biased;
            () = self.0.cancelled() => Err(Cut::TermEnded),
            outcome = tokio::time::timeout(time_max, write) => outcome.map_err(|_| Cut::TooLate),
        }
    }
}

//! Says once that this member cannot go on, and why.

use std::sync::Arc;

use base::report;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Fatal;

/// Raised by whoever meets the first fatal error, watched by whoever ends the process.
#[derive(Clone, Debug, Default)]
pub struct FatalSignal {
    token: CancellationToken,
    first: Arc<Mutex<Option<Arc<Fatal>>>>,
}

impl FatalSignal {
    /// Keeps the first error and wakes the watchers.
    pub(super) fn raise(&self, fatal: Fatal) {
        let mut first = self.first.lock();
        if first.is_none() {
            tracing::error!(error = %report(&fatal), "this member cannot go on");
            *first = Some(Arc::new(fatal));
        }
        drop(first);
        self.token.cancel();
    }

    /// The error, if one was raised.
    pub fn get(&self) -> Option<Arc<Fatal>> {
        self.first.lock().clone()
    }

    /// Waits for the error. Never returns on a member that goes on.
    // Cancel-safe: it only waits on a token.
    pub async fn wait(&self) -> Arc<Fatal> {
        self.token.cancelled().await;
        match self.get() {
            Some(fatal) => fatal,
            // The error is put in place before the token is cancelled.
            None => Arc::new(Fatal {
                step: "consensus",
                source: anyhow::anyhow!("unknown"),
            }),
        }
    }
}

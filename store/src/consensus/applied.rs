//! Tells who waits for an index that this member has applied it.
//!
//! Waiters are kept by index, so that a step wakes only those it concerns. Their number is bounded by
//! the requests that the doors let in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The member ends; the index will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

const SWEEP_FROM: usize = 64;

/// The applied index and those who wait for a greater one.
#[derive(Debug, Default)]
pub(super) struct Applied {
    index: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_index: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
    closed: bool,
}

impl Applied {
    pub(super) fn index(&self) -> u64 {
        self.index.load(Ordering::Acquire)
    }

    pub(super) fn advance(&self, index: u64) {
        // Under the lock, so that no waiter looks before and registers after.
        let mut waiting = self.waiting.lock();
        self.index.store(index, Ordering::Release);
        while let Some(first) = waiting
            .by_index
            .first_entry()
            .filter(|first| *first.key() <= index)
        {
            for waiter in first.remove() {
                let _ = waiter.send(());
            }
        }
    }

    /// Waits until `index` is applied.
    // Cancel-safe: a dropped wait leaves only a closed sender behind.
    pub(super) async fn wait(&self, index: u64) -> Result<(), Closed> {
        if self.index() >= index {
            return Ok(());
        }
        let rx = {
            let mut waiting = self.waiting.lock();
            if self.index() >= index {
                return Ok(());
            }
            if waiting.closed {
                return Err(Closed);
            }
            let (tx, rx) = oneshot::channel();
            let waiters = waiting.by_index.entry(index).or_default();
            // Those who gave up would stay for ever if the index never came.
            if waiters.len() >= SWEEP_FROM {
                waiters.retain(|waiter| !waiter.is_closed());
            }
            waiters.push(tx);
            rx
        };
        rx.await.map_err(|_| Closed)
    }

    /// Lets everybody go; no index will be applied any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.by_index.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Applied, Closed};

    #[tokio::test]
    async fn wakes_those_whose_index_came() {
        let applied = Arc::new(Applied::default());
        applied.advance(3);
        assert_eq!(applied.wait(3).await, Ok(()));
        let (two, ten) = tokio::join!(
            async {
                let wait = applied.wait(5);
                tokio::pin!(wait);
                assert!(futures::poll!(&mut wait).is_pending());
                applied.advance(7);
                wait.await
            },
            async {
                let wait = applied.wait(10);
                tokio::pin!(wait);
                assert!(futures::poll!(&mut wait).is_pending());
                applied.close();
                wait.await
            }
        );
        assert_eq!((two, ten), (Ok(()), Err(Closed)));
        assert_eq!(applied.wait(7).await, Ok(()));
        assert_eq!(applied.wait(11).await, Err(Closed));
    }
}

//! Owns the tasks of one part: each has a name, an owner and an end.
//!
//! A part makes one [`Tasks`], spawns its loops through it, and at its own end calls
//! [`Tasks::shutdown`], which cancels, waits a bounded time and names whoever is late.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the owner does when a task returns an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Log it; the part goes on without the task.
    Log,
    /// Log it and cancel every task of the owner: the part cannot go on.
    Stop,
}

/// A group of named tasks with one cancellation.
#[derive(Clone, Debug)]
pub struct Tasks {
    name: Arc<str>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// A new group; `name` appears in the logs.
    pub fn new(name: &str) -> Self {
        Self::child_of(name, &CancellationToken::new())
    }

    /// A group that is also cancelled when `parent` is.
    pub fn child_of(name: &str, parent: &CancellationToken) -> Self {
        Self {
            name: name.into(),
            stop: parent.child_token(),
            tracker: TaskTracker::new(),
        }
    }

    /// Cancelled when the group is to end. Every loop must watch it.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs `task` under `name` until it returns. A task that must end early watches [`Tasks::stop`].
    pub fn spawn<F, E>(&self, name: &'static str, on_error: OnError, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let group = self.name.clone();
        let stop = self.stop.clone();
        self.spawn_inner(async move {
            // Dropped while unwinding too, so that a panic in a vital task stops its part.
            let mut guard = PanicGuard {
                armed: on_error == OnError::Stop,
                stop: &stop,
            };
            let result = task.await;
            guard.armed = false;
            if let Err(error) = result {
                tracing::error!(group = %group, task = name, error = %error, "task failed");
                if on_error == OnError::Stop {
                    stop.cancel();
                }
            }
        });
    }

    /// Runs a task that cannot fail.
    pub fn spawn_infallible<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(name, OnError::Stop, async move {
            task.await;
            Ok::<(), std::convert::Infallible>(())
        });
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where tasks are spawned"
    )]
    fn spawn_inner(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.tracker.track_future(task));
    }

    /// Cancels the group and waits for its tasks, at most `timeout`. False if some are still there.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        let done = tokio::time::timeout(timeout, self.tracker.wait())
            .await
            .is_ok();
        if !done {
            tracing::warn!(group = %self.name, late = self.tracker.len(), "tasks still run after the shutdown timeout");
        }
        done
    }
}

struct PanicGuard<'a> {
    armed: bool,
    stop: &'a CancellationToken,
}

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if self.armed && std::thread::panicking() {
            self.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{OnError, Tasks};

    #[tokio::test]
    async fn a_failed_vital_task_stops_the_group() {
        let tasks = Tasks::new("test");
        tasks.spawn("fails", OnError::Stop, async { Err::<(), _>("boom") });
        tasks.stop().cancelled().await;
        assert!(tasks.shutdown(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_panic_in_a_vital_task_stops_the_group() {
        let tasks = Tasks::new("test");
        tasks.spawn_infallible("panics", async { panic!("planted") });
        tasks.stop().cancelled().await;
        assert!(tasks.shutdown(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn shutdown_reports_who_is_late() {
        let tasks = Tasks::new("test");
        tasks.spawn_infallible("late", std::future::pending());
        assert!(!tasks.shutdown(Duration::from_millis(10)).await);
    }
}

//! The thread of the [`applier::Applier`], so that no write of the state machine stalls openraft's core.

use tokio_util::sync::CancellationToken;

use super::applier::{self, Surroundings};
use super::jobs::Jobs;
use super::{AppliedState, Fatal, StateMachine};

/// The thread's owner. Dropping it ends the thread and waits: the state machine's files are closed
/// then, whoever still holds a [`Jobs`].
pub(super) struct ApplyThread {
    stop: CancellationToken,
    // None only while ending.
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for ApplyThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Starts the thread. Also gives what the machine holds, made durable.
pub(super) fn spawn(
    machine: Box<dyn StateMachine>,
    surroundings: Surroundings,
) -> Result<(Jobs, AppliedState, ApplyThread), Fatal> {
    let (jobs, state, applier) = applier::prepare(machine, surroundings)?;
    let stop = applier.stop.clone();
    let handle = std::thread::Builder::new()
        .name("raft-apply".to_owned())
        .spawn(move || applier.run())
        .map_err(Fatal::at("consensus::spawn_apply_thread"))?;
    let thread = Some(handle);
    Ok((jobs, state, ApplyThread { stop, thread }))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::sync::Notify;

    use super::*;
    use crate::consensus::applied::Applied;
    use crate::consensus::jobs::{Item, Job};
    use crate::consensus::{Committed, FatalSignal, LogId, Payload};

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Reports what it is asked to apply.
    struct Reporting(Sender<u64>);

    impl StateMachine for Reporting {
        fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }

        fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
            self.0.send(entry.log_id.index).unwrap();
            Ok(Bytes::new())
        }

        fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
            Ok(None)
        }

        fn checkpoint(&mut self, _dir: &Path) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }

        fn install(&mut self, _dir: PathBuf) -> Result<AppliedState, Fatal> {
            Ok(AppliedState::default())
        }
    }

    #[tokio::test]
    async fn nothing_is_applied_before_the_disk_has_it() {
        let (applied_tx, applied) = channel();
        let (asked_tx, asked) = channel();
        let (release, released) = channel();
        let surroundings = Surroundings {
            wait_durable: Box::new(move |index| {
                asked_tx.send(index).unwrap();
                released.recv().unwrap()
            }),
            applied: Arc::new(Applied::default()),
            fatal: FatalSignal::default(),
            flush_due: Arc::new(Notify::new()),
            flush_entries: 1000,
        };
        let fatal = surroundings.fatal.clone();
        let (jobs, _, _thread) = spawn(Box::new(Reporting(applied_tx)), surroundings).unwrap();
        let items = |indexes: std::ops::RangeInclusive<u64>| -> Vec<Item> {
            let entry = |index| Committed {
                log_id: LogId { term: 1, index },
                payload: Payload::Blank,
            };
            indexes
                .map(|index| Item {
                    entry: entry(index),
                    responder: None,
                })
                .collect()
        };
        let first = jobs.run(|done| Job::Apply {
            items: items(1..=3),
            done,
        });
        let check = async {
            // The gate is asked for the last one of a batch, and holds back the first.
            let asked =
                tokio::task::spawn_blocking(move || (asked.recv_timeout(PATIENCE).unwrap(), asked))
                    .await
                    .unwrap();
            assert_eq!(asked.0, 3);
            assert!(applied.try_recv().is_err());
            release.send(Ok(())).unwrap();
            asked.1
        };
        let (first, _asked) = tokio::join!(first, check);
        first.unwrap();
        assert_eq!(applied.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
        release.send(Err(io::Error::other("planted"))).unwrap();
        assert!(
            jobs.run(|done| Job::Apply {
                items: items(4..=4),
                done
            })
            .await
            .is_err()
        );
        assert!(applied.try_recv().is_err() && fatal.get().is_some());
    }
}

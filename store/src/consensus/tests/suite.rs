//! openraft's own suite for storages, on our log and the adapter of the state machine.
//!
//! Not here: its test that hands a snapshot from machine to machine, because ours travel as files
//! (`a_member_that_was_away_for_long_gets_a_snapshot` shows them), and those tests that begin a log behind a
//! hole, which ours refuses.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tokio::sync::Notify;

use crate::consensus::applied::Applied;
use crate::consensus::applier::Surroundings;
use crate::consensus::apply_thread::{self, ApplyThread};
use crate::consensus::log_store::LogStore;
use crate::consensus::state_machine::StateMachineAdapter;
use crate::consensus::types::TypeConfig;
use crate::consensus::{AppliedState, Committed, Fatal, FatalSignal, LogId, Payload, StateMachine};
use crate::log::{Log, Options};

/// Takes entries in any order, as the suite gives them.
#[derive(Default)]
struct Loose(AppliedState);

impl StateMachine for Loose {
    fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
        Ok(self.0.clone())
    }

    fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
        self.0.log_id = Some(entry.log_id);
        if let Payload::Membership { encoded, .. } = entry.payload {
            self.0.membership = Some(encoded);
        }
        Ok(Bytes::new())
    }

    fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
        Ok(self.0.log_id)
    }

    fn checkpoint(&mut self, _dir: &Path) -> Result<AppliedState, Fatal> {
        Ok(self.0.clone())
    }

    fn install(&mut self, _dir: PathBuf) -> Result<AppliedState, Fatal> {
        Ok(self.0.clone())
    }
}

/// Ends a store's threads.
struct Guard {
    log: Log,
    _thread: ApplyThread,
    _dir: tempfile::TempDir,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.log.close();
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachineAdapter, Guard> for Builder {
    async fn build(
        &self,
    ) -> Result<(Guard, LogStore, StateMachineAdapter), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            segment_bytes: 64 << 10,
            ..Options::new(dir.path().join("log"))
        };
        let log = Log::open(options).unwrap();
        let surroundings = Surroundings {
            // The suite applies what it never appended.
            wait_durable: Box::new(|_| Ok(())),
            applied: Arc::new(Applied::default()),
            fatal: FatalSignal::default(),
            flush_due: Arc::new(Notify::new()),
            flush_entries: 1000,
        };
        let (jobs, state, thread) =
            apply_thread::spawn(Box::new(Loose::default()), surroundings).unwrap();
        let adapter = StateMachineAdapter::new(jobs, &state).unwrap();
        Ok((
            Guard {
                log: log.clone(),
                _thread: thread,
                _dir: dir,
            },
            LogStore::new(log),
            adapter,
        ))
    }
}

type TestSuite = Suite<TypeConfig, LogStore, StateMachineAdapter, Builder, Guard>;

async fn check<F, Ran>(test: F)
where
    F: FnOnce(LogStore, StateMachineAdapter) -> Ran,
    Ran: Future<Output = Result<(), io::Error>>,
{
    let (_guard, store, machine) = Builder.build().await.unwrap();
    test(store, machine).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openraft_accepts_the_storage() {
    check(TestSuite::last_membership_in_log_initial).await;
    check(TestSuite::get_membership_initial).await;
    check(TestSuite::get_membership_from_empty_log_and_sm).await;
    check(TestSuite::get_initial_state_without_init).await;
    check(TestSuite::get_initial_state_membership_from_empty_log_and_sm).await;
    check(TestSuite::get_initial_state_membership_from_log_insm_is_smaller).await;
    check(TestSuite::get_initial_state_with_state).await;
    check(TestSuite::get_initial_state_last_log_gt_sm).await;
    check(TestSuite::get_initial_state_log_ids).await;
    check(TestSuite::save_vote).await;
    check(TestSuite::get_log_entries).await;
    check(TestSuite::limited_get_log_entries).await;
    check(TestSuite::leader_bounded_stream).await;
    check(TestSuite::entries_stream).await;
    check(TestSuite::try_get_log_entry).await;
    check(TestSuite::log_reader_reads_new_entries).await;
    check(TestSuite::initial_logs).await;
    check(TestSuite::get_log_state).await;
    check(TestSuite::get_log_id).await;
    check(TestSuite::last_id_in_log).await;
    check(TestSuite::last_applied_state).await;
    check(TestSuite::purge_logs_upto_0).await;
    check(TestSuite::purge_logs_upto_5).await;
    check(TestSuite::purge_logs_upto_20).await;
    check(TestSuite::delete_logs_after_11).await;
    check(TestSuite::delete_logs_after_5).await;
    check(TestSuite::delete_logs_after_0).await;
    check(TestSuite::delete_logs_after_none).await;
    check(TestSuite::append_to_log).await;
    check(TestSuite::snapshot_meta).await;
    check(TestSuite::snapshot_meta_optional).await;
    check(TestSuite::apply_single).await;
    check(TestSuite::apply_multiple).await;
}

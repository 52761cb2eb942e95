//! `--memory-mlock`: keeps the process's memory from being swapped out.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};

use super::start::StartError;

/// Locks what the process has and what it will have. Call it before memory is taken that matters.
pub(super) fn lock() -> Result<(), StartError> {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    mlockall(all).map_err(|error| {
        let why = match error {
            Errno::PERM | Errno::NOMEM | Errno::AGAIN => {
                "raise the limit on locked memory (LimitMEMLOCK=infinity, ulimit -l) or give CAP_IPC_LOCK"
            }
            _ => "the system cannot do it: start without it",
        };
        StartError::LockMemory {
            why,
            source: error.into(),
        }
    })?;
    tracing::info!("locked the memory of the process");
    Ok(())
}

//! Linearizable reads: before this member answers from its own state, it waits until that state
//! holds everything that was acknowledged anywhere before.

use std::time::Instant;

use crate::consensus::{Consensus, ReadError};

/// Waits until a local read sees everything acknowledged before the call. A read changes nothing, so
/// consensus tries again by itself while nobody leads; having found no leader until the deadline is
/// a timeout to the caller, as in etcd.
pub async fn linearize(consensus: &dyn Consensus, deadline: Instant) -> Result<u64, ReadError> {
    consensus.read_index(deadline).await.map_err(timed_out)
}

/// The same for other questions that are asked again until the deadline.
pub fn timed_out(error: ReadError) -> ReadError {
    match error {
        ReadError::NoLeader | ReadError::Timeout => ReadError::Timeout,
        ReadError::Stopped => ReadError::Stopped,
    }
}

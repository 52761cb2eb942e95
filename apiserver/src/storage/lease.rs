//! Leases for objects that end by themselves, such as events.
//!
//! One lease is shared by many keys, as upstream does, because a lease costs the store more than a
//! key: up to [`KEYS_MAX`] keys or [`REUSE_MAX`] of time, whichever is reached first.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Error, Etcd};

/// Keys that share one lease.
const KEYS_MAX: usize = 1000;
/// How long new keys may join a lease.
const REUSE_MAX: Duration = Duration::from_secs(60);

/// Hands out the current lease for a fixed time to live.
#[derive(Debug)]
pub struct SharedLease {
    etcd: Etcd,
    ttl: Duration,
    // An async mutex on purpose: while one caller asks the store for a lease, the others wait for
    // that lease instead of asking for one each.
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    id: i64,
    keys: usize,
    granted: Instant,
}

impl SharedLease {
    /// Leases that let a key live at least `ttl`.
    pub fn new(etcd: Etcd, ttl: Duration) -> Self {
        Self {
            etcd,
            ttl,
            current: Mutex::new(None),
        }
    }

    /// The lease for one more key.
    pub async fn id(&self) -> Result<i64, Error> {
        let mut current = self.current.lock().await;
        if let Some(lease) = current.as_mut()
            && lease.keys < KEYS_MAX
            && lease.granted.elapsed() < REUSE_MAX
        {
            lease.keys += 1;
            return Ok(lease.id);
        }
        // The last key that joins still lives for the whole time.
        let seconds = (self.ttl + REUSE_MAX).as_secs();
        let id = self
            .etcd
            .grant_lease(i64::try_from(seconds).unwrap_or(i64::MAX))
            .await?;
        *current = Some(Current {
            id,
            keys: 1,
            granted: Instant::now(),
        });
        Ok(id)
    }
}

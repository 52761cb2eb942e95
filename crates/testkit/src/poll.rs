//! Waits for a condition on the level, with a bound, instead of sleeping.

use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks until `condition` gives a value, at most `seconds`. An error holds the last status that
/// `condition` reported.
pub async fn poll<T>(
    seconds: u64,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match condition().await {
            Ok(value) => return Ok(value),
            Err(status) if Instant::now() > end => {
                anyhow::bail!("not within {seconds} s: {what}; last: {status}")
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// The same for a plain condition outside of async code. True if it came to hold.
pub fn poll_blocking(seconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    true
}

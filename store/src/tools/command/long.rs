//! Commands that run until they are told to end.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::failed;

/// Runs `work`, and tells it to end at SIGINT or SIGTERM. At the second one it is left as it is: what it
/// writes survives that.
pub(super) fn run<T, E: std::error::Error>(
    work: impl AsyncFnOnce(&CancellationToken) -> Result<T, E>,
) -> Result<T, (u8, String)> {
    // Connections are kept alive while the work writes to the disk.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = runtime.block_on(async {
        let told = CancellationToken::new();
        let (mut interrupt, mut terminate) = signals().map_err(failed)?;
        let work = work(&told);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! { biased;
                outcome = &mut work => return outcome.map_err(failed),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if told.is_cancelled() {
                return Err((1, "told to end twice: left as it was".to_owned()));
            }
            tracing::info!("told to end");
            told.cancel();
        }
    });
    // Nobody waits for names that are still being looked up.
    runtime.shutdown_background();
    outcome
}

type Signals = (tokio::signal::unix::Signal, tokio::signal::unix::Signal);

fn signals() -> io::Result<Signals> {
    Ok((
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ))
}

//! One direction of one connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::rules::{Link, Rules};

/// Read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks on their way; then no more is read, and the sender notices.
const CHUNKS_MAX: usize = 256;

/// Passes bytes on by the rules of `link` until either end closes. The end passes as bytes do.
pub(super) async fn pump(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    rules: watch::Receiver<Rules>,
    link: Link,
) {
    let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
    tokio::join!(
        take(read, chunks, rules.clone(), link),
        give(write, queue, rules, link),
    );
}

type Chunk = (Instant, Vec<u8>);

async fn take(
    mut read: OwnedReadHalf,
    chunks: mpsc::Sender<Chunk>,
    rules: watch::Receiver<Rules>,
    link: Link,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = tokio::select! { biased;
            // The other end has closed.
            () = chunks.closed() => return,
            count = read.read(&mut buffer) => count.unwrap_or(0),
        };
        let delay: Duration = rules.borrow().delay_of(link);
        let chunk = buffer.get(..count).unwrap_or_default().to_vec();
        if chunks.send((Instant::now() + delay, chunk)).await.is_err() || count == 0 {
            return;
        }
    }
}

async fn give(
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Chunk>,
    mut rules: watch::Receiver<Rules>,
    link: Link,
) {
    while let Some((at, chunk)) = queue.recv().await {
        sleep_until(at).await;
        if rules.wait_for(|rules| !rules.holds(link)).await.is_err() {
            return;
        }
        if chunk.is_empty() {
            let _ = write.shutdown().await;
            return;
        }
        if write.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

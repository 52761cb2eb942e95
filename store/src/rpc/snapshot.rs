//! The state as a stream of bytes that etcd's own tools take for a snapshot of etcd: a database file
//! and, at its end, its SHA-256.
//!
//! The rows are those of one moment. They are read twice, since a client is told from the start how
//! much is to come; in between nothing is kept. A client that reads slowly holds back the reading,
//! and one that goes away ends it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest;
use proto_etcd::etcdserverpb::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::context::Context;
use super::status::Error;
use crate::apply::View;
use crate::tools::export::{self, ExportError};

/// Bytes of the file in one message, as etcd's.
const CHUNK_BYTES: usize = 32 << 10;
/// Messages that wait for the client. When they are there, the reading waits.
const CHUNKS_WAITING: usize = 8;

type Message = Result<SnapshotResponse, Status>;

/// Begins a snapshot.
pub(super) async fn stream(context: &Arc<Context>) -> Result<ReceiverStream<Message>, Error> {
    let permit = context.snapshot_permit().await?;
    let (messages, received) = mpsc::channel(CHUNKS_WAITING);
    let view = context.view.clone();
    let times = context.metrics.measures.state.snapshots.clone();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let begun = Instant::now();
        let sent = send(&view, &messages);
        times.since(begun);
        if let Err(error) = sent {
            let report = base::report(&error).to_string();
            tracing::warn!(error = report, "failed to send the database snapshot");
            // The client may be the reason, and gone.
            let _ = messages.blocking_send(Err(Error::Internal(report).into()));
        }
    });
    Ok(ReceiverStream::new(received))
}

fn send(view: &View, messages: &mpsc::Sender<Message>) -> Result<(), ExportError> {
    let started = Instant::now();
    view.at_one_moment(|rows| {
        let shape = export::measure(rows)?;
        let total_bytes = shape.bytes();
        tracing::info!(total_bytes, "sending database snapshot to client");
        let chunks = Chunks {
            messages,
            version: view.storage_version(),
            buffer: Vec::with_capacity(CHUNK_BYTES),
            left: total_bytes,
            digest: digest::Context::new(&digest::SHA256),
        };
        let chunks = export::write(rows, shape, chunks)?;
        chunks.finish().map_err(bolt::WriteError::from)?;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            total_bytes,
            took_ms,
            "successfully sent database snapshot to client"
        );
        Ok(())
    })
}

/// Cuts the file into messages.
struct Chunks<'m> {
    messages: &'m mpsc::Sender<Message>,
    /// Of the file.
    version: String,
    buffer: Vec<u8>,
    /// Bytes of the file that are still to be sent.
    left: u64,
    digest: digest::Context,
}

impl Chunks<'_> {
    fn send(&mut self) -> io::Result<()> {
        let blob = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.digest.update(&blob);
        self.left = self.left.saturating_sub(blob.len() as u64);
        self.send_blob(blob)
    }

    fn send_blob(&self, blob: Vec<u8>) -> io::Result<()> {
        let message = SnapshotResponse {
            header: None,
            remaining_bytes: self.left,
            blob: blob.into(),
            version: self.version.clone(),
        };
        let sent = self.messages.blocking_send(Ok(message));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone"))
    }

    /// Sends what is left and the checksum.
    fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        let digest = self.digest.clone().finish();
        self.send_blob(digest.as_ref().to_vec())
    }
}

impl io::Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..now]);
        if self.buffer.len() == CHUNK_BYTES {
            self.send()?;
        }
        Ok(now)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

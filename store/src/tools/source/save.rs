//! A snapshot of the source as a file: what `etcdctl snapshot save` writes, checked.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use proto_etcd::etcdserverpb::SnapshotRequest;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::Status;

use super::{Source, SourceError};
use crate::tools::file::{self, FileError};

/// How long the source may take for the next part.
const PART_LIMIT: Duration = Duration::from_secs(60);

/// Tries of the whole.
const TRIES: usize = 3;

/// How often is told how far it is.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What came is not what was sent.
    #[error("the snapshot that came is damaged")]
    Damaged(#[from] FileError),
}

/// A snapshot that is on disk, whole and with the checksum that its member sent.
pub(crate) struct Saved {
    /// Of the file, with its checksum.
    pub(crate) bytes: u64,
    /// Of the database in it.
    pub(crate) sha256: Vec<u8>,
}

/// Writes a snapshot to `path`, and syncs it. A file that is there is replaced.
pub(crate) async fn save(source: &mut Source, path: &Path) -> Result<Saved, SaveError> {
    let mut tries = 0;
    let bytes = loop {
        tries += 1;
        match stream(source, path).await {
            Ok(bytes) => break bytes,
            Err(Failed::Write(source)) => {
                return Err(SaveError::Write {
                    path: path.into(),
                    source,
                });
            }
            Err(Failed::Asked(status)) => {
                if !source.turn(&status) || tries == TRIES {
                    return Err(source.failed("a snapshot", status).into());
                }
                tracing::warn!(error = status.message(), "begins the snapshot again");
            }
        }
    };
    let checksum = file::checksum(path)?;
    checksum.check()?;
    Ok(Saved {
        bytes,
        sha256: checksum.found,
    })
}

enum Failed {
    Write(io::Error),
    Asked(Status),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

async fn stream(source: &mut Source, path: &Path) -> Result<u64, Failed> {
    let line = source.line().await.map_err(Failed::Asked)?;
    let late = |_| Failed::Asked(Status::deadline_exceeded("the snapshot does not go on"));
    let mut client = MaintenanceClient::new(line.channel.clone());
    let asked = client.snapshot(line.request(SnapshotRequest {}));
    let asked = tokio::time::timeout(PART_LIMIT, asked)
        .await
        .map_err(late)?;
    let mut parts = asked.map_err(Failed::Asked)?.into_inner();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut bytes, mut remaining) = (0, u64::MAX);
    let mut told = Instant::now();
    loop {
        let part = tokio::time::timeout(PART_LIMIT, parts.message()).await;
        let Some(part) = part.map_err(late)?.map_err(Failed::Asked)? else {
            break;
        };
        file.write_all(&part.blob)?;
        bytes += part.blob.len() as u64;
        remaining = part.remaining_bytes;
        if told.elapsed() >= TELL_INTERVAL {
            told = Instant::now();
            tracing::info!(bytes, remaining_bytes = remaining, "receiving the snapshot");
        }
    }
    // The last part is the checksum, which a database never looks like: it is whole pages.
    if remaining != 0 || bytes % 512 != SHA256_OUTPUT_LEN as u64 {
        let words = "the snapshot ended before its end";
        return Err(Failed::Asked(Status::unavailable(words)));
    }
    file.into_inner()
        .map_err(|error| Failed::Write(error.into_error()))?
        .sync_all()?;
    Ok(bytes)
}

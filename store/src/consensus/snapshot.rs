//! Whole states on their way from one member to another: a copy is made only when a peer needs it,
//! sent file by file, and checked wholly before the receiver lets go of what it has.
//!
//! What the copy holds is read from the copy itself: by the time it is made, the state may be
//! ahead of what openraft asked to send.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::AppliedState;
use super::jobs::Jobs;
use super::peer_proto::SnapshotFile;
use super::types::{TypeConfig, Types};
use crate::disk::{FileSystem, Real};
use crate::failpoint;

/// Bytes in one message of a transfer.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Files in one snapshot; far more than a database of this kind has.
const FILES_MAX: usize = 65_536;

/// What openraft passes around as a snapshot.
pub enum SnapshotData<C: Types = TypeConfig> {
    /// This member's state, to be copied when it is needed.
    Lazy(Jobs<C>),
    /// Another member's state, complete and checked in a folder here.
    Staged(StagedDir),
}

/// A folder for one transfer. Dropped, it takes its content with it.
pub struct StagedDir {
    files: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl StagedDir {
    /// An empty folder of its own under `parent`.
    pub(super) fn new(parent: &Path, prefix: &str) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{prefix}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self::adopt(Arc::new(Real), path))
    }

    /// A folder that is there.
    pub fn adopt(files: Arc<dyn FileSystem>, path: PathBuf) -> Self {
        Self { files, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        // Installing moves the folder away. What cannot be removed now is removed at the next start.
        match self.files.remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(error = %error, path = %self.path.display(), "cannot remove a snapshot folder");
            }
            _ => {}
        }
    }
}

/// Removes what transfers left behind when the process ended. Called before any transfer starts.
pub(super) fn clean_staging(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("in-") || name.starts_with("out-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// A copy of the state, ready to be sent.
pub(super) struct Outgoing {
    dir: StagedDir,
    pub(super) state: AppliedState,
    pub(super) files: Vec<SnapshotFile>,
}

impl Outgoing {
    /// Copies the state on the apply thread and lists the copy's files with their checksums.
    pub(super) async fn make(jobs: &Jobs, staging: &Path) -> io::Result<Self> {
        let dir = StagedDir::new(staging, "out")?;
        let path = dir.path().to_owned();
        let state = jobs.checkpoint(path).await?;
        let path = dir.path().to_owned();
        let files = tokio::task::spawn_blocking(move || list_files(&path))
            .await
            .map_err(io::Error::other)??;
        Ok(Self { dir, state, files })
    }

    /// The files' bytes one after another. Blocks; to be called by [`tokio::task::spawn_blocking`].
    pub(super) fn read_into(&self, mut send: impl FnMut(Bytes) -> bool) -> io::Result<()> {
        for file in &self.files {
            let mut from = File::open(self.dir.path().join(&file.name))?;
            let mut left = file.size;
            while left > 0 {
                let len =
                    usize::try_from(left.min(CHUNK_BYTES as u64)).map_err(io::Error::other)?;
                let mut chunk = vec![0; len];
                from.read_exact(&mut chunk)?;
                left -= len as u64;
                if !send(chunk.into()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn list_files(dir: &Path) -> io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| io::Error::other("a snapshot file has no plain name"))?;
        check_name(&name)?;
        let mut from = File::open(entry.path())?;
        if !from.metadata()?.is_file() {
            return Err(io::Error::other(format!(
                "{name} in a snapshot is not a file"
            )));
        }
        let (mut size, mut crc32c) = (0_u64, 0_u32);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let len = from.read(&mut chunk)?;
            if len == 0 {
                break;
            }
            size += len as u64;
            crc32c = crc32c::crc32c_append(crc32c, &chunk[..len]);
        }
        files.push(SnapshotFile { name, size, crc32c });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// A name from a peer must not lead out of the folder.
fn check_name(name: &str) -> io::Result<()> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    match plain && !name.is_empty() && !name.starts_with('.') && name.len() <= 255 {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("bad file name in a snapshot: {name:?}"),
        )),
    }
}

/// Takes a transfer's bytes and puts them into files, checking each. Blocks.
pub(super) struct Incoming {
    dir: StagedDir,
    files: std::vec::IntoIter<SnapshotFile>,
    current: Option<(SnapshotFile, File, u64, u32)>,
}

impl Incoming {
    pub(super) fn new(staging: &Path, files: Vec<SnapshotFile>) -> io::Result<Self> {
        if files.len() > FILES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "too many files in a snapshot",
            ));
        }
        files.iter().try_for_each(|file| check_name(&file.name))?;
        let mut incoming = Self {
            dir: StagedDir::new(staging, "in")?,
            files: files.into_iter(),
            current: None,
        };
        incoming.next_file()?;
        Ok(incoming)
    }

    pub(super) fn write(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let Some((file, to, written, crc)) = &mut self.current else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "more bytes than the snapshot announced",
                ));
            };
            let left = usize::try_from(file.size - *written).unwrap_or(usize::MAX);
            let (now, later) = data.split_at(left.min(data.len()));
            to.write_all(now)?;
            *crc = crc32c::crc32c_append(*crc, now);
            *written += now.len() as u64;
            data = later;
            self.next_file()?;
        }
        Ok(())
    }

    /// Closes files that are complete and opens the next one that is not.
    fn next_file(&mut self) -> io::Result<()> {
        loop {
            match self.current.take() {
                Some(current) if current.2 < current.0.size => {
                    self.current = Some(current);
                    return Ok(());
                }
                Some((file, to, _, crc)) => {
                    if crc != file.crc32c {
                        let text = format!("{} was damaged on its way", file.name);
                        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                    }
                    to.sync_all()?;
                }
                None => {}
            }
            let Some(file) = self.files.next() else {
                return Ok(());
            };
            let to = File::options()
                .write(true)
                .create_new(true)
                .open(self.dir.path().join(&file.name))?;
            self.current = Some((file, to, 0, 0));
        }
    }

    /// The folder, if everything announced is there and durable.
    pub(super) fn finish(self) -> io::Result<StagedDir> {
        if let Some((file, ..)) = &self.current {
            let text = format!("the snapshot ended within {}", file.name);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        failpoint::hit("raftBeforeSaveSnap")?;
        File::open(self.dir.path())?.sync_all()?;
        failpoint::hit("raftAfterSaveSnap")?;
        Ok(self.dir)
    }
}

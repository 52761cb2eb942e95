//! What a backup holds, as its `MANIFEST` says.
//!
//! The last file of a base may hold more than is said here: it is written to all the time, and this
//! only when a run or a file ends.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BackupError, access};
use crate::failpoint;

/// The format that this program writes. A reader refuses a greater one.
const FORMAT: u32 = 1;

/// The file's name.
pub(super) const NAME: &str = "MANIFEST";

/// No manifest comes near it: a file is some hundred bytes here, and holds many megabytes.
const BYTES_MAX: u64 = 64 << 20;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(super) format: u32,
    pub(crate) cluster_id: u64,
    /// In the order in which they were taken. Never empty on disk.
    pub(crate) bases: Vec<Base>,
}

/// A snapshot, and the changes after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// Never used twice in a folder.
    pub(crate) number: u64,
    pub(crate) file: String,
    /// When it was taken, in UTC.
    pub(crate) taken: String,
    pub(crate) bytes: u64,
    /// Of the database in the file, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) revision: i64,
    /// How often users and roles had been changed: they are in bases alone.
    pub(crate) auth_revision: u64,
    /// In order.
    pub(crate) segments: Vec<Segment>,
}

/// A file of changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) file: String,
    pub(crate) first_revision: i64,
    /// The last revision in it; the one before the first if there is none.
    pub(crate) last_revision: i64,
    /// So many bytes are good. The last file of a base may have more.
    pub(crate) bytes: u64,
}

impl Base {
    /// The last revision that is known to be held.
    pub(crate) fn last_revision(&self) -> i64 {
        let last = self.segments.last();
        last.map_or(self.revision, |segment| segment.last_revision)
    }
}

impl Manifest {
    pub(super) fn new(cluster_id: u64) -> Self {
        Self {
            format: FORMAT,
            cluster_id,
            bases: Vec::new(),
        }
    }

    /// Reads the manifest of a backup; none where there is no such file.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>, BackupError> {
        let path = dir.join(NAME);
        let damaged = |fault: String| BackupError::Manifest {
            path: path.clone(),
            fault,
        };
        let read = || -> io::Result<Option<Vec<u8>>> {
            if std::fs::metadata(&path)?.len() > BYTES_MAX {
                return Ok(None);
            }
            std::fs::read(&path).map(Some)
        };
        let text = match read() {
            Ok(Some(text)) => text,
            Ok(None) => return Err(damaged("it is too large".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(access(&path, "read")(error)),
        };
        let body = body(&text).ok_or_else(|| damaged("its checksum differs".into()))?;
        let manifest: Self =
            serde_json::from_slice(body).map_err(|error| damaged(error.to_string()))?;
        match manifest.fault() {
            Some(fault) => Err(damaged(fault)),
            None => Ok(Some(manifest)),
        }
    }

    /// What is wrong with it, though it can be read.
    fn fault(&self) -> Option<String> {
        if self.format > FORMAT {
            let found = self.format;
            return Some(format!(
                "it has format {found}, this program reads up to {FORMAT}"
            ));
        }
        let segments = self.bases.iter().flat_map(|base| &base.segments);
        let files = self.bases.iter().map(|base| &base.file);
        let mut files = files.chain(segments.map(|segment| &segment.file));
        // Whatever it names lies in the folder.
        let stray = files.find(|file| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
            file.is_empty() || file.starts_with('.') || !file.chars().all(is_plain)
        });
        if let Some(stray) = stray {
            return Some(format!("it names {stray:?}"));
        }
        let numbers = self.bases.iter().map(|base| base.number);
        match numbers.is_sorted() && !self.bases.is_empty() {
            true => None,
            false => Some("its bases are out of order".into()),
        }
    }

    /// Replaces the manifest of a backup, and syncs it.
    pub(super) fn store(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(NAME);
        let temporary = dir.join("MANIFEST.tmp");
        let write = || -> io::Result<()> {
            let body = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
            let mut file = File::create(&temporary)?;
            writeln!(file, "{:08x}", crc32c::crc32c(&body))?;
            file.write_all(&body)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(dir)?.sync_all()?;
            failpoint::hit("backup::manifest_written")
        };
        write().map_err(access(path, "write"))
    }

    /// A base's number that was never used.
    pub(super) fn next_number(&self) -> u64 {
        self.bases.last().map_or(1, |base| base.number + 1)
    }

    /// What is held, in words.
    pub(super) fn held(&self) -> String {
        let spans = self.bases.iter().map(|base| {
            let (first, last) = (base.revision, base.last_revision());
            format!("{first} to {last} (base {})", base.number)
        });
        spans.collect::<Vec<_>>().join(", ")
    }
}

/// What stands behind the checksum, if that fits.
fn body(text: &[u8]) -> Option<&[u8]> {
    let (checksum, body) = text.split_at_checked(8)?;
    let body = body.strip_prefix(b"\n")?;
    let checksum = std::str::from_utf8(checksum).ok()?;
    (u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(body)).then_some(body)
}

/// Where a file of the backup is.
pub(super) fn path(dir: &Path, file: &str) -> PathBuf {
    dir.join(file)
}

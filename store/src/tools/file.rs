//! A snapshot file: a database, and behind it its SHA-256 if it came from a member.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use bolt::Database;

const READ_BYTES: usize = 1 << 20;

/// Why a file is no snapshot to restore from. The words are etcd's where it has them.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The file cannot be read.
    #[error("{action} {}", path.display())]
    Access {
        /// Which file.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends without a checksum.
    #[error("snapshot missing hash but --skip-hash-check=false")]
    NoHash,
    /// It is not what its member sent.
    #[error("expected sha256 {expected}, got {found}")]
    OtherHash {
        /// What the member sent, as Go prints bytes.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// It is no database.
    #[error(transparent)]
    Database(#[from] bolt::Error),
}

/// Opens a database, with a checksum behind it or without.
pub(crate) fn open(path: &Path) -> Result<Database<File>, FileError> {
    let file = File::open(path).map_err(access(path, "open"))?;
    Ok(Database::open(file)?)
}

/// The checksum of a file's database, and the one that stands behind it, if any.
pub(super) struct Checksum {
    pub(super) found: Vec<u8>,
    expected: Option<Vec<u8>>,
}

impl Checksum {
    /// Refuses a file that is not what its member sent.
    pub(super) fn check(&self) -> Result<(), FileError> {
        match &self.expected {
            None => Err(FileError::NoHash),
            Some(expected) if *expected == self.found => Ok(()),
            Some(expected) => Err(FileError::OtherHash {
                expected: as_go(expected),
                found: as_go(&self.found),
            }),
        }
    }
}

/// Reads the whole file.
pub(super) fn checksum(path: &Path) -> Result<Checksum, FileError> {
    let mut file = File::open(path).map_err(access(path, "open"))?;
    let mut read = || -> io::Result<Checksum> {
        let size = file.metadata()?.len();
        // etcd's own rule: a database is whole disk sectors.
        let has_checksum = size % 512 == SHA256_OUTPUT_LEN as u64;
        let database_bytes = match has_checksum {
            true => size - SHA256_OUTPUT_LEN as u64,
            false => size,
        };
        let mut context = Context::new(&SHA256);
        let mut database = (&mut file).take(database_bytes);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match database.read(&mut buffer)? {
                0 => break,
                len => context.update(&buffer[..len]),
            }
        }
        let mut rest = Vec::new();
        // A file that grows meanwhile must not fill the memory.
        (&mut file)
            .take(SHA256_OUTPUT_LEN as u64)
            .read_to_end(&mut rest)?;
        Ok(Checksum {
            found: context.finish().as_ref().to_vec(),
            expected: has_checksum.then_some(rest),
        })
    };
    read().map_err(access(path, "read"))
}

fn as_go(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    format!("[{}]", numbers.join(" "))
}

fn access(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_path_buf();
    move |source| FileError::Access {
        path,
        action,
        source,
    }
}

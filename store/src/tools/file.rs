//! A snapshot file: a database, and behind it its SHA-256 if it came from a member.

use std::fs::File;
use std::io::{self, Read, Seek};
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

/// Compares the file with the checksum at its end.
pub(crate) fn check_hash(path: &Path) -> Result<(), FileError> {
    let mut file = File::open(path).map_err(access(path, "open"))?;
    let size = file.metadata().map_err(access(path, "stat"))?.len();
    // etcd's own rule: a database is whole disk sectors.
    if size % 512 != SHA256_OUTPUT_LEN as u64 {
        return Err(FileError::NoHash);
    }
    let mut read = || -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut expected = Vec::new();
        file.seek(io::SeekFrom::End(-(SHA256_OUTPUT_LEN as i64)))?;
        file.read_to_end(&mut expected)?;
        file.rewind()?;
        let mut context = Context::new(&SHA256);
        let mut left = (&mut file).take(size - SHA256_OUTPUT_LEN as u64);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match left.read(&mut buffer)? {
                0 => break,
                len => context.update(&buffer[..len]),
            }
        }
        Ok((expected, context.finish().as_ref().to_vec()))
    };
    let (expected, found) = read().map_err(access(path, "read"))?;
    match expected == found {
        true => Ok(()),
        false => Err(FileError::OtherHash {
            expected: as_go(&expected),
            found: as_go(&found),
        }),
    }
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

//! `dump`: a stopped member's log, a line an entry, as JSON: its term, its index, its type and what it
//! says. A command is shown as the bytes of etcd's `InternalRaftRequest` and the field that it sets.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::folder::{self, FolderError};
use super::verify::VerifyError;
use crate::consensus::{EntryContent, entry_content};
use crate::log::{Log, Options};

const READ_BYTES: usize = 4 << 20;

/// One line.
#[derive(Serialize)]
struct Line {
    term: u64,
    index: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
}

/// Why the log could not be printed to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum DumpError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// Whoever reads the lines.
    #[error("write the lines")]
    Write(#[from] std::io::Error),
}

/// Prints every entry that the log still has.
pub(crate) fn dump(
    dir: &Path,
    wal_dir: Option<&Path>,
    patience: Option<Duration>,
    out: &mut dyn Write,
) -> Result<(), DumpError> {
    let folder = folder::open(dir, wal_dir, patience)?;
    let log = Log::open(Options::new(folder.dir.log().to_owned())).map_err(VerifyError::Log)?;
    let printed = print(&log, out);
    log.close();
    printed
}

fn print(log: &Log, out: &mut dyn Write) -> Result<(), DumpError> {
    let ends = log.view();
    let mut next = ends.purged.map_or(0, |purged| purged.index) + 1;
    let end = ends.last.map_or(0, |last| last.index) + 1;
    while next < end {
        let fault = move |source| VerifyError::Entry {
            index: next,
            source,
        };
        let entries = log.read(next, end, READ_BYTES).map_err(fault)?;
        if entries.is_empty() {
            return Err(fault(std::io::ErrorKind::UnexpectedEof.into()).into());
        }
        for entry in entries {
            let log_id = entry.log_id;
            let (kind, data) = match entry_content(&entry).map_err(fault)? {
                EntryContent::Blank => ("blank", String::new()),
                EntryContent::Command(bytes) => ("command", STANDARD.encode(bytes)),
                EntryContent::Members(members) => ("members", members),
            };
            let line = Line {
                term: log_id.term,
                index: log_id.index,
                kind,
                data,
            };
            serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            next = log_id.index + 1;
        }
    }
    Ok(out.flush()?)
}

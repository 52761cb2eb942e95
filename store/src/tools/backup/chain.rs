//! A walk over the changes after a base, checked on the way.

use std::ops::ControlFlow;
use std::path::Path;

use super::manifest::{self, Base, Manifest};
use super::segment::{Block, Blocks, Header, Next};
use super::{BackupError, access};

/// Where a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// The last revision that is good.
    pub(super) last_revision: i64,
    /// Where the last file's good part ends; 0 if there is no file.
    pub(super) good_bytes: u64,
    /// Bytes behind it that were not finished.
    pub(super) torn_bytes: u64,
}

/// Calls `visit` for every block after a base, until it breaks off. What the manifest says is there must
/// be there; only behind that may the last file end in something unfinished.
pub(super) fn walk<E: From<BackupError>>(
    dir: &Path,
    manifest: &Manifest,
    base: &Base,
    mut visit: impl FnMut(Block) -> Result<ControlFlow<()>, E>,
) -> Result<Walked, E> {
    let mut walked = Walked {
        last_revision: base.revision,
        good_bytes: 0,
        torn_bytes: 0,
    };
    let count = base.segments.len();
    for (number, segment) in base.segments.iter().enumerate() {
        let path = manifest::path(dir, &segment.file);
        let last = walked.last_revision;
        let damaged = |offset, fault, last| BackupError::Damaged {
            path: path.clone(),
            offset,
            fault,
            first: base.revision,
            last,
        };
        if segment.first_revision != last.saturating_add(1) {
            return Err(damaged(0, "it does not follow the file before it", last).into());
        }
        let header = Header {
            cluster_id: manifest.cluster_id,
            base: base.number,
            first_revision: segment.first_revision,
        };
        let opened = match Blocks::open(&path, header) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(damaged(0, "it is missing", last).into());
            }
            opened => opened.map_err(access(&path, "read"))?,
        };
        let mut blocks = opened.map_err(|fault| damaged(0, fault, last))?;
        loop {
            let offset = blocks.offset;
            let next = blocks.next().map_err(access(&path, "read"))?;
            let last = walked.last_revision;
            let block = match next {
                Next::Block(block) => block,
                Next::Damaged(fault) => return Err(damaged(offset, fault, last).into()),
                Next::End | Next::Torn(_) if offset < segment.bytes => {
                    return Err(damaged(offset, "it is cut short", last).into());
                }
                Next::Torn(_) if number + 1 < count => {
                    return Err(damaged(offset, "something behind its end", last).into());
                }
                Next::Torn(bytes) => {
                    walked.torn_bytes = bytes;
                    break;
                }
                Next::End => break,
            };
            for changes in &block.changes {
                if changes.revision != walked.last_revision.saturating_add(1) {
                    let fault = "a revision is missing";
                    return Err(damaged(offset, fault, walked.last_revision).into());
                }
                walked.last_revision = changes.revision;
            }
            walked.good_bytes = blocks.offset;
            if visit(block)?.is_break() {
                return Ok(walked);
            }
        }
        walked.good_bytes = blocks.offset;
    }
    Ok(walked)
}

//! `backup list`: what a backup holds, by its manifest and the end of its last file.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;

use super::super::print::Format;
use super::{BackupError, chain, place};

/// A line for each base, or all of it as JSON.
pub(crate) fn list(dir: &Path, format: Format) -> Result<String, BackupError> {
    let mut manifest = place::read(dir)?;
    let newest = manifest.bases.last().cloned();
    if let Some(newest) = newest {
        // A run that goes on, or that died, has written more than it has noted.
        let walked = chain::walk(dir, &manifest, &newest, |_| {
            Ok::<_, BackupError>(ControlFlow::Continue(()))
        });
        let last = manifest.bases.last_mut();
        if let (Ok(walked), Some(segment)) = (walked, last.and_then(|b| b.segments.last_mut())) {
            segment.last_revision = walked.last_revision;
            segment.bytes = walked.good_bytes;
        }
    }
    if format == Format::Json {
        let text = serde_json::to_string(&manifest).unwrap_or_default();
        return Ok(format!("{text}\n"));
    }
    let mut text = String::new();
    for base in &manifest.bases {
        let bytes: u64 = base.segments.iter().map(|segment| segment.bytes).sum();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "base {}, taken {}: revisions {} to {}, {} bytes and {bytes} bytes of changes in {} files",
            base.number,
            base.taken,
            base.revision,
            base.last_revision(),
            base.bytes,
            base.segments.len(),
        );
    }
    Ok(text)
}

//! `backup verify`: reads all of a backup.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;

use super::super::{file, status};
use super::manifest::{self, Base, Manifest};
use super::{BackupError, chain, place};

/// A line for each base. Anything that is damaged makes it fail, once all has been read.
pub(crate) fn verify(dir: &Path) -> Result<String, BackupError> {
    let manifest = place::read(dir)?;
    let (mut text, mut faults) = (String::new(), Vec::new());
    for base in &manifest.bases {
        match verify_base(dir, &manifest, base) {
            Ok(line) => {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "base {}: {line}", base.number);
            }
            Err(error) => faults.push(base::report(&error).to_string()),
        }
    }
    match faults.is_empty() {
        true => Ok(text),
        false => Err(BackupError::Faults(format!("{text}{}", faults.join("\n")))),
    }
}

fn verify_base(dir: &Path, manifest: &Manifest, base: &Base) -> Result<String, BackupError> {
    let path = manifest::path(dir, &base.file);
    let damaged = |source| BackupError::Base {
        path: path.clone(),
        source: Box::new(source),
    };
    let checksum = file::checksum(&path).map_err(damaged)?;
    checksum.check().map_err(damaged)?;
    let found: String = checksum
        .found
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != base.sha256 {
        return Err(BackupError::Faults(format!(
            "{} is whole, but not the file that MANIFEST names: its sha256 is {found}, expected {}",
            path.display(),
            base.sha256
        )));
    }
    status::status(&file::open(&path).map_err(damaged)?)?;
    let mut changes = 0;
    let walked = chain::walk(dir, manifest, base, |block| {
        changes += block
            .changes
            .iter()
            .map(|one| one.events.len())
            .sum::<usize>();
        Ok::<_, BackupError>(ControlFlow::Continue(()))
    })?;
    let torn = match walked.torn_bytes {
        0 => String::new(),
        bytes => {
            format!("; {bytes} bytes at the end were not finished, the next run cuts them off")
        }
    };
    Ok(format!(
        "good, revisions {} to {}, {changes} changes after the snapshot{torn}",
        base.revision, walked.last_revision
    ))
}

//! Harm to the files of a member that does not run.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Files that are looked at, at most.
const FILES_MAX: usize = 10_000;
/// Of a file's end, where its last written byte is looked for.
const TAIL_BYTES: u64 = 128 << 20;
/// As a write that was under way when the power went.
const GARBAGE_BYTES: usize = 37;

/// Writes garbage after the end of what was written last to the log: a record that was begun and
/// not ended. Nothing that was acknowledged is harmed.
pub(super) fn tear(data: &Path, seed: u64) -> Result<String> {
    let is_log = |path: &PathBuf| {
        path.to_string_lossy().contains("wal") || path.to_string_lossy().contains("log")
    };
    let logs = files(data)?.into_iter().filter(|(path, ..)| is_log(path));
    let newest = logs.max_by_key(|(_, _, at)| *at);
    let (path, length, _) = newest.context("the member has no log")?;
    let mut file = File::options().read(true).write(true).open(&path)?;
    let start = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    (&file).take(TAIL_BYTES).read_to_end(&mut tail)?;
    // Logs are written into space that was reserved, and that is zero.
    let written = tail
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at as u64 + 1);
    // Records are padded to eight bytes.
    let end = (start + written).next_multiple_of(8);
    let mut garbage = [0; GARBAGE_BYTES];
    StdRng::seed_from_u64(seed).fill(&mut garbage[..]);
    file.seek(SeekFrom::Start(end))?;
    file.write_all(&garbage)?;
    Ok(format!("garbage at byte {end} of {}", shown(&path, data)))
}

/// Turns one bit of one file.
pub(super) fn flip(data: &Path, seed: u64) -> Result<String> {
    let mut chance = StdRng::seed_from_u64(seed);
    let all: Vec<_> = files(data)?
        .into_iter()
        .filter(|(_, length, _)| *length > 0)
        .collect();
    let total: u64 = all.iter().map(|(_, length, _)| written(*length)).sum();
    let mut at = chance.random_range(0..total.max(1));
    for (path, length, _) in &all {
        if at >= written(*length) {
            at -= written(*length);
            continue;
        }
        let mut file = File::options().read(true).write(true).open(path)?;
        file.seek(SeekFrom::Start(at))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        byte[0] ^= 1 << chance.random_range(0..8);
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&byte)?;
        return Ok(format!("a bit of byte {at} of {}", shown(path, data)));
    }
    anyhow::bail!("the member has no files")
}

/// Bytes of a file that count: files are reserved in advance, and most of a large one is empty.
fn written(length: u64) -> u64 {
    length.min(1 << 20)
}

fn shown(path: &Path, data: &Path) -> String {
    path.strip_prefix(data)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Every file with its length and the time of its last write, in the order of their names.
fn files(data: &Path) -> Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut found = Vec::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() && found.len() < FILES_MAX {
                found.push((entry.path(), meta.len(), meta.modified()?));
            }
        }
    }
    found.sort();
    Ok(found)
}

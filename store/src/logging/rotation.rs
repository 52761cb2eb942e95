//! A log file that is put aside when it has grown, as lumberjack does it for etcd: `NAME.EXT` becomes
//! `NAME-2026-11-26T05-44-17.971.EXT`, and old ones are pressed and deleted by age and number.
//!
//! Pressing and deleting have a thread of their own, so that no request waits for them. What it
//! cannot do is left for the next time: it has nobody to tell but the log itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

use super::LogError;
use crate::config::LogRotation;

const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const PRESSED: &str = ".gz";

/// A file, and how much it holds.
struct Open {
    file: File,
    bytes: u64,
}

/// See the module.
pub(super) struct Rotating {
    names: Names,
    max_bytes: u64,
    open: Mutex<Open>,
    tidy: SyncSender<()>,
}

impl Rotating {
    /// Opens or creates the file; a full one is put aside at once.
    pub(super) fn open(path: &Path, rotation: LogRotation) -> Result<Self, LogError> {
        let failed = |cause| LogError::Open {
            path: path.into(),
            cause,
        };
        let names = Names {
            path: path.into(),
            is_local: rotation.local_time,
        };
        let mut dir = fs::DirBuilder::new();
        dir.recursive(true)
            .mode(0o755)
            .create(names.dir())
            .map_err(failed)?;
        let max_bytes = rotation.max_megabytes.saturating_mul(1024 * 1024);
        let (tidy, wake) = sync_channel(1);
        let rotating = Self {
            open: Mutex::new(names.append().map_err(failed)?),
            names: names.clone(),
            max_bytes,
            tidy,
        };
        std::thread::Builder::new()
            .name("log rotation".into())
            .spawn(move || tidy_when_woken(&names, rotation, &wake))
            .map_err(LogError::Thread)?;
        rotating.wake();
        Ok(rotating)
    }

    /// Appends one record, in a new file if the present one has no room for it.
    pub(super) fn write(&self, record: &[u8]) -> io::Result<()> {
        let bytes = u64::try_from(record.len()).unwrap_or(u64::MAX);
        let mut open = self.open.lock();
        if open.bytes > 0 && open.bytes.saturating_add(bytes) > self.max_bytes {
            *open = self.names.put_aside()?;
            self.wake();
        }
        open.file.write_all(record)?;
        open.bytes = open.bytes.saturating_add(bytes);
        Ok(())
    }

    fn wake(&self) {
        // Full means that it is about to look anyway.
        let _ = self.tidy.try_send(());
    }
}

/// Ends with the sender.
fn tidy_when_woken(names: &Names, rotation: LogRotation, wake: &Receiver<()>) {
    while wake.recv() == Ok(()) {
        if rotation.max_backups == 0 && rotation.max_days == 0 && !rotation.compress {
            continue;
        }
        let Ok(old) = names.old() else { continue };
        let plan = plan(old, rotation, Timestamp::now());
        for name in plan.delete {
            let _ = fs::remove_file(names.dir().join(name));
        }
        for name in plan.press {
            let _ = press(&names.dir().join(name));
        }
    }
}

/// Replaces a file by its pressed form, under the same permissions.
fn press(path: &Path) -> io::Result<()> {
    let mut from = File::open(path)?;
    let mode = from.metadata()?.permissions().mode();
    let mut name = path.as_os_str().to_owned();
    name.push(PRESSED);
    let target = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let pressed = options.open(&target).and_then(|to| {
        let mut encoder = GzEncoder::new(to, Compression::default());
        io::copy(&mut from, &mut encoder)?;
        encoder.finish()?.sync_all()
    });
    match pressed {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            let _ = fs::remove_file(&target);
            Err(error)
        }
    }
}

/// A file that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Old {
    name: String,
    at: Timestamp,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    delete: Vec<String>,
    press: Vec<String>,
}

/// What to do with old files. A file and its pressed form count as one.
fn plan(mut old: Vec<Old>, rotation: LogRotation, now: Timestamp) -> Plan {
    let bare = |name: &str| name.strip_suffix(PRESSED).unwrap_or(name).to_owned();
    // The newest first.
    old.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.name.cmp(&b.name)));
    let mut plan = Plan::default();
    let mut kept: Vec<String> = Vec::new();
    let age = i64::try_from(rotation.max_days)
        .unwrap_or(i64::MAX)
        .saturating_mul(24);
    let oldest = now.checked_sub(SignedDuration::from_hours(age.min(24 * 365 * 1_000)));
    for file in old {
        let name = bare(&file.name);
        if !kept.contains(&name) {
            kept.push(name);
        }
        let is_beyond = rotation.max_backups > 0 && kept.len() > rotation.max_backups;
        let is_too_old =
            rotation.max_days > 0 && oldest.as_ref().is_ok_and(|oldest| file.at < *oldest);
        if is_beyond || is_too_old {
            plan.delete.push(file.name);
        } else if rotation.compress && !file.name.ends_with(PRESSED) {
            plan.press.push(file.name);
        }
    }
    plan
}

/// The names of the file and of those put aside.
#[derive(Clone)]
struct Names {
    path: PathBuf,
    is_local: bool,
}

impl Names {
    fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }

    /// What stands before and behind the time, such as `server-` and `.log`.
    fn around(&self) -> (String, String) {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        match name.rfind('.') {
            Some(dot) => (format!("{}-", &name[..dot]), name[dot..].to_owned()),
            None => (format!("{name}-"), String::new()),
        }
    }

    fn zone(&self) -> TimeZone {
        if self.is_local {
            TimeZone::system()
        } else {
            TimeZone::UTC
        }
    }

    fn append(&self) -> io::Result<Open> {
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, bytes })
    }

    /// Renames the file after the present time and opens a new one with its permissions.
    fn put_aside(&self) -> io::Result<Open> {
        let mode = fs::metadata(&self.path).map_or(0o600, |meta| meta.permissions().mode());
        let (before, behind) = self.around();
        let time = Timestamp::now()
            .to_zoned(self.zone())
            .strftime(STAMP)
            .to_string();
        let aside = self.dir().join(format!("{before}{time}{behind}"));
        match fs::rename(&self.path, aside) {
            // Somebody else has moved it: a new one is all that is wanted.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(mode & 0o7777);
        let file = options.open(&self.path)?;
        let bytes = file.metadata()?.len();
        Ok(Open { file, bytes })
    }

    /// The files put aside: those whose names hold a time in the right place.
    fn old(&self) -> io::Result<Vec<Old>> {
        let mut old = Vec::new();
        for entry in fs::read_dir(self.dir())? {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            if let Some(at) = self.time_of(&name) {
                old.push(Old { name, at });
            }
        }
        Ok(old)
    }

    fn time_of(&self, name: &str) -> Option<Timestamp> {
        let (before, behind) = self.around();
        let bare = name.strip_suffix(PRESSED).unwrap_or(name);
        let time = bare.strip_prefix(&before)?.strip_suffix(&behind)?;
        let time = DateTime::strptime("%Y-%m-%dT%H-%M-%S%.f", time).ok()?;
        time.to_zoned(self.zone()).ok().map(|time| time.timestamp())
    }
}

#[cfg(test)]
mod tests;

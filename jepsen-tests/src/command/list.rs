//! `keelson jepsen list`.

use std::path::Path;
use std::process::ExitCode;

use super::say;
use crate::disk;
use crate::scenarios::{self, FORTY};

/// Prints one line for each scenario: its number, what it does, what it needs, and whether it can
/// be run here.
pub(super) fn list() -> ExitCode {
    for (number, entry) in FORTY.iter().enumerate() {
        let number = number + 1;
        let why = why_not()
            .or_else(|| entry.lacks())
            .or_else(|| entry.needs_disks().then(disk::why_not).flatten());
        let here = why.map_or_else(|| "runs here".to_owned(), |why| format!("not here, {why}"));
        say(&format!(
            "{number:>2}  {:<17} {}; needs {}: {here}\n",
            entry.name,
            entry.what,
            entry.needs()
        ));
    }
    for (number, scenario) in scenarios::all().iter().enumerate() {
        let number = FORTY.len() + number + 1;
        let (name, what) = (scenario.name, scenario.what);
        say(&format!(
            "{number:>2}  {name:<17} {what}; needs `keelson up`: runs here\n"
        ));
    }
    ExitCode::SUCCESS
}

/// What this machine lacks for running members behind proxies.
fn why_not() -> Option<&'static str> {
    if !Path::new("/proc/net/tcp").exists() {
        return Some("/proc does not tell who opened a connection");
    }
    (!Path::new("/bin/sh").exists()).then_some("there is no /bin/sh")
}

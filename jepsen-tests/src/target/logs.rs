//! What members said: each line is JSON with a time, as etcd writes it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::member::Member;

/// Of each member's log the end is kept.
const BYTES_MAX: u64 = 16 << 20;
const LAST_LINES: usize = 12;

/// The logs of all members in one, by time. A line without a time stays after the one before it.
pub(super) fn merged(members: &[Member]) -> String {
    let mut lines: Vec<(String, &str, String)> = Vec::new();
    for member in members {
        let mut last = String::new();
        for line in read(member).lines() {
            if let Some(time) = time(line) {
                last = time;
            }
            lines.push((last.clone(), &member.name, line.to_owned()));
        }
    }
    // Stable: lines of one member and one time keep their order.
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let mut text = String::new();
    for (_, name, line) in lines {
        let _ = writeln!(text, "{name} {line}");
    }
    text
}

/// The last lines of each.
pub(super) fn ends(members: &[Member]) -> String {
    let mut text = String::new();
    for member in members {
        let log = read(member);
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LAST_LINES)) {
            let _ = writeln!(text, "{} {line}", member.name);
        }
    }
    text
}

fn read(member: &Member) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&member.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The value of `ts`. All members write it in one form and one zone, so that texts sort as times.
fn time(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("\"ts\":\"")?;
    rest.split_once('"').map(|(time, _)| time.to_owned())
}

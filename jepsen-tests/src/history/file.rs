//! Histories in files: ours as JSON lines or EDN, others' as Jepsen's EDN or Elle's JSON.
//!
//! Ours say their version in the first line and their length in the last, so that one that was cut
//! short cannot pass for a whole one. In EDN both are comments: Jepsen's own tools read the file.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::Deserializer;
use thiserror::Error;

use super::event::Malformed;
use super::{Event, json};
use crate::edn::{self, Reader};

/// The version that this build writes and reads.
const VERSION: u64 = 1;
/// A history is judged in memory.
pub(crate) const BYTES_MAX: u64 = 1 << 30;

const EDN_HEADER: &str = "; keelson history, version ";
const JSON_HEADER: &str = "{\"history\":\"keelson\"";

/// Why a file is no history.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("byte {at} is no UTF-8")]
    NoText { at: usize },
    #[error(transparent)]
    Edn(#[from] edn::Error),
    #[error("{0}")]
    Json(serde_json::Error),
    #[error("line {line}: {malformed}")]
    Event { line: usize, malformed: Malformed },
    #[error("the history has version {found}, and this build reads version {VERSION}")]
    Version { found: String },
    #[error("the history was cut short: {0}")]
    CutShort(String),
    #[error("line {line}: index {index} comes after index {after}: the lines are out of order")]
    Order { line: usize, index: i64, after: i64 },
}

/// Writes one JSON object a line.
pub(crate) fn write_json(events: &[Event], to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{JSON_HEADER},\"version\":{VERSION}}}")?;
    for event in events {
        serde_json::to_writer(&mut *to, &json::from_edn(&event.to_value()))?;
        to.write_all(b"\n")?;
    }
    writeln!(to, "{{\"end\":{}}}", events.len())?;
    to.flush()
}

/// Writes one EDN map a line.
pub(crate) fn write_edn(events: &[Event], to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{EDN_HEADER}{VERSION}")?;
    for event in events {
        writeln!(to, "{}", event.to_value())?;
    }
    writeln!(to, "{}", edn_end(events.len()))?;
    to.flush()
}

fn edn_end(count: usize) -> String {
    format!("; end, {count} events")
}

/// Reads a history of any of the forms.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::NoText {
        at: error.valid_up_to(),
    })?;
    let events = if text.starts_with(JSON_HEADER) {
        read_our_json(text)?
    } else if is_json(text) {
        read_json(text, 0)?
    } else {
        let events = read_edn(text)?;
        check_edn_frame(text, events.len())?;
        events
    };
    check_order(events)
}

/// EDN maps of events have keywords as keys, and JSON's texts.
fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let first = text.strip_prefix('[').unwrap_or(text).trim_start();
    first
        .strip_prefix('{')
        .is_some_and(|rest| rest.trim_start().starts_with('"'))
}

#[derive(Deserialize)]
struct Header {
    version: u64,
}

#[derive(Deserialize)]
struct End {
    end: usize,
}

fn read_our_json(text: &str) -> Result<Vec<Event>, Error> {
    let (header, rest) = text.split_once('\n').unwrap_or((text, ""));
    let Header { version } = serde_json::from_str(header).map_err(Error::Json)?;
    if version != VERSION {
        return Err(Error::Version {
            found: version.to_string(),
        });
    }
    let rest = rest.trim_end();
    let (lines, last) = rest.rsplit_once('\n').unwrap_or(("", rest));
    let Ok(End { end }) = serde_json::from_str(last) else {
        return Err(Error::CutShort("its last line does not end it".into()));
    };
    let events = read_json(lines, 1)?;
    if events.len() != end {
        return Err(Error::CutShort(format!(
            "it has {} of {end} events",
            events.len()
        )));
    }
    Ok(events)
}

/// One object after another, or one array of them; `before` is how many lines came before.
fn read_json(text: &str, before: usize) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    let mut lines = Lines::new(text, before);
    let mut values = Deserializer::from_str(text).into_iter::<serde_json::Value>();
    loop {
        let at = values.byte_offset();
        // The reader stands after the last value, and the next begins after blanks.
        let blanks = text[at..].len() - text[at..].trim_start().len();
        let Some(value) = values.next() else {
            return Ok(events);
        };
        let line = lines.of(at + blanks);
        let each = match value.map_err(Error::Json)? {
            serde_json::Value::Array(all) => all,
            one => vec![one],
        };
        for value in each {
            events.push(event(json::to_edn(value), line)?);
        }
    }
}

fn read_edn(text: &str) -> Result<Vec<Event>, Error> {
    let mut reader = Reader::new(text);
    let mut lines = Lines::new(text, 0);
    let mut events = Vec::new();
    while let Some(close) = reader.enter()? {
        while !reader.leave(close)? {
            let line = lines.of(reader.offset()?);
            if let Some(value) = reader.next()? {
                events.push(event(value, line)?);
            }
        }
    }
    loop {
        let line = lines.of(reader.offset()?);
        let Some(value) = reader.next()? else {
            return Ok(events);
        };
        events.push(event(value, line)?);
    }
}

fn event(value: edn::Value, line: usize) -> Result<Event, Error> {
    Event::from_value(value, line).map_err(|malformed| Error::Event { line, malformed })
}

/// Whether an EDN history of ours has the version and the length that it says.
fn check_edn_frame(text: &str, count: usize) -> Result<(), Error> {
    let Some(rest) = text.strip_prefix(EDN_HEADER) else {
        return Ok(());
    };
    let found = rest.lines().next().unwrap_or("").trim();
    if found != VERSION.to_string() {
        return Err(Error::Version {
            found: found.to_owned(),
        });
    }
    let last = text.trim_end().lines().next_back().unwrap_or("");
    if last != edn_end(count) {
        return Err(Error::CutShort(format!(
            "its last line is not `{}`",
            edn_end(count)
        )));
    }
    Ok(())
}

/// Jepsen numbers events in their order. Where numbers repeat, they were written by hand, mean
/// nothing, and are dropped.
fn check_order(mut events: Vec<Event>) -> Result<Vec<Event>, Error> {
    let numbers = || events.iter().filter_map(|event| event.index);
    let mut sorted: Vec<i64> = numbers().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        events.iter_mut().for_each(|event| event.index = None);
        return Ok(events);
    }
    let mut after: Option<i64> = None;
    for event in &events {
        let Some(index) = event.index else { continue };
        if let Some(after) = after
            && index < after
        {
            let line = event.line;
            return Err(Error::Order { line, index, after });
        }
        after = Some(index);
    }
    Ok(events)
}

/// Counts lines along a text; offsets may only grow.
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, before: usize) -> Self {
        let text = text.as_bytes();
        Self {
            text,
            counted: 0,
            line: before + 1,
        }
    }

    /// The line of the byte at `offset`.
    fn of(&mut self, offset: usize) -> usize {
        let passed = self.text.get(self.counted..offset).unwrap_or(&[]);
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.counted = self.counted.max(offset);
        self.line
    }
}

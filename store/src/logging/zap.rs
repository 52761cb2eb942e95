//! A record as one line in the form of etcd's logger, zap: `{"level","ts","caller","msg",…}` as JSON,
//! or the same with tabs for people. Names of fields are etcd's: words with dashes.

use std::fmt::{self, Write};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// Writes lines.
pub(super) struct Zap {
    format: LogFormat,
    zone: TimeZone,
}

impl Zap {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            zone: TimeZone::system(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Zap
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let is_json = self.format == LogFormat::Json;
        let meta = event.metadata();
        let mut record = Record::new(!is_json);
        record.caller = meta.file().map(str::to_owned).zip(meta.line());
        event.record(&mut record);
        let level = match *meta.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let time = stamp(&Timestamp::now().to_zoned(self.zone.clone()));
        let caller = record
            .caller
            .take()
            .map(|(file, line)| format!("{}:{line}", short(&file)));
        if is_json {
            write!(writer, "{{\"level\":\"{level}\",\"ts\":\"{time}\"")?;
            if let Some(caller) = caller {
                write!(writer, ",\"caller\":{}", quoted(&caller))?;
            }
            write!(writer, ",\"msg\":{}", quoted(&record.message))?;
            if !record.fields.is_empty() {
                write!(writer, ",{}", record.fields)?;
            }
            writeln!(writer, "}}")
        } else {
            write!(writer, "{time}\t{level}")?;
            if let Some(caller) = caller {
                write!(writer, "\t{caller}")?;
            }
            // A line of people's own has no line breaks either.
            write!(writer, "\t{}", record.message.replace('\n', " "))?;
            if !record.fields.is_empty() {
                write!(writer, "\t{{{}}}", record.fields)?;
            }
            writeln!(writer)
        }
    }
}

/// `2026-11-26T05:44:17.971200Z`, or with the zone's offset.
fn stamp(time: &Zoned) -> String {
    let form = if time.offset().seconds() == 0 {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f%z"
    };
    time.strftime(form).to_string()
}

/// The file and the folder it is in.
fn short(file: &str) -> &str {
    let mut slashes = file.rmatch_indices('/').map(|(at, _)| at);
    match slashes.nth(1) {
        Some(at) => &file[at + 1..],
        None => file,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What an event holds.
struct Record {
    message: String,
    /// Pairs as JSON, without braces.
    fields: String,
    caller: Option<(String, u32)>,
    spaced: bool,
}

impl Record {
    fn new(spaced: bool) -> Self {
        Self {
            message: String::new(),
            fields: String::new(),
            caller: None,
            spaced,
        }
    }

    fn pair(&mut self, field: &Field, value: serde_json::Value) {
        let name = field.name();
        // What the `log` crate's records say of themselves.
        match (name, &value) {
            ("log.file", serde_json::Value::String(file)) => {
                let line = self.caller.as_ref().map_or(0, |(_, line)| *line);
                self.caller = Some((file.clone(), line));
                return;
            }
            ("log.line", serde_json::Value::Number(line)) => {
                let line = line.as_u64().and_then(|line| u32::try_from(line).ok());
                if let (Some((_, at)), Some(line)) = (&mut self.caller, line) {
                    *at = line;
                }
                return;
            }
            _ if name.starts_with("log.") => return,
            _ => {}
        }
        let (comma, colon) = if self.spaced {
            (", ", ": ")
        } else {
            (",", ":")
        };
        if !self.fields.is_empty() {
            self.fields.push_str(comma);
        }
        let name = quoted(&name.trim_start_matches("r#").replace('_', "-"));
        let _ = write!(self.fields, "{name}{colon}{value}");
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.pair(field, value.into());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pair(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pair(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.pair(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.pair(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::{Zap, short, stamp};
    use crate::config::LogFormat;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Memory {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn lines(format: LogFormat, log: impl FnOnce()) -> String {
        let memory = Memory::default();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Zap::new(format))
            .with_writer(memory.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(memory.0.lock().clone()).unwrap()
    }

    #[test]
    fn json_is_that_of_zap() {
        let text = lines(LogFormat::Json, || {
            tracing::warn!(cluster_id = "ab", count = 3, on = true, error = %"a \"b\"\n", "it's {}", "so");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "it's so");
        assert_eq!(line["cluster-id"], "ab");
        assert_eq!(line["count"], 3);
        assert_eq!(line["on"], true);
        assert_eq!(line["error"], "a \"b\"\n");
        let caller = line["caller"].as_str().unwrap();
        assert!(caller.starts_with("logging/zap.rs:"), "{caller}");
        assert!(text.starts_with("{\"level\":\"warn\",\"ts\":\"2"), "{text}");
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn lines_for_people_have_tabs() {
        let text = lines(LogFormat::Console, || {
            tracing::info!(a_b = 1, c = "d", "one\ntwo")
        });
        let parts: Vec<&str> = text.trim_end().split('\t').collect();
        assert_eq!(parts[1], "info");
        assert_eq!(parts[3], "one two");
        assert_eq!(parts[4], "{\"a-b\": 1, \"c\": \"d\"}");
        let bare = lines(LogFormat::Console, || tracing::info!("bare"));
        assert!(bare.ends_with("\tbare\n"), "{bare}");
    }

    #[test]
    fn times_are_those_of_go() {
        let time: jiff::Timestamp = "2026-11-26T05:44:17.9712Z".parse().unwrap();
        let utc = time.to_zoned(jiff::tz::TimeZone::UTC);
        assert_eq!(stamp(&utc), "2026-11-26T05:44:17.971200Z");
        let east = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(
            stamp(&time.to_zoned(east)),
            "2026-11-26T07:44:17.971200+0200"
        );
        assert_eq!(short("store/src/server/serve.rs"), "server/serve.rs");
        assert_eq!(short("main.rs"), "main.rs");
        assert_eq!(short("src/main.rs"), "src/main.rs");
    }
}

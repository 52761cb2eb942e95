//! pprof's `profile.proto`: the messages, and how samples become them.

use std::collections::HashMap;
use std::io::Write;
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{Report, Symbol};
use prost::Message;

/// <https://github.com/google/pprof/blob/main/proto/profile.proto>, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    /// What all numbers of texts point into. The first is empty.
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The innermost first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The samples as a gzipped profile.
pub(super) fn pack(report: &Report) -> std::io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&profile(report).encode_to_vec())?;
    packed.finish()
}

fn profile(report: &Report) -> Profile {
    let timing = &report.timing;
    let period = 1_000_000_000 / i64::from(timing.frequency.max(1));
    let mut tables = Tables::default();
    // The empty text must be the first.
    tables.text("");
    let thread = tables.text("thread");
    let (samples, count) = (tables.text("samples"), tables.text("count"));
    let (cpu, nanoseconds) = (tables.text("cpu"), tables.text("nanoseconds"));
    let time = ValueType {
        r#type: cpu,
        unit: nanoseconds,
    };
    let mut profile = Profile {
        // Those of Go's CPU profiles.
        sample_type: vec![
            ValueType {
                r#type: samples,
                unit: count,
            },
            time.clone(),
        ],
        period_type: Some(time),
        period,
        time_nanos: nanos(
            timing
                .start_time
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        ),
        duration_nanos: nanos(timing.duration),
        ..Profile::default()
    };
    for (stack, times) in &report.data {
        let symbols = stack.frames.iter().flatten();
        let location_id = symbols.map(|symbol| tables.location(symbol)).collect();
        let times = i64::try_from(*times).unwrap_or(i64::MAX);
        profile.sample.push(Sample {
            location_id,
            value: vec![times, times.saturating_mul(period)],
            label: vec![Label {
                key: thread,
                str: tables.text(&stack.thread_name_or_id()),
            }],
        });
    }
    profile.location = tables.locations;
    profile.function = tables.functions;
    profile.string_table = tables.texts;
    profile
}

fn nanos(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What samples point to, each once.
#[derive(Default)]
struct Tables {
    texts: Vec<String>,
    numbers: HashMap<String, i64>,
    /// By the linker's name of a function: there are no lines to tell places in it apart.
    ids: HashMap<Vec<u8>, u64>,
    locations: Vec<Location>,
    functions: Vec<Function>,
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = i64::try_from(self.texts.len()).unwrap_or(i64::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    fn location(&mut self, symbol: &Symbol) -> u64 {
        if let Some(id) = self.ids.get(symbol.raw_name()) {
            return *id;
        }
        // 0 is none.
        let id = self.ids.len() as u64 + 1;
        self.ids.insert(symbol.raw_name().to_vec(), id);
        let file = symbol.filename.as_ref();
        let file = file.map_or_else(String::new, |path| path.to_string_lossy().into_owned());
        let function = Function {
            id,
            name: self.text(&symbol.name()),
            system_name: self.text(&symbol.sys_name()),
            filename: self.text(&file),
        };
        self.functions.push(function);
        self.locations.push(Location {
            id,
            line: vec![Line {
                function_id: id,
                line: i64::from(symbol.lineno.unwrap_or(0)),
            }],
        });
        id
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use pprof::{Frames, Report, Symbol};

    use super::profile;

    fn symbol(name: &str) -> Symbol {
        Symbol {
            name: Some(name.as_bytes().to_vec()),
            addr: None,
            lineno: None,
            filename: None,
        }
    }

    fn stack(names: &[&[&str]]) -> Frames {
        let frame = |names: &&[&str]| names.iter().map(|name| symbol(name)).collect();
        Frames {
            frames: names.iter().map(frame).collect(),
            thread_name: "store".into(),
            thread_id: 1,
            sample_timestamp: UNIX_EPOCH,
        }
    }

    #[test]
    fn samples_point_to_what_they_were_of() {
        let inner: &[&[&str]] = &[&["_ZN3foo3barE", "outer"], &["main"]];
        let outer: &[&[&str]] = &[&["outer"], &["main"]];
        let mut report = Report {
            data: [(stack(inner), 3), (stack(outer), 1)].into_iter().collect(),
            timing: Default::default(),
        };
        report.timing.frequency = 100;
        report.timing.duration = Duration::from_secs(1);
        let profile = profile(&report);
        let text = |number: i64| profile.string_table[usize::try_from(number).unwrap()].as_str();
        assert_eq!(text(0), "");
        let name = |id: u64| {
            let location = profile.location.iter().find(|location| location.id == id);
            let function = location.unwrap().line[0].function_id;
            let mut functions = profile.function.iter();
            text(functions.find(|one| one.id == function).unwrap().name)
        };
        let mut seen: Vec<_> = profile
            .sample
            .iter()
            .map(|sample| {
                let names: Vec<_> = sample.location_id.iter().map(|id| name(*id)).collect();
                (
                    names.join(" "),
                    sample.value.clone(),
                    text(sample.label[0].str),
                )
            })
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                ("foo::bar outer main".into(), vec![3, 30_000_000], "store"),
                ("outer main".into(), vec![1, 10_000_000], "store"),
            ]
        );
        assert_eq!(profile.location.len(), 3, "each function is there once");
        assert_eq!(
            (profile.period, profile.duration_nanos),
            (10_000_000, 1_000_000_000)
        );
        let types: Vec<_> = profile
            .sample_type
            .iter()
            .map(|one| text(one.r#type))
            .collect();
        assert_eq!(types, ["samples", "cpu"]);
    }
}

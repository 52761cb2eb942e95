//! One event, and its form as a map, which EDN and JSON share.

use thiserror::Error;

use crate::edn::Value;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Process {
    /// A client: does one operation after another.
    Client(i64),
    /// Somebody else, as `nemesis`.
    Named(String),
}

/// What an event says of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// It may have happened, or may happen at any later time, or never. Of others than clients: a
    /// note.
    Info,
}

/// One event of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number; files of others may have none.
    pub index: Option<i64>,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Nanoseconds from the history's start, if it was recorded.
    pub time_ns: Option<i64>,
    /// Who did it.
    pub process: Process,
    /// What it says.
    pub kind: Kind,
    /// Which operation; empty where the file names none.
    pub f: String,
    /// What was asked, or what was answered.
    pub value: Value,
    /// Why it failed, or why its end is unknown.
    pub error: Option<Value>,
}

/// Why a value is no event.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Something else than a map.
    #[error("an event must be a map with :type, :process, :f and :value")]
    NoMap,
    /// A field that every event has.
    #[error("an event without :{0}")]
    Missing(&'static str),
    /// A type that Jepsen does not have.
    #[error(":type must be :invoke, :ok, :fail or :info, and not {0}")]
    Type(Value),
    /// A field of another form than Jepsen's.
    #[error(":{0} cannot be {1}")]
    Field(&'static str, Value),
}

impl Kind {
    /// As the formats have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }
}

impl Event {
    /// The event as a map with Jepsen's keys.
    pub(crate) fn to_value(&self) -> Value {
        let mut pairs = Vec::with_capacity(7);
        let mut put = |name: &str, value: Value| pairs.push((Value::keyword(name), value));
        if let Some(index) = self.index {
            put("index", index.into());
        }
        if let Some(time_ns) = self.time_ns {
            put("time", time_ns.into());
        }
        put("type", Value::keyword(self.kind.name()));
        put(
            "process",
            match &self.process {
                Process::Client(number) => Value::Int(*number),
                Process::Named(name) => Value::keyword(name),
            },
        );
        if !self.f.is_empty() {
            put("f", Value::keyword(&self.f));
        }
        put("value", self.value.clone());
        if let Some(error) = &self.error {
            put("error", error.clone());
        }
        Value::Map(pairs)
    }

    /// Reads the map back. Keys may have a namespace; others than Jepsen's are passed over.
    pub(crate) fn from_value(value: Value, line: usize) -> Result<Self, Malformed> {
        let Value::Map(pairs) = value else {
            return Err(Malformed::NoMap);
        };
        let mut fields = Fields::default();
        for (key, value) in pairs {
            match key.name() {
                Some("index") => fields.index = Some(value),
                Some("time") => fields.time = Some(value),
                Some("type") => fields.kind = Some(value),
                Some("process") => fields.process = Some(value),
                Some("f") => fields.f = Some(value),
                Some("value") => fields.value = Some(value),
                Some("error") => fields.error = Some(value),
                _ => {}
            }
        }
        let process = fields.process.ok_or(Malformed::Missing("process"))?;
        Ok(Self {
            index: number("index", fields.index)?,
            line,
            time_ns: number("time", fields.time)?,
            process: match (process.int(), process.name()) {
                (Some(number), _) => Process::Client(number),
                (None, Some(name)) => Process::Named(name.to_owned()),
                (None, None) => return Err(Malformed::Field("process", process)),
            },
            kind: kind(fields.kind.ok_or(Malformed::Missing("type"))?)?,
            f: match fields.f {
                None | Some(Value::Nil) => String::new(),
                Some(f) => match f.name() {
                    Some(name) => name.to_owned(),
                    None => return Err(Malformed::Field("f", f)),
                },
            },
            value: fields.value.unwrap_or(Value::Nil),
            error: fields.error.filter(|error| *error != Value::Nil),
        })
    }
}

#[derive(Default)]
struct Fields {
    index: Option<Value>,
    time: Option<Value>,
    kind: Option<Value>,
    process: Option<Value>,
    f: Option<Value>,
    value: Option<Value>,
    error: Option<Value>,
}

fn number(name: &'static str, value: Option<Value>) -> Result<Option<i64>, Malformed> {
    match value {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Int(number)) => Ok(Some(number)),
        // Clojure's `(double)` times: their order is all that is needed, and that is the file's.
        Some(Value::Number(_)) if name == "time" => Ok(None),
        Some(value) => Err(Malformed::Field(name, value)),
    }
}

fn kind(value: Value) -> Result<Kind, Malformed> {
    match value.name() {
        Some("invoke") => Ok(Kind::Invoke),
        Some("ok") => Ok(Kind::Ok),
        Some("fail") => Ok(Kind::Fail),
        Some("info") => Ok(Kind::Info),
        _ => Err(Malformed::Type(value)),
    }
}

//! The flags of the log, and what they mean together. The words are those of etcd's
//! server/embed/config_logging.go.

use std::path::PathBuf;

use serde_json::Value;

use super::values::Values;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people, with tabs.
    Console,
}

/// A place for lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// systemd's journal.
    Journal,
    /// A file that is appended to.
    File(PathBuf),
}

/// `--log-rotation-config-json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRotation {
    /// A file of so many MiB is put aside; 100 where 0 is given.
    pub max_megabytes: u64,
    /// Files put aside are deleted after so many days; 0: never.
    pub max_days: u64,
    /// So many files put aside are kept; 0: all.
    pub max_backups: usize,
    /// Whether their names have the machine's time and not UTC.
    pub local_time: bool,
    /// Whether they are pressed with gzip.
    pub compress: bool,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// What is logged, in the words of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// `--log-format`.
    pub format: LogFormat,
    /// `--log-outputs`; none discards everything.
    pub outputs: Vec<LogOutput>,
    /// `--enable-log-rotation`, with how.
    pub rotation: Option<LogRotation>,
}

impl Default for Logging {
    /// For faults that are found before the settings are known.
    fn default() -> Self {
        Self {
            filter: filter("info"),
            format: LogFormat::Json,
            outputs: vec![LogOutput::Stderr],
            rotation: None,
        }
    }
}

impl Logging {
    /// Reads the flags; what is wrong is put to `faults`.
    pub(super) fn from_values(values: &Values, faults: &mut Vec<String>) -> Self {
        let logger = values.text("logger");
        match logger {
            "zap" => {}
            "capnslog" => faults.push("--logger=capnslog is removed in v3.5".into()),
            other => faults.push(format!("unknown logger option {other:?}")),
        }
        let format = match values.text("log-format") {
            "json" | "" => LogFormat::Json,
            "console" => LogFormat::Console,
            other => {
                faults.push(format!(
                    "unknown log format: {other}, supported values json, console"
                ));
                LogFormat::Json
            }
        };
        let names = names(values);
        let outputs = outputs(&names).unwrap_or_else(|fault| {
            faults.push(fault);
            Vec::new()
        });
        let rotation = if values.flag("enable-log-rotation") {
            rotation(&names, values.text("log-rotation-config-json"))
                .map_err(|fault| faults.push(fault))
                .ok()
        } else {
            None
        };
        Self {
            filter: filter(&values.text("log-level").to_ascii_lowercase()),
            format,
            outputs,
            rotation,
        }
    }
}

fn filter(level: &str) -> String {
    let level = match level {
        "dpanic" | "panic" | "fatal" => "error",
        "" => "info",
        level => level,
    };
    // The libraries speak of every retry and every connection; an operator asked for the store's own words.
    let libraries = if level == "debug" { "info" } else { "warn" };
    // openraft's core reports calls that come after its orderly end as errors; a fatal end of it is
    // reported by the store itself.
    format!(
        "{level},openraft={libraries},openraft::raft::raft_inner=off,h2={libraries},hyper={libraries},rustls={libraries}"
    )
}

/// As etcd's flag keeps them: sorted, without doubles.
fn names(values: &Values) -> Vec<String> {
    let mut names = values.list("log-outputs");
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    if names.is_empty() {
        names.push("default".into());
    }
    names
}

fn outputs(names: &[String]) -> Result<Vec<LogOutput>, String> {
    let has = |name: &str| names.iter().any(|given| given == name);
    if names.len() > 1 && has("default") {
        return Err("multi logoutput for \"default\" is not supported yet".into());
    }
    if names.len() > 1 && has("systemd/journal") {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        return Err(format!(
            "running with systemd/journal but other '--log-outputs' values ([{}]) are configured with 'default'; override 'default' value with something else",
            names.join(" ")
        ));
    }
    // As in etcd, it makes all others silent too.
    if has("/dev/null") {
        return Ok(Vec::new());
    }
    names.iter().map(|name| output(name)).collect()
}

fn output(name: &str) -> Result<LogOutput, String> {
    Ok(match name {
        "default" | "stderr" => LogOutput::Stderr,
        "stdout" => LogOutput::Stdout,
        "systemd/journal" => LogOutput::Journal,
        name => match name.split_once("://") {
            None => LogOutput::File(name.into()),
            Some(("file", path)) => {
                LogOutput::File(path.strip_prefix("localhost").unwrap_or(path).into())
            }
            Some((scheme, _)) => {
                return Err(format!(
                    "couldn't open sink {name:?}: no sink found for scheme {scheme:?}"
                ));
            }
        },
    })
}

fn rotation(names: &[String], text: &str) -> Result<LogRotation, String> {
    let is_file = |name: &&String| !matches!(name.as_str(), "default" | "stderr" | "stdout");
    let files = names.iter().filter(is_file).count();
    if files > 1 || (names.len() == 1 && files == 0) {
        return Err(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined"
                .into(),
        );
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("improperly formatted log rotation config: {error}"))?;
    let Value::Object(map) = value else {
        return Err(format!(
            "invalid log rotation config: {text:?} is no JSON object"
        ));
    };
    let mut rotation = LogRotation {
        max_megabytes: 0,
        max_days: 0,
        max_backups: 0,
        local_time: false,
        compress: false,
    };
    for (name, value) in &map {
        let wrong = |wanted| format!("invalid log rotation config: {name} must be {wanted}");
        let number = || value.as_u64().ok_or_else(|| wrong("a number from 0"));
        let boolean = || value.as_bool().ok_or_else(|| wrong("true or false"));
        match name.to_ascii_lowercase().as_str() {
            "maxsize" => rotation.max_megabytes = number()?,
            "maxage" => rotation.max_days = number()?,
            "maxbackups" => {
                rotation.max_backups = usize::try_from(number()?).unwrap_or(usize::MAX);
            }
            "localtime" => rotation.local_time = boolean()?,
            "compress" => rotation.compress = boolean()?,
            // As Go's decoder does.
            _ => {}
        }
    }
    if rotation.max_megabytes == 0 {
        rotation.max_megabytes = 100;
    }
    Ok(rotation)
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, LogOutput, LogRotation};
    use crate::config::{Config, Logging};

    fn logging(args: &[&str]) -> Result<Logging, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let config = Config::parse(&args, []).map_err(|error| error.to_string())?;
        Ok(config.logging)
    }

    #[test]
    fn places_are_read() {
        let outputs = |args: &[&str]| logging(args).unwrap().outputs;
        assert_eq!(outputs(&[]), [LogOutput::Stderr]);
        assert_eq!(outputs(&["--log-outputs=stderr"]), [LogOutput::Stderr]);
        assert_eq!(
            outputs(&["--log-outputs=stdout,/a/b.log,stdout,c.log"]),
            [
                LogOutput::File("/a/b.log".into()),
                LogOutput::File("c.log".into()),
                LogOutput::Stdout
            ]
        );
        assert_eq!(
            outputs(&["--log-outputs=file:///a"]),
            [LogOutput::File("/a".into())]
        );
        assert_eq!(
            outputs(&["--log-outputs=systemd/journal"]),
            [LogOutput::Journal]
        );
        assert_eq!(outputs(&["--log-outputs=/dev/null,stderr"]), []);
        assert_eq!(logging(&["--log-format="]).unwrap().format, LogFormat::Json);
        assert_eq!(
            logging(&["--log-format=console"]).unwrap().format,
            LogFormat::Console
        );
        assert!(
            logging(&["--log-level=WARN"])
                .unwrap()
                .filter
                .starts_with("warn,")
        );
    }

    #[test]
    fn rotation_is_read() {
        let file = ["--log-outputs=/a.log", "--enable-log-rotation"];
        let default = LogRotation {
            max_megabytes: 100,
            max_days: 0,
            max_backups: 0,
            local_time: false,
            compress: false,
        };
        assert_eq!(logging(&file).unwrap().rotation, Some(default));
        let json = "--log-rotation-config-json={\"MaxSize\": 1, \"maxage\": 2, \"maxbackups\": 3, \"localtime\": true, \"compress\": true, \"x\": 1}";
        let given = LogRotation {
            max_megabytes: 1,
            max_days: 2,
            max_backups: 3,
            local_time: true,
            compress: true,
        };
        assert_eq!(
            logging(&[file[0], file[1], json]).unwrap().rotation,
            Some(given)
        );
        assert_eq!(logging(&[json]).unwrap().rotation, None, "off by default");
    }

    #[test]
    fn faults_have_etcds_words() {
        let single =
            "--log-outputs requires a single file path when --log-rotate-config-json is defined";
        let cases: &[(&[&str], &str)] = &[
            (
                &["--logger=capnslog"],
                "--logger=capnslog is removed in v3.5",
            ),
            (&["--logger=x"], "unknown logger option \"x\""),
            (
                &["--log-outputs=default,stdout"],
                "multi logoutput for \"default\" is not supported yet",
            ),
            (
                &["--log-outputs=stderr,systemd/journal"],
                "running with systemd/journal but other '--log-outputs' values ([\"stderr\" \"systemd/journal\"]) are configured with 'default'; override 'default' value with something else",
            ),
            (&["--enable-log-rotation"], single),
            (&["--enable-log-rotation", "--log-outputs=/a,/b"], single),
            (
                &["--log-outputs=http://a"],
                "couldn't open sink \"http://a\": no sink found for scheme \"http\"",
            ),
        ];
        for (args, words) in cases {
            assert_eq!(logging(args).unwrap_err(), *words, "{args:?}");
        }
        let json = |text: &str| {
            let json = format!("--log-rotation-config-json={text}");
            logging(&["--enable-log-rotation", "--log-outputs=/a", &json]).unwrap_err()
        };
        assert!(json("{").starts_with("improperly formatted log rotation config: "));
        assert!(json("{\"maxsize\": true}").starts_with("invalid log rotation config: maxsize"));
        assert!(json("{\"maxage\": -1}").starts_with("invalid log rotation config: maxage"));
        assert!(json("7").starts_with("invalid log rotation config: "));
    }
}

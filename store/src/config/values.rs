//! Reads a command line and an environment against the table of flags, or a file in their place.
//!
//! A flag is `--name=value`, `--name value` or with one dash; a boolean needs no value. Each value
//! is checked for its form here; what values mean together is checked in `check.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::flags::{Flag, Kind, all, check_form, find};
use super::url::Url;
use super::{ConfigError, file, text};

/// What a command line turned out to be.
pub(super) enum Parsed {
    Help,
    Version,
    Values(Values),
}

/// Flags and their texts, each checked for its form.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    given: BTreeMap<&'static str, String>,
    /// Lists whose parts may hold commas: those of a file.
    lists: BTreeMap<&'static str, Vec<String>>,
    /// The file that all of it is from.
    pub(super) file: Option<PathBuf>,
    /// Words about the environment or the file.
    pub(super) warnings: Vec<String>,
}

impl Values {
    /// Reads flags first, then fills what is missing from the environment.
    pub(super) fn parse<E>(args: &[String], env: E) -> Result<Parsed, ConfigError>
    where
        E: IntoIterator<Item = (String, String)>,
    {
        let mut values = Self::default();
        let mut rest = args.iter();
        let mut stray = None;
        while let Some(arg) = rest.next() {
            let Some(body) = flag_body(arg)? else {
                stray = (arg != "--")
                    .then(|| arg.clone())
                    .or_else(|| rest.next().cloned());
                break;
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            if matches!(name, "h" | "help") {
                return Ok(Parsed::Help);
            }
            let flag = find(name).ok_or_else(|| {
                ConfigError::Usage(format!("flag provided but not defined: -{name}"))
            })?;
            let value = match (inline, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Bool) => "true".into(),
                (None, _) => rest.next().cloned().ok_or_else(|| {
                    ConfigError::Usage(format!("flag needs an argument: -{name}"))
                })?,
            };
            check_form(flag, &value).map_err(|fault| {
                let what = if flag.kind == Kind::Bool {
                    "boolean value"
                } else {
                    "value"
                };
                let of = if flag.kind == Kind::Bool { "" } else { "flag " };
                ConfigError::Usage(format!("invalid {what} {value:?} for {of}-{name}: {fault}"))
            })?;
            values.given.insert(flag.name, value);
        }
        if let Some(stray) = stray {
            return Err(ConfigError::Invalid(vec![format!(
                "{stray:?} is not a valid flag"
            )]));
        }
        if values.flag("version") {
            return Ok(Parsed::Version);
        }
        let env: Vec<(String, String)> = env.into_iter().collect();
        // Before the rest of the environment: a file takes its place.
        let from_env = || env.iter().find(|(key, _)| key == "ETCD_CONFIG_FILE");
        let path = match values.text("config-file") {
            "" => from_env().map_or("", |(_, path)| path.as_str()),
            path => path,
        };
        if !path.is_empty() {
            return file::read(path).map(Parsed::Values);
        }
        values.add_environment(env)?;
        Ok(Parsed::Values(values))
    }

    /// None yet, to be filled from a file.
    pub(super) fn of_file(path: &str) -> Self {
        Self {
            file: Some(PathBuf::from(path)),
            ..Self::default()
        }
    }

    /// Gives a flag a text of the right form.
    pub(super) fn set(&mut self, name: &'static str, text: String) {
        self.given.insert(name, text);
    }

    /// Gives a flag its list.
    pub(super) fn set_list(&mut self, name: &'static str, list: Vec<String>) {
        self.given.insert(name, list.join(","));
        self.lists.insert(name, list);
    }

    fn add_environment(&mut self, env: Vec<(String, String)>) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        for (key, value) in env {
            let Some(name) = key.strip_prefix("ETCD_") else {
                continue;
            };
            let name = name.to_ascii_lowercase().replace('_', "-");
            let Some(flag) = find(&name) else {
                if !matches!(name.as_str(), "verify" | "unsupported-arch") {
                    self.warnings
                        .push(format!("unrecognized environment variable {key}={value}"));
                }
                continue;
            };
            if self.given.contains_key(flag.name) {
                self.warnings
                    .push(format!("{key} is shadowed by the flag --{name}"));
                continue;
            }
            // As etcd does: an empty variable is an unset one.
            if value.is_empty() {
                continue;
            }
            match check_form(flag, &value) {
                Ok(()) => drop(self.given.insert(flag.name, value)),
                Err(fault) => faults.push(format!("invalid value {value:?} for {key}: {fault}")),
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(faults))
        }
    }

    /// Whether the user gave the flag.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The flag's text, or its default.
    pub(super) fn text(&self, name: &str) -> &str {
        match self.given.get(name) {
            Some(value) => value,
            None => find(name).map_or("", |flag| flag.default),
        }
    }

    /// A boolean flag.
    pub(super) fn flag(&self, name: &str) -> bool {
        text::boolean(self.text(name)).unwrap_or_default()
    }

    /// An unsigned number.
    pub(super) fn unsigned(&self, name: &str) -> u64 {
        text::unsigned(self.text(name), u64::MAX).unwrap_or_default()
    }

    /// A number that fits memory.
    pub(super) fn size(&self, name: &str) -> usize {
        usize::try_from(self.unsigned(name)).unwrap_or(usize::MAX)
    }

    /// A signed number.
    pub(super) fn signed(&self, name: &str) -> i64 {
        text::signed(self.text(name)).unwrap_or_default()
    }

    /// A duration.
    pub(super) fn duration(&self, name: &str) -> std::time::Duration {
        text::duration(self.text(name)).unwrap_or_default()
    }

    /// A list of words.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.lists.get(name) {
            Some(list) => list.clone(),
            None => text::list(self.text(name)),
        }
    }

    /// A list of URLs.
    pub(super) fn urls(&self, name: &str) -> Vec<Url> {
        Url::parse_list(self.text(name)).unwrap_or_default()
    }

    /// The flags given that [`Support`] warns of or refuses: the flag and why.
    pub(super) fn unsupported(&self) -> impl Iterator<Item = (&'static Flag, &str)> {
        all().filter_map(|flag| {
            let value = self.given.get(flag.name)?;
            (!same_value(flag, value)).then_some((flag, value.as_str()))
        })
    }
}

/// The part of an argument behind its dashes; none for something that is no flag.
fn flag_body(arg: &str) -> Result<Option<&str>, ConfigError> {
    let Some(body) = arg.strip_prefix('-').filter(|body| !body.is_empty()) else {
        return Ok(None);
    };
    let body = body.strip_prefix('-').unwrap_or(body);
    if body.is_empty() {
        return Ok(None);
    }
    if body.starts_with(['-', '=']) {
        return Err(ConfigError::Usage(format!("bad flag syntax: {arg}")));
    }
    Ok(Some(body))
}

/// Whether a value says the same as the flag's default.
fn same_value(flag: &Flag, value: &str) -> bool {
    match flag.kind {
        Kind::Bool => text::boolean(value) == text::boolean(flag.default),
        Kind::Duration => text::duration(value) == text::duration(flag.default),
        Kind::Unsigned | Kind::Unsigned32 => {
            text::unsigned(value, u64::MAX) == text::unsigned(flag.default, u64::MAX)
        }
        _ => value == flag.default,
    }
}

//! Command lines as upstream's components read them: `--name=value`, `--name value`, `--switch`, `--switch=false`.
//!
//! The error texts are upstream's. It decides nothing about values beyond their form.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::times::parse_duration;

/// The flags a program knows.
#[derive(Clone, Debug, Default)]
pub struct Known {
    values: BTreeMap<&'static str, &'static str>,
    switches: BTreeMap<&'static str, &'static str>,
}

/// Why a command line is refused. The text is what upstream prints after `Error: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such flag.
    #[error("unknown flag: --{0}")]
    Unknown(String),
    /// A single dash with a letter; these components have no such flags.
    #[error("unknown shorthand flag: '{0}' in {1}")]
    Shorthand(char, String),
    /// The value is missing.
    #[error("flag needs an argument: --{0}")]
    NeedsArgument(String),
    /// The value has the wrong form.
    #[error("invalid argument {value:?} for \"--{flag}\" flag: {cause}")]
    Invalid {
        /// The flag.
        flag: String,
        /// What was given.
        value: String,
        /// What is wrong.
        cause: String,
    },
    /// A word that is no flag.
    #[error("unknown command {word:?} for {program:?}")]
    Positional {
        /// The word.
        word: String,
        /// The program.
        program: String,
    },
}

/// A command line that has the right form.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    given: BTreeMap<String, Vec<String>>,
    help: bool,
}

impl Known {
    /// No flags.
    pub fn new() -> Self {
        Self::default()
    }

    /// A flag that takes a value.
    #[must_use]
    pub fn value(mut self, name: &'static str, help: &'static str) -> Self {
        self.values.insert(name, help);
        self
    }

    /// A boolean flag.
    #[must_use]
    pub fn switch(mut self, name: &'static str, help: &'static str) -> Self {
        self.switches.insert(name, help);
        self
    }

    /// Reads the arguments after the program's name.
    pub fn parse(&self, program: &str, args: &[String]) -> Result<Flags, Error> {
        let mut flags = Flags::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let Some(body) = arg.strip_prefix("--") else {
                match arg.strip_prefix('-').and_then(|rest| rest.chars().next()) {
                    Some('h') => {
                        flags.help = true;
                        continue;
                    }
                    Some(letter) => return Err(Error::Shorthand(letter, arg.clone())),
                    None => {
                        let (word, program) = (arg.clone(), program.to_owned());
                        return Err(Error::Positional { word, program });
                    }
                }
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let value = if name == "help" {
                flags.help = true;
                continue;
            } else if self.switches.contains_key(name) {
                let value = inline.unwrap_or_else(|| "true".to_owned());
                parse_bool(name, &value)?.to_string()
            } else if self.values.contains_key(name) {
                match inline.or_else(|| args.next().cloned()) {
                    Some(value) => value,
                    None => return Err(Error::NeedsArgument(name.to_owned())),
                }
            } else {
                return Err(Error::Unknown(name.to_owned()));
            };
            flags.given.entry(name.to_owned()).or_default().push(value);
        }
        Ok(flags)
    }

    /// The flags and what they are for, one a line.
    pub fn help(&self, program: &str) -> String {
        let mut lines = BTreeSet::new();
        lines.extend(
            self.values
                .iter()
                .map(|(name, help)| format!("      --{name} value   {help}")),
        );
        lines.extend(
            self.switches
                .iter()
                .map(|(name, help)| format!("      --{name}   {help}")),
        );
        let lines: Vec<String> = lines.into_iter().collect();
        format!(
            "Usage:\n  {program} [flags]\n\nFlags:\n{}\n",
            lines.join("\n")
        )
    }
}

impl Flags {
    /// Whether help was asked for.
    pub fn wants_help(&self) -> bool {
        self.help
    }

    /// The last value of a flag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name)?.last().map(String::as_str)
    }

    /// Every value of a flag, split at commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let given = self.given.get(name).map(Vec::as_slice).unwrap_or_default();
        let parts = given.iter().flat_map(|value| value.split(','));
        parts
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// A boolean flag.
    pub fn switch(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, |value| value == "true")
    }

    /// A duration in Go's form.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        let Some(value) = self.get(name) else {
            return Ok(default);
        };
        parse_duration(value)
            .ok_or_else(|| self.invalid(name, format!("time: invalid duration {value:?}")))
    }

    /// Any value with a text form.
    pub fn parsed<T>(&self, name: &str, default: T) -> Result<T, Error>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|error: T::Err| self.invalid(name, error.to_string())),
        }
    }

    /// The error of a flag whose value has the wrong form.
    pub fn invalid(&self, name: &str, cause: String) -> Error {
        let value = self.get(name).unwrap_or_default().to_owned();
        Error::Invalid {
            flag: name.to_owned(),
            value,
            cause,
        }
    }
}

fn parse_bool(name: &str, value: &str) -> Result<bool, Error> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error::Invalid {
            flag: name.to_owned(),
            value: value.to_owned(),
            cause: format!("strconv.ParseBool: parsing {value:?}: invalid syntax"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Error, Flags, Known};

    fn parse(line: &str) -> Result<Flags, Error> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let known = Known::new()
            .value("port", "")
            .value("wait", "")
            .switch("elect", "");
        known.parse("prog", &args)
    }

    #[test]
    fn reads_the_forms_that_upstream_reads() {
        let flags = parse("--port=1 --port 2 --elect --wait 1m5s").unwrap();
        assert_eq!(flags.parsed("port", 0_u16), Ok(2));
        assert!(flags.switch("elect", false));
        assert_eq!(
            flags.duration("wait", Duration::ZERO),
            Ok(Duration::from_secs(65))
        );
        assert!(!parse("--elect=false").unwrap().switch("elect", true));
        assert_eq!(
            parse("--port a,b --port=c").unwrap().list("port"),
            ["a", "b", "c"]
        );
        assert!(parse("--help").unwrap().wants_help());
    }

    #[test]
    fn refuses_with_upstreams_words() {
        let text = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(text("--foo"), "unknown flag: --foo");
        assert_eq!(text("--foo=1"), "unknown flag: --foo");
        assert_eq!(text("--port"), "flag needs an argument: --port");
        assert_eq!(text("-x"), "unknown shorthand flag: 'x' in -x");
        assert_eq!(text("word"), "unknown command \"word\" for \"prog\"");
        assert_eq!(
            text("--elect=maybe"),
            "invalid argument \"maybe\" for \"--elect\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }
}

//! Command lines as upstream's components read them: `--name=value`, `--name value`, `--switch`, `--switch=false`.
//!
//! The error texts are upstream's. It decides nothing about values beyond their form.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::AddrParseError;
use std::num::{ParseFloatError, ParseIntError};
use std::path::PathBuf;
use std::slice::Iter;
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
    /// Dashes without a name behind them.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// One half of what is only of use together.
    #[error("--{given} needs --{missing} beside it")]
    Half {
        /// The flag that was given.
        given: String,
        /// The flag that was not.
        missing: String,
    },
    /// Words that are no flags.
    #[error("{program:?} does not take any arguments, got {}", list_text(words))]
    Positional {
        /// The words.
        words: Vec<String>,
        /// The program.
        program: String,
    },
}

/// A list as upstream prints it: quoted, between spaces.
fn list_text(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
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
        let mut words = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                words.extend(args.by_ref().cloned());
            } else if let Some(body) = arg.strip_prefix("--") {
                self.long(&mut flags, body, &mut args)?;
            } else if let Some(letter) = arg.strip_prefix('-').and_then(|rest| rest.chars().next())
            {
                self.short(&mut flags, letter, arg, &mut args)?;
            } else {
                words.push(arg.clone());
            }
        }
        if words.iter().all(String::is_empty) {
            return Ok(flags);
        }
        let program = program.to_owned();
        Err(Error::Positional { words, program })
    }

    /// Reads what stands behind two dashes.
    fn long(
        &self,
        flags: &mut Flags,
        body: &str,
        rest: &mut Iter<'_, String>,
    ) -> Result<(), Error> {
        if body.starts_with(['-', '=']) {
            return Err(Error::Syntax(format!("--{body}")));
        }
        let (name, inline) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        if name == "help" {
            flags.help = true;
            return Ok(());
        }
        let value = if self.switches.contains_key(name) {
            let value = inline.unwrap_or_else(|| "true".to_owned());
            parse_bool(name, &value)?.to_string()
        } else if self.values.contains_key(name) {
            let value = inline.or_else(|| rest.next().cloned());
            value.ok_or_else(|| Error::NeedsArgument(name.to_owned()))?
        } else {
            return Err(Error::Unknown(name.to_owned()));
        };
        flags.given.entry(name.to_owned()).or_default().push(value);
        Ok(())
    }

    /// Reads what stands behind one dash.
    fn short(
        &self,
        flags: &mut Flags,
        letter: char,
        arg: &str,
        rest: &mut Iter<'_, String>,
    ) -> Result<(), Error> {
        match letter {
            'h' => flags.help = true,
            'v' if self.values.contains_key("v") => {
                let inline = arg.trim_start_matches("-v").trim_start_matches('=');
                let value = Some(inline.to_owned()).filter(|value| !value.is_empty());
                let value = value.or_else(|| rest.next().cloned());
                let value = value.ok_or_else(|| Error::NeedsArgument("v".to_owned()))?;
                flags.given.entry("v".to_owned()).or_default().push(value);
            }
            letter => return Err(Error::Shorthand(letter, arg.to_owned())),
        }
        Ok(())
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
        parse_duration(value).ok_or_else(|| {
            // A bare number is what people write most.
            let what = match value.parse::<f64>() {
                Ok(_) => "missing unit in",
                Err(_) => "invalid",
            };
            self.invalid(name, format!("time: {what} duration {value:?}"))
        })
    }

    /// Any value with a text form.
    pub fn parsed<T>(&self, name: &str, default: T) -> Result<T, Error>
    where
        T: std::str::FromStr,
        T::Err: Display + 'static,
    {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|error: T::Err| self.invalid(name, cause(value, &error))),
        }
    }

    /// Two files that are of use together alone, such as a certificate and its key; none if neither
    /// is given. An empty value counts as none.
    pub fn pair(&self, first: &str, second: &str) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        let path = |name: &str| self.get(name).filter(|p| !p.is_empty()).map(PathBuf::from);
        let half = |given: &str, missing: &str| Error::Half {
            given: given.to_owned(),
            missing: missing.to_owned(),
        };
        match (path(first), path(second)) {
            (Some(first), Some(second)) => Ok(Some((first, second))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(half(first, second)),
            (None, Some(_)) => Err(half(second, first)),
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

/// What upstream says of a text that is no number or no address.
fn cause(value: &str, error: &(impl Display + 'static)) -> String {
    let kind: &dyn Any = error;
    if kind.is::<ParseIntError>() {
        // A number that Go reads and that does not fit here.
        let why = match value.parse::<i128>() {
            Ok(_) => "value out of range",
            Err(_) => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {value:?}: {why}")
    } else if kind.is::<ParseFloatError>() {
        format!("strconv.ParseFloat: parsing {value:?}: invalid syntax")
    } else if kind.is::<AddrParseError>() {
        format!("failed to parse IP: {value:?}")
    } else {
        error.to_string()
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
            .value("v", "")
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
        for line in ["-v 4", "-v=4", "-v4", "--v=4"] {
            assert_eq!(parse(line).unwrap().get("v"), Some("4"), "{line}");
        }
    }

    #[test]
    fn refuses_with_upstreams_words() {
        let text = |line: &str| parse(line).unwrap_err().to_string();
        assert_eq!(text("--foo"), "unknown flag: --foo");
        assert_eq!(text("--foo=1"), "unknown flag: --foo");
        assert_eq!(text("--port"), "flag needs an argument: --port");
        assert_eq!(text("-x"), "unknown shorthand flag: 'x' in -x");
        assert_eq!(text("---foo"), "bad flag syntax: ---foo");
        assert_eq!(text("--=foo"), "bad flag syntax: --=foo");
        assert!(parse("--").is_ok());
        let words = "\"prog\" does not take any arguments, got [\"word\" \"--foo\"]";
        assert_eq!(text("word --elect -- --foo"), words);
        assert_eq!(
            text("--elect=maybe"),
            "invalid argument \"maybe\" for \"--elect\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }

    #[test]
    fn refuses_values_with_upstreams_words() {
        let flags = |value: &str| parse(&format!("--port={value} --wait={value}")).unwrap();
        let cause = |value: &str, error: Error| {
            let text = error.to_string();
            let head = format!("invalid argument {value:?} for \"--");
            assert!(text.starts_with(&head), "{text}");
            text.rsplit_once(" flag: ").unwrap().1.to_owned()
        };
        let port = |value: &str| cause(value, flags(value).parsed("port", 0_u16).unwrap_err());
        let parsing = "strconv.ParseInt: parsing";
        assert_eq!(port("abc"), format!("{parsing} \"abc\": invalid syntax"));
        assert_eq!(
            port("70000"),
            format!("{parsing} \"70000\": value out of range")
        );
        assert_eq!(port("-1"), format!("{parsing} \"-1\": value out of range"));
        let rate = flags("fast").parsed("port", 0.1_f64).unwrap_err();
        let words = "strconv.ParseFloat: parsing \"fast\": invalid syntax";
        assert_eq!(cause("fast", rate), words);
        let address = flags("here").parsed("port", std::net::Ipv4Addr::LOCALHOST);
        assert_eq!(
            cause("here", address.unwrap_err()),
            "failed to parse IP: \"here\""
        );
        let wait = |value: &str| {
            let wait = flags(value).duration("wait", Duration::ZERO);
            cause(value, wait.unwrap_err())
        };
        assert_eq!(wait("5"), "time: missing unit in duration \"5\"");
        assert_eq!(wait("soon"), "time: invalid duration \"soon\"");
    }

    #[test]
    fn two_files_come_together() {
        let pair = |line: &str| parse(line).unwrap().pair("port", "wait");
        let text = |line: &str| pair(line).unwrap_err().to_string();
        assert_eq!(pair("--elect"), Ok(None));
        assert_eq!(
            pair("--port=a --wait=b"),
            Ok(Some(("a".into(), "b".into())))
        );
        assert_eq!(text("--port=a"), "--port needs --wait beside it");
        assert_eq!(text("--wait=b"), "--wait needs --port beside it");
    }
}

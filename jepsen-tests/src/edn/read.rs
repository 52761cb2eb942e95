//! Reads EDN, one value after another. Never panics, whatever the bytes; never deeper than
//! [`DEPTH_MAX`].

use thiserror::Error;

use super::print::NAMED_CHARACTERS;
use super::{Value, number};

/// Nesting of a value; histories need five.
const DEPTH_MAX: usize = 64;
/// How much of a token an error shows, in characters.
const SHOWN_MAX: usize = 40;

/// Why a text is no EDN, and where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}, column {column}: {what}")]
pub(crate) struct Error {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) what: String,
}

/// Reads values from a text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `text`, at its beginning.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next value, or nothing at the end of the text.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Error> {
        self.skip(0)?;
        if self.at == self.text.len() {
            return Ok(None);
        }
        self.value(0).map(Some)
    }

    /// Steps into a vector or list that is the next value: its values can then be read one by one,
    /// to [`Self::leave`].
    pub(crate) fn enter(&mut self) -> Result<Option<char>, Error> {
        self.skip(0)?;
        let close = match self.peek() {
            Some('[') => ']',
            Some('(') => ')',
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(close))
    }

    /// Whether the next is `close`, which is then passed.
    pub(crate) fn leave(&mut self, close: char) -> Result<bool, Error> {
        self.skip(0)?;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(true);
        }
        match self.peek() {
            None => Err(self.cut_short(close)),
            Some(_) => Ok(false),
        }
    }

    /// The byte at which the next value begins.
    pub(crate) fn offset(&mut self) -> Result<usize, Error> {
        self.skip(0)?;
        Ok(self.at)
    }

    /// Line and column of a byte of the text.
    fn place_of(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    fn error(&self, at: usize, what: impl Into<String>) -> Error {
        let (line, column) = self.place_of(at);
        let what = what.into();
        Error { line, column, what }
    }

    fn cut_short(&self, close: char) -> Error {
        self.error(
            self.text.len(),
            format!("the text ends where a '{close}' is missing: it was cut short"),
        )
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Passes blanks, commas, comments and discarded values.
    fn skip(&mut self, depth: usize) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            let blank = rest.trim_start_matches(|char: char| char.is_whitespace() || char == ',');
            self.at += rest.len() - blank.len();
            if blank.starts_with(';') || blank.starts_with("#!") {
                self.at += blank.find('\n').unwrap_or(blank.len());
            } else if blank.starts_with("#_") {
                // One discard may stand before another, so that they nest like values.
                if depth > DEPTH_MAX {
                    return Err(self.error(self.at, format!("nested deeper than {DEPTH_MAX}")));
                }
                self.at += 2;
                self.nested(depth + 1)?;
            } else {
                return Ok(());
            }
        }
    }

    /// A value that must be there.
    fn nested(&mut self, depth: usize) -> Result<Value, Error> {
        self.skip(depth)?;
        self.value(depth + 1)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(self.error(self.at, format!("nested deeper than {DEPTH_MAX}")));
        }
        let Some(first) = self.peek() else {
            return Err(self.error(self.at, "the text ends where a value is missing"));
        };
        match first {
            '[' => Ok(Value::Vector(self.sequence(1, ']', depth)?)),
            '(' => Ok(Value::List(self.sequence(1, ')', depth)?)),
            '{' => self.map(None, depth),
            '"' => self.text().map(Value::Text),
            '\\' => self.character(),
            ':' => self.keyword(),
            '#' => self.dispatch(depth),
            '^' => {
                // Metadata says nothing of the value that follows it.
                self.at += 1;
                self.nested(depth)?;
                self.nested(depth)
            }
            ']' | ')' | '}' => Err(self.error(self.at, format!("'{first}' closes nothing"))),
            _ => self.word(),
        }
    }

    /// The values to `close`; `open` is how many bytes begin it.
    fn sequence(&mut self, open: usize, close: char, depth: usize) -> Result<Vec<Value>, Error> {
        self.at += open;
        let mut all = Vec::new();
        loop {
            self.skip(depth)?;
            match self.peek() {
                None => return Err(self.cut_short(close)),
                Some(char) if char == close => {
                    self.at += 1;
                    return Ok(all);
                }
                Some(_) => all.push(self.value(depth + 1)?),
            }
        }
    }

    /// A map; its keys without a namespace get `namespace`.
    fn map(&mut self, namespace: Option<&str>, depth: usize) -> Result<Value, Error> {
        let start = self.at;
        let mut all = self.sequence(1, '}', depth)?.into_iter();
        let mut pairs = Vec::with_capacity(all.len() / 2);
        while let Some(key) = all.next() {
            let Some(value) = all.next() else {
                return Err(self.error(start, "a map with a key that has no value"));
            };
            let key = match (namespace, key) {
                (Some(namespace), Value::Keyword(name)) if !name.contains('/') => {
                    Value::Keyword(format!("{namespace}/{name}"))
                }
                (_, key) => key,
            };
            pairs.push((key, value));
        }
        Ok(Value::Map(pairs))
    }

    fn dispatch(&mut self, depth: usize) -> Result<Value, Error> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("#{") {
            return Ok(Value::Set(self.sequence(2, '}', depth)?));
        }
        if rest.starts_with("##") {
            self.at += 2;
            let name = self.token();
            return Ok(Value::Number(format!("##{name}")));
        }
        if rest.starts_with("#:") {
            self.at += 2;
            let namespace = self.token();
            self.skip(depth)?;
            if self.peek() != Some('{') {
                return Err(self.error(start, "#: is not followed by a map"));
            }
            return self.map(Some(namespace), depth);
        }
        self.at += 1;
        let tag = self.token();
        if !tag.starts_with(char::is_alphabetic) {
            return Err(self.error(start, format!("'#{}' is no tag", shown(tag))));
        }
        let held = self.nested(depth)?;
        Ok(match (tag, held) {
            (
                "jepsen.independent/tuple"
                | "jepsen.independent.tuple"
                | "jepsen.independent.Tuple"
                | "clojure.lang.MapEntry",
                Value::Vector(mut pair),
            ) if pair.len() == 2 => {
                let second = pair.pop().unwrap_or(Value::Nil);
                let first = pair.pop().unwrap_or(Value::Nil);
                Value::Tuple(Box::new((first, second)))
            }
            (_, held) => held,
        })
    }

    /// To the next character that ends a word.
    fn token(&mut self) -> &'a str {
        let rest = self.rest();
        let is_end = |char: char| {
            char.is_whitespace()
                || matches!(char, ',' | '"' | ';' | '[' | ']' | '(' | ')' | '{' | '}')
        };
        let token = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += token.len();
        token
    }

    fn keyword(&mut self) -> Result<Value, Error> {
        let start = self.at;
        match self.token().trim_start_matches(':') {
            "" => Err(self.error(start, "a ':' without a name")),
            name => Ok(Value::Keyword(name.to_owned())),
        }
    }

    fn word(&mut self) -> Result<Value, Error> {
        let start = self.at;
        let token = self.token();
        if let Some(number) = number::parse(token) {
            return Ok(number);
        }
        match token {
            "nil" => Ok(Value::Nil),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ if token.starts_with(|first: char| first.is_ascii_digit()) => {
                Err(self.error(start, format!("'{}' is no number", shown(token))))
            }
            _ if token.chars().all(is_symbolic) => Ok(Value::Symbol(token.to_owned())),
            _ => Err(self.error(start, format!("'{}' is no EDN", shown(token)))),
        }
    }

    fn character(&mut self) -> Result<Value, Error> {
        let start = self.at;
        self.at += 1;
        // The first is taken whatever it is: `\[` and `\"` are characters.
        let first = self.peek().map_or(0, char::len_utf8);
        let begin = self.at;
        self.at += first;
        self.token();
        let token = &self.text[begin..self.at];
        let mut chars = token.chars();
        if let (Some(only), None) = (chars.next(), chars.next()) {
            return Ok(Value::Char(only));
        }
        let named = NAMED_CHARACTERS.iter().find(|(name, _)| *name == token);
        let coded = || {
            let code = u32::from_str_radix(token.strip_prefix('u')?, 16).ok()?;
            char::from_u32(code)
        };
        named
            .map(|(_, char)| *char)
            .or_else(coded)
            .map(Value::Char)
            .ok_or_else(|| self.error(start, format!("'\\{}' is no character", shown(token))))
    }

    fn text(&mut self) -> Result<String, Error> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(stop) = rest.find(['"', '\\']) else {
                return Err(self.error(start, "a text that never ends: it was cut short"));
            };
            text.push_str(&rest[..stop]);
            self.at += stop + 1;
            if rest[stop..].starts_with('"') {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// What follows a backslash within a text.
    fn escape(&mut self) -> Result<char, Error> {
        let start = self.at.saturating_sub(1);
        let first = self.peek();
        self.at += first.map_or(0, char::len_utf8);
        let simple = match first {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some(same @ ('"' | '\\' | '\'')) => Some(same),
            Some('u') => {
                let code = self.rest().get(..4).unwrap_or("");
                self.at += code.len();
                // Half of a surrogate pair stands for a character that the other half alone
                // cannot name; what Java prints so was no text to begin with.
                let code = u32::from_str_radix(code, 16).ok();
                code.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            Some(digit @ '0'..='7') => Some(self.octal(digit)),
            _ => None,
        };
        simple.ok_or_else(|| self.error(start, "an unknown escape in a text"))
    }

    /// Up to three octal digits, as Java has them.
    fn octal(&mut self, first: char) -> char {
        let mut code = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|char| char.to_digit(8)) else {
                break;
            };
            self.at += 1;
            code = code * 8 + digit;
        }
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

fn is_symbolic(char: char) -> bool {
    char.is_alphanumeric() || ".*+!-_?$%&=<>/'#:|~@".contains(char)
}

/// The beginning of a token, for an error.
fn shown(token: &str) -> String {
    token.chars().take(SHOWN_MAX).collect()
}

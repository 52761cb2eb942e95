//! Writes a value as EDN, on one line.

use std::fmt::{self, Display, Formatter, Write as _};

use super::Value;

impl Display for Value {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => to.write_str("nil"),
            Self::Bool(truth) => write!(to, "{truth}"),
            Self::Int(number) => write!(to, "{number}"),
            Self::Number(text) | Self::Symbol(text) => to.write_str(text),
            Self::Text(text) => quoted(text, to),
            Self::Char(char) => character(*char, to),
            Self::Keyword(name) => write!(to, ":{name}"),
            Self::List(all) => sequence("(", all, ")", to),
            Self::Vector(all) => sequence("[", all, "]", to),
            Self::Set(all) => sequence("#{", all, "}", to),
            Self::Map(pairs) => map(pairs, to),
            Self::Tuple(pair) => write!(to, "#jepsen.independent/tuple [{} {}]", pair.0, pair.1),
        }
    }
}

fn sequence(open: &str, all: &[Value], close: &str, to: &mut Formatter<'_>) -> fmt::Result {
    to.write_str(open)?;
    for (number, value) in all.iter().enumerate() {
        if number > 0 {
            to.write_char(' ')?;
        }
        value.fmt(to)?;
    }
    to.write_str(close)
}

fn map(pairs: &[(Value, Value)], to: &mut Formatter<'_>) -> fmt::Result {
    to.write_char('{')?;
    for (number, (key, value)) in pairs.iter().enumerate() {
        if number > 0 {
            to.write_str(", ")?;
        }
        write!(to, "{key} {value}")?;
    }
    to.write_char('}')
}

fn quoted(text: &str, to: &mut Formatter<'_>) -> fmt::Result {
    to.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' => to.write_str("\\\"")?,
            '\\' => to.write_str("\\\\")?,
            '\n' => to.write_str("\\n")?,
            '\r' => to.write_str("\\r")?,
            '\t' => to.write_str("\\t")?,
            // Only characters of the basic plane are control characters, so four digits do.
            char if char.is_control() => write!(to, "\\u{:04x}", u32::from(char))?,
            char => to.write_char(char)?,
        }
    }
    to.write_char('"')
}

/// Characters with a name of their own, as the notation has them.
pub(super) const NAMED_CHARACTERS: [(&str, char); 6] = [
    ("newline", '\n'),
    ("return", '\r'),
    ("space", ' '),
    ("tab", '\t'),
    ("backspace", '\u{8}'),
    ("formfeed", '\u{c}'),
];

fn character(char: char, to: &mut Formatter<'_>) -> fmt::Result {
    let named = NAMED_CHARACTERS.iter().find(|(_, named)| *named == char);
    match named {
        Some((name, _)) => write!(to, "\\{name}"),
        None if char.is_control() || char.is_whitespace() => {
            write!(to, "\\u{:04x}", u32::from(char))
        }
        None => write!(to, "\\{char}"),
    }
}

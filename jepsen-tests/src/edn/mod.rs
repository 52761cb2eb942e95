//! EDN, the notation in which Jepsen keeps its histories: a value, a reader and a printer.
//!
//! Only the data of the notation, nothing of Clojure. The reader takes any bytes: it bounds its
//! depth, and names line and column of what it cannot read.

mod number;
mod print;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::{Error, Reader};

/// One EDN value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// `nil`.
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// Any other number (`1.5`, `2/3`, `1e9`, `##NaN`, whole numbers past 64 bits) by its text:
    /// checkers compare numbers and never calculate with them.
    Number(String),
    /// `"text"`.
    Text(String),
    /// `\a`.
    Char(char),
    /// `:name` or `:namespace/name`, without the colon.
    Keyword(String),
    /// A bare word.
    Symbol(String),
    /// `(…)`.
    List(Vec<Value>),
    /// `[…]`.
    Vector(Vec<Value>),
    /// `{…}`, in the order of the text.
    Map(Vec<(Value, Value)>),
    /// `#{…}`, in the order of the text.
    Set(Vec<Value>),
    /// What `jepsen.independent` writes: a key and the value of one operation on it. Other tagged
    /// values are read through, as what they hold.
    Tuple(Box<(Value, Value)>),
}

impl Value {
    /// A keyword.
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(name.to_owned())
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The name of a keyword, symbol or text, without its namespace: `:jepsen/ok` and `"ok"` are
    /// both `ok`.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Keyword(name) | Self::Symbol(name) => Some(unqualified(name)),
            Self::Text(name) => Some(name),
            _ => None,
        }
    }

    /// The elements of a vector, list or set.
    pub(crate) fn elements(&self) -> Option<&[Self]> {
        match self {
            Self::Vector(all) | Self::List(all) | Self::Set(all) => Some(all),
            _ => None,
        }
    }

    /// The two parts of a tuple or of a vector of two.
    pub(crate) fn pair(&self) -> Option<(&Self, &Self)> {
        match self {
            Self::Tuple(pair) => Some((&pair.0, &pair.1)),
            Self::Vector(all) | Self::List(all) => match all.as_slice() {
                [first, second] => Some((first, second)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The number, if it is a whole one.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// What follows the namespace; `/` itself is a name.
fn unqualified(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((_, last)) if !last.is_empty() => last,
        _ => name,
    }
}

//! Field selectors: equality over a few fields of each kind.
//!
//! Which fields a kind offers is in the kind table; a field that is not there is refused with
//! upstream's words. Input: a query parameter of any bytes.

use std::fmt;

use crate::kinds::Kind;

/// All terms must hold; no term matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

/// One field compared with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field's path, such as `spec.nodeName`.
    pub field: String,
    /// The value.
    pub value: String,
    /// True for `=`, false for `!=`.
    pub is_equal: bool,
}

/// Why a field selector cannot be read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A part is no term.
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    Term {
        /// All of it.
        selector: String,
        /// The part.
        part: String,
    },
    /// A value ends in or contains a bad escape.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// The kind has no such selectable field.
    #[error("field label not supported: {0}")]
    Unsupported(String),
    /// The kind, of those with their own text, has no such selectable field.
    #[error("{field:?} is not a known field selector: only {known}")]
    Unknown {
        /// The field.
        field: String,
        /// The fields that it has, as upstream lists them.
        known: String,
    },
}

impl FieldSelector {
    /// Matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// One term of equality.
    pub fn equal(field: &str, value: &str) -> Self {
        let term = Term {
            field: field.to_owned(),
            value: value.to_owned(),
            is_equal: true,
        };
        Self { terms: vec![term] }
    }

    /// Reads the text form, such as `spec.nodeName=a,status.phase!=Running`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut terms = Vec::new();
        for part in split(text) {
            if part.is_empty() {
                continue;
            }
            terms.push(term(text, part)?);
        }
        Ok(Self { terms })
    }

    /// Refuses fields that objects of the kind cannot be selected by.
    pub fn check(&self, kind: &Kind) -> Result<(), Error> {
        for term in &self.terms {
            let is_common = match term.field.as_str() {
                "metadata.name" => true,
                "metadata.namespace" => kind.namespaced || kind.field_labels.is_empty(),
                _ => false,
            };
            if is_common || kind.field_labels.contains(&term.field) {
                continue;
            }
            if kind.field_labels.is_empty() {
                let known = "\"metadata.name\", \"metadata.namespace\"".to_owned();
                return Err(Error::Unknown {
                    field: term.field.clone(),
                    known,
                });
            }
            return Err(Error::Unsupported(term.field.clone()));
        }
        Ok(())
    }

    /// The terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if the selector says so.
    pub fn required(&self, field: &str) -> Option<&str> {
        let term = self
            .terms
            .iter()
            .find(|term| term.is_equal && term.field == field)?;
        Some(&term.value)
    }

    /// Whether every term holds; an absent field is empty. `get` finds a field's value.
    pub fn matches_with<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        let holds =
            |term: &Term| (get(&term.field).unwrap_or_default() == term.value) == term.is_equal;
        self.terms.iter().all(holds)
    }

    /// Whether the fields in an object's header satisfy every term.
    pub fn matches(&self, header: &crate::header::Header) -> bool {
        self.matches_with(|field| header.field(field))
    }
}

/// Splits at commas that are not escaped.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    text.split(move |c| {
        let ends = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })
}

fn term(selector: &str, part: &str) -> Result<Term, Error> {
    let wrong = || Error::Term {
        selector: selector.to_owned(),
        part: part.to_owned(),
    };
    let at = part.find(['=', '!']).ok_or_else(wrong)?;
    let (field, rest) = part.split_at(at);
    let (rest, is_equal) = if let Some(rest) = rest.strip_prefix("!=") {
        (rest, false)
    } else if let Some(rest) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        (rest, true)
    } else {
        return Err(wrong());
    };
    Ok(Term {
        field: field.trim().to_owned(),
        value: unescape(rest)?,
        is_equal,
    })
}

fn unescape(text: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(Error::Escape(format!("\\{c}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            // An unescaped one would make the text ambiguous.
            ',' | '=' => return Err(Error::Escape(c.to_string())),
            c => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let sign = if term.is_equal { "=" } else { "!=" };
            let value = term
                .value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(f, "{comma}{}{sign}{value}", term.field)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, FieldSelector};
    use crate::kinds::Kinds;

    #[test]
    fn reading_and_printing() {
        for text in ["a=b", "a!=b", "a=b,c!=d", "a=x\\,y\\=z\\\\"] {
            assert_eq!(FieldSelector::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(FieldSelector::parse("a==b").unwrap().to_string(), "a=b");
        assert!(FieldSelector::parse("").unwrap().is_everything());
        assert_eq!(
            FieldSelector::parse("a=x\\,y").unwrap().required("a"),
            Some("x,y")
        );
        for bad in ["a", "a!b", "a=b\\", "a=b\\c", "a=b=c"] {
            FieldSelector::parse(bad).unwrap_err();
        }
        assert_eq!(
            FieldSelector::parse("a=b,c").unwrap_err().to_string(),
            "invalid selector: 'a=b,c'; can't understand 'c'"
        );
    }

    #[test]
    fn absent_fields_are_empty() {
        let get = |field: &str| (field == "a").then_some("1");
        let matches = |text: &str| FieldSelector::parse(text).unwrap().matches_with(get);
        assert!(matches("a=1") && matches("b=") && matches("b!=1") && matches("a=1,b!=2"));
        assert!(!matches("a!=1") && !matches("b=1") && !matches("b!="));
    }

    #[test]
    fn kinds_offer_their_fields() {
        let kinds = Kinds::builtin();
        let pods = kinds.by_resource("", "v1", "pods").unwrap();
        FieldSelector::parse("spec.nodeName=a,metadata.name=b")
            .unwrap()
            .check(pods)
            .unwrap();
        assert_eq!(
            FieldSelector::parse("spec.foo=a").unwrap().check(pods),
            Err(Error::Unsupported("spec.foo".to_owned()))
        );
        let maps = kinds.by_resource("", "v1", "configmaps").unwrap();
        assert_eq!(
            FieldSelector::parse("spec.foo=a")
                .unwrap()
                .check(maps)
                .unwrap_err()
                .to_string(),
            "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
}

//! Label selectors: the text form of queries and the structured form inside objects.
//!
//! Input comes from users, so parsing returns errors in upstream's words and never panics.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use crate::cause::{Cause, quoted};
use crate::names;

mod parse;

/// All requirements must hold; no requirement matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    matches_nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: BTreeSet<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `==`: the one value.
    Equals,
    /// `!=`: absent or another value.
    NotEquals,
    /// `in`: one of the values.
    In,
    /// `notin`: absent or none of the values.
    NotIn,
    /// Present.
    Exists,
    /// `!`: absent.
    DoesNotExist,
    /// `>`: an integer above the value.
    GreaterThan,
    /// `<`: an integer below the value.
    LessThan,
}

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Selector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches no object.
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            matches_nothing: true,
        }
    }

    /// Reads the text form, such as `app=web,tier in (a, b),!old`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut requirements = parse::requirements(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self {
            requirements,
            matches_nothing: false,
        })
    }

    /// Equality with each pair.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirement = |(key, value): (&str, &str)| Requirement {
            key: key.to_owned(),
            operator: Operator::Equals,
            values: BTreeSet::from([value.to_owned()]),
        };
        let mut requirements: Vec<_> = pairs.into_iter().map(requirement).collect();
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            requirements,
            matches_nothing: false,
        }
    }

    /// Reads the structured form (`matchLabels`, `matchExpressions`). An absent selector matches
    /// nothing, an empty one everything.
    pub fn from_value(selector: Option<&Value>) -> Result<Self, Error> {
        let Some(selector) = selector.filter(|value| !value.is_null()) else {
            return Ok(Self::nothing());
        };
        let pairs = crate::object::string_map(selector, &["matchLabels"]);
        let mut all = Self::from_pairs(pairs);
        for expression in crate::object::list_at(selector, &["matchExpressions"]) {
            all.requirements.push(expression_of(expression)?);
        }
        all.requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(all)
    }

    /// Whether it matches every object.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.matches_nothing
    }

    /// The conditions.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether the labels satisfy every requirement. `get` finds a label's value.
    pub fn matches_with<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.matches_nothing
            && self
                .requirements
                .iter()
                .all(|one| one.matches(get(&one.key)))
    }

    /// Whether labels given as sorted pairs satisfy every requirement.
    pub fn matches(&self, labels: &[(Box<str>, Box<str>)]) -> bool {
        self.matches_with(|key| find(labels, key))
    }

    /// Whether the labels of an object satisfy every requirement.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches_with(|key| crate::object::label(object, key))
    }
}

/// The value of a key in sorted pairs.
pub fn find<'a>(labels: &'a [(Box<str>, Box<str>)], key: &str) -> Option<&'a str> {
    let at = labels
        .binary_search_by(|(found, _)| found.as_ref().cmp(key))
        .ok()?;
    labels.get(at).map(|(_, value)| value.as_ref())
}

impl Requirement {
    /// A requirement whose key, operator and values fit each other.
    pub fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, Error> {
        // The path of a selector that stands alone is printed by upstream as `<nil>`.
        let fault = |cause: Cause| Error(cause.to_string());
        let faults = names::label_key(key);
        if !faults.is_empty() {
            return Err(fault(Cause::invalid("<nil>", key, &faults.join("; "))));
        }
        let list = Value::from(values.iter().cloned().collect::<Vec<_>>());
        let wrong = |detail: &str| Err(fault(Cause::invalid("values", &list, detail)));
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return wrong("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::NotEquals if values.len() != 1 => {
                return wrong("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return wrong("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                return wrong("for 'Gt', 'Lt' operators, exactly one value is required");
            }
            _ => {}
        }
        for (at, value) in values.iter().enumerate() {
            let path = format!("values[{at}]");
            if matches!(operator, Operator::GreaterThan | Operator::LessThan)
                && value.parse::<i64>().is_err()
            {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                return Err(fault(Cause::invalid(path, value, detail)));
            }
            let faults = names::label_value(value);
            if !faults.is_empty() {
                let path = format!("values[{at}][{key}]");
                return Err(fault(Cause::invalid(path, value, &faults.join("; "))));
            }
        }
        Ok(Self {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    fn matches(&self, found: Option<&str>) -> bool {
        match self.operator {
            Operator::Equals | Operator::In => {
                found.is_some_and(|value| self.values.contains(value))
            }
            Operator::NotEquals | Operator::NotIn => {
                found.is_none_or(|value| !self.values.contains(value))
            }
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan => self.compare(found, |found, bound| found > bound),
            Operator::LessThan => self.compare(found, |found, bound| found < bound),
        }
    }

    fn compare(&self, found: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let found = found.and_then(|value| value.parse().ok());
        let bound = self.values.first().and_then(|value| value.parse().ok());
        found
            .zip(bound)
            .is_some_and(|(found, bound)| holds(found, bound))
    }
}

fn expression_of(expression: &Value) -> Result<Requirement, Error> {
    let text = |field| crate::object::str_at(expression, &[field]).unwrap_or_default();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(Error(format!(
                "{} is not a valid label selector operator",
                quoted(other)
            )));
        }
    };
    let values = crate::object::list_at(expression, &["values"]);
    let values = values
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Requirement::new(text("key"), operator, values)
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self
            .values
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests;

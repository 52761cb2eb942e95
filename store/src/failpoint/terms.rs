//! gofail's little language: `2*off->50.0%sleep("1s")->panic`. Terms are tried from the left; the first
//! whose count is not used up, and whose chance comes up, is done.

use std::time::Duration;

/// No test waits longer than this at one place.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// What to do at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Sleep(Duration),
    Return(String),
    Panic,
}

/// Text that is no terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadTerms {
    #[error("no terms")]
    Empty,
    #[error("unknown action")]
    Action,
    #[error("bad count or percentage")]
    Modifier,
    #[error("bad argument")]
    Argument,
}

/// A place's terms, with what is left of their counts.
#[derive(Debug)]
pub(super) struct Terms {
    text: String,
    chain: Vec<Term>,
}

#[derive(Debug)]
struct Term {
    /// How often it may still be done; none is always.
    left: Option<u64>,
    /// Of a hundred.
    percent: Option<f64>,
    /// None for `off`.
    deed: Option<Deed>,
}

impl Terms {
    pub(super) fn parse(text: &str) -> Result<Self, BadTerms> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadTerms::Empty);
        }
        let chain = text
            .split("->")
            .map(Term::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            chain,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What to do this time.
    pub(super) fn next(&mut self) -> Option<Deed> {
        let term = self
            .chain
            .iter_mut()
            .find_map(|term| term.is_up().then_some(term))?;
        term.deed.clone()
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, BadTerms> {
        let mut rest = text.trim();
        let mut term = Self {
            left: None,
            percent: None,
            deed: None,
        };
        while let Some((number, after)) = modifier(rest) {
            let sign = rest[number.len()..].chars().next();
            match sign {
                Some('*') => term.left = Some(number.parse().map_err(|_| BadTerms::Modifier)?),
                _ => term.percent = Some(number.parse().map_err(|_| BadTerms::Modifier)?),
            }
            rest = after;
        }
        term.deed = deed(rest)?;
        Ok(term)
    }

    fn is_up(&mut self) -> bool {
        if self
            .percent
            .is_some_and(|percent| chance() * 100.0 >= percent)
        {
            return false;
        }
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// From 0 to below 1. Chance belongs to tests; no part of the store draws from it.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = bits as f64 / (1_u64 << 53) as f64;
    share
}

/// A number followed by `*` or `%`, and what comes after the sign.
fn modifier(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    if end == 0 {
        return None;
    }
    let (number, rest) = text.split_at(end);
    let after = rest.strip_prefix(['*', '%'])?;
    Some((number, after))
}

fn deed(text: &str) -> Result<Option<Deed>, BadTerms> {
    let (action, argument) = match text.split_once('(') {
        Some((action, rest)) => {
            let argument = rest.strip_suffix(')').ok_or(BadTerms::Argument)?;
            (action, Some(argument))
        }
        None => (text, None),
    };
    match action {
        "off" | "break" | "print" => Ok(None),
        "panic" => Ok(Some(Deed::Panic)),
        "return" => Ok(Some(Deed::Return(
            argument.map(unquoted).unwrap_or_default().to_owned(),
        ))),
        "sleep" => duration(argument.unwrap_or_default()).map(|time| Some(Deed::Sleep(time))),
        _ => Err(BadTerms::Action),
    }
}

fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// A bare number is milliseconds; a quoted one has its unit.
fn duration(argument: &str) -> Result<Duration, BadTerms> {
    let text = unquoted(argument);
    let split = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| BadTerms::Argument)?;
    let seconds = match unit {
        "" | "ms" => number / 1e3,
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(BadTerms::Argument),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| BadTerms::Argument)?;
    Ok(time.min(SLEEP_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Result<Option<Deed>, BadTerms> {
        Terms::parse(text).map(|mut terms| terms.next())
    }

    #[test]
    fn what_tools_send_is_understood() {
        for (text, deed) in [
            ("panic", Some(Deed::Panic)),
            ("panic(\"x\")", Some(Deed::Panic)),
            ("off", None),
            ("sleep(100)", Some(Deed::Sleep(Duration::from_millis(100)))),
            ("sleep(\"1s\")", Some(Deed::Sleep(Duration::from_secs(1)))),
            (
                "sleep(\"1.5ms\")",
                Some(Deed::Sleep(Duration::from_micros(1500))),
            ),
            ("return(\"a\")", Some(Deed::Return("a".to_owned()))),
            ("return", Some(Deed::Return(String::new()))),
            ("100%panic", Some(Deed::Panic)),
            ("0.0%panic", None),
            ("0%panic->return(\"b\")", Some(Deed::Return("b".to_owned()))),
        ] {
            assert_eq!(first(text), Ok(deed), "{text}");
        }
    }

    #[test]
    fn counts_are_used_up_one_after_the_other() {
        let mut terms = Terms::parse("2*off->1*return(\"a\")->panic").unwrap();
        let deeds: Vec<_> = (0..5).map(|_| terms.next()).collect();
        let returned = Some(Deed::Return("a".to_owned()));
        let panics = Some(Deed::Panic);
        assert_eq!(deeds, [None, None, returned, panics.clone(), panics]);
    }

    #[test]
    fn what_is_no_terms_is_refused() {
        for text in [
            "",
            "dance",
            "sleep",
            "sleep(\"1y\")",
            "panic(",
            "x*off",
            "sleep(-1)",
        ] {
            assert!(first(text).is_err(), "{text}");
        }
    }
}

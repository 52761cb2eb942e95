//! The text form of label selectors, token by token. Input: a query parameter of any bytes.

use std::collections::BTreeSet;

use super::{Error, Operator, Requirement};

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Open,
    Close,
    Comma,
    Not,
    Operator(Operator, &'a str),
    Word(&'a str),
}

impl<'a> Token<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::End => "",
            Self::Open => "(",
            Self::Close => ")",
            Self::Comma => ",",
            Self::Not => "!",
            Self::Operator(_, text) | Self::Word(text) => text,
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

/// Reads every requirement of the text.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, Error> {
    let mut parser = Parser { rest: text };
    let mut found = Vec::new();
    loop {
        match parser.peek() {
            Token::Word(_) | Token::Not | Token::Operator(Operator::In | Operator::NotIn, _) => {
                let one = parser.requirement();
                found.push(
                    one.map_err(|Error(why)| Error(format!("unable to parse requirement: {why}")))?,
                );
            }
            Token::End => return Ok(found),
            other => {
                return Err(expected(&other, "!, identifier, or 'end of string'"));
            }
        }
        match parser.next() {
            Token::End => return Ok(found),
            Token::Comma => match parser.peek() {
                Token::Word(_)
                | Token::Not
                | Token::Operator(Operator::In | Operator::NotIn, _) => {}
                other => return Err(expected(&other, "identifier after ','")),
            },
            other => return Err(expected(&other, "',' or 'end of string'")),
        }
    }
}

fn expected(found: &Token<'_>, what: &str) -> Error {
    Error(format!("found '{}', expected: {what}", found.text()))
}

impl<'a> Parser<'a> {
    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut negated = false;
        if self.peek() == Token::Not {
            self.next();
            negated = true;
        }
        let key = self.key()?;
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let token = self.next();
        let Token::Operator(operator, _) = token else {
            return Err(expected(&token, OPERATORS));
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.value_set()?,
            _ => BTreeSet::from([self.exact_value()?]),
        };
        Requirement::new(key, operator, values)
    }

    /// A key may also be called `in` or `notin`.
    fn key(&mut self) -> Result<&'a str, Error> {
        match self.next() {
            Token::Word(word) | Token::Operator(Operator::In | Operator::NotIn, word) => Ok(word),
            other => Err(expected(&other, "identifier")),
        }
    }

    fn exact_value(&mut self) -> Result<String, Error> {
        match self.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            Token::Word(_) | Token::Operator(Operator::In | Operator::NotIn, _) => {
                Ok(self.next().text().to_owned())
            }
            other => Err(expected(&other, "identifier")),
        }
    }

    fn value_set(&mut self) -> Result<BTreeSet<String>, Error> {
        let open = self.next();
        if open != Token::Open {
            // Upstream leaves the comma out in this one text.
            return Err(Error(format!("found '{}' expected: '('", open.text())));
        }
        let mut values = BTreeSet::new();
        let mut wants_value = true;
        loop {
            match self.next() {
                Token::Word(word) | Token::Operator(Operator::In | Operator::NotIn, word)
                    if wants_value =>
                {
                    values.insert(word.to_owned());
                    wants_value = false;
                }
                Token::Comma => {
                    if wants_value {
                        values.insert(String::new());
                    }
                    wants_value = true;
                }
                Token::Close => {
                    if wants_value {
                        values.insert(String::new());
                    }
                    return Ok(values);
                }
                other if wants_value => return Err(expected(&other, "',', ')' or identifier")),
                other => return Err(expected(&other, "',' or ')'")),
            }
        }
    }

    fn peek(&self) -> Token<'a> {
        Parser { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        for (text, token) in SYMBOLS {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return token.clone();
            }
        }
        let end = self.rest.find(is_special).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "" => Token::End,
            "in" => Token::Operator(Operator::In, word),
            "notin" => Token::Operator(Operator::NotIn, word),
            word => Token::Word(word),
        }
    }
}

/// Longer symbols first.
const SYMBOLS: [(&str, Token<'static>); 9] = [
    ("==", Token::Operator(Operator::Equals, "==")),
    ("!=", Token::Operator(Operator::NotEquals, "!=")),
    ("=", Token::Operator(Operator::Equals, "=")),
    (">", Token::Operator(Operator::GreaterThan, ">")),
    ("<", Token::Operator(Operator::LessThan, "<")),
    ("(", Token::Open),
    (")", Token::Close),
    (",", Token::Comma),
    ("!", Token::Not),
];

fn is_special(c: char) -> bool {
    matches!(
        c,
        '=' | '!' | '(' | ')' | ',' | '>' | '<' | ' ' | '\t' | '\r' | '\n'
    )
}

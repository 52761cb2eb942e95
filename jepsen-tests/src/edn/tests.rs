//! Proves that what is printed is read back, and that bad text is named with its place.

use proptest::prelude::*;

use super::{Reader, Value};

fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader::new(text);
    match reader.next() {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err("nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn keyword(name: &str) -> Value {
    Value::keyword(name)
}

#[test]
fn reads_each_form() {
    let cases = [
        ("nil", Value::Nil),
        ("true", Value::Bool(true)),
        ("-12", Value::Int(-12)),
        ("+12", Value::Int(12)),
        ("12N", Value::Int(12)),
        ("1.5", Value::Number("1.5".into())),
        ("2/3", Value::Number("2/3".into())),
        ("##NaN", Value::Number("##NaN".into())),
        (
            "92233720368547758080N",
            Value::Number("92233720368547758080".into()),
        ),
        (r#""a\"\n\u0041\101""#, Value::text("a\"\nAA")),
        ("\\a", Value::Char('a')),
        ("\\newline", Value::Char('\n')),
        ("\\u0041", Value::Char('A')),
        ("\\[", Value::Char('[')),
        (":a/b", keyword("a/b")),
        ("x", Value::Symbol("x".into())),
        ("-", Value::Symbol("-".into())),
        (
            "[1, 2 #_ 3 ; four\n 5]",
            Value::Vector(vec![1.into(), 2.into(), 5.into()]),
        ),
        ("(1)", Value::List(vec![1.into()])),
        ("#{1}", Value::Set(vec![1.into()])),
        ("{:a 1}", Value::Map(vec![(keyword("a"), 1.into())])),
        (
            "#:jepsen{:a 1}",
            Value::Map(vec![(keyword("jepsen/a"), 1.into())]),
        ),
        ("#inst \"2020-01-01\"", Value::text("2020-01-01")),
        (
            "#jepsen.history.Op{:a 1}",
            Value::Map(vec![(keyword("a"), 1.into())]),
        ),
        (
            "#jepsen.independent/tuple [1 nil]",
            Value::Tuple(Box::new((1.into(), Value::Nil))),
        ),
        ("^{:line 3} [1]", Value::Vector(vec![1.into()])),
    ];
    for (text, value) in cases {
        assert_eq!(read(text), Ok(value), "{text}");
    }
}

#[test]
fn names_the_place_of_what_it_cannot_read() {
    let deep = "[".repeat(1_000_000);
    let cases = [
        (
            "{:a 1\n :b",
            "line 2, column 4: the text ends where a '}' is missing: it was cut short",
        ),
        (
            "\n  {:a}",
            "line 2, column 3: a map with a key that has no value",
        ),
        (
            "\"abc",
            "line 1, column 1: a text that never ends: it was cut short",
        ),
        ("]", "line 1, column 1: ']' closes nothing"),
        ("12x", "line 1, column 1: '12x' is no number"),
        ("\\nope", "line 1, column 1: '\\nope' is no character"),
        ("\"\\q\"", "line 1, column 2: an unknown escape in a text"),
        ("#", "line 1, column 1: '#' is no tag"),
        (&deep, "line 1, column 66: nested deeper than 64"),
    ];
    for (text, error) in cases {
        assert_eq!(
            read(text),
            Err(error.to_owned()),
            "{}",
            &text[..text.len().min(20)]
        );
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<String>().prop_map(Value::Text),
        any::<char>().prop_map(Value::Char),
        "[a-z]{1,5}(/[a-z]{1,5})?".prop_map(Value::Keyword),
        "x[a-z]{1,5}".prop_map(Value::Symbol),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let all = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            all().prop_map(Value::Vector),
            all().prop_map(Value::List),
            all().prop_map(Value::Set),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Map),
            (inner.clone(), inner.clone()).prop_map(|pair| Value::Tuple(Box::new(pair))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(value in values()) {
        prop_assert_eq!(read(&value.to_string()), Ok(value));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), noise in "[\\[\\](){}#\"\\\\:;^_ a1/,-]{0,40}") {
        let _ = read(&text);
        let _ = read(&noise);
    }
}

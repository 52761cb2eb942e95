//! EDN's values in JSON: keywords, symbols and characters become texts, sets and lists arrays, and
//! a tuple an array of two. What a checker needs survives; the difference between a keyword and a
//! text does not.

use serde_json::{Map, Number, Value as Json};

use crate::edn::Value;

/// The value as JSON.
pub(crate) fn from_edn(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Number(text) => {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.map_or_else(|| Json::from(text.as_str()), Json::Number)
        }
        Value::Text(text) | Value::Keyword(text) | Value::Symbol(text) => Json::from(text.as_str()),
        Value::Char(char) => Json::from(char.to_string()),
        Value::List(all) | Value::Vector(all) | Value::Set(all) => {
            Json::Array(all.iter().map(from_edn).collect())
        }
        Value::Map(pairs) => Json::Object(pairs.iter().map(entry).collect::<Map<_, _>>()),
        Value::Tuple(pair) => Json::Array(vec![from_edn(&pair.0), from_edn(&pair.1)]),
    }
}

fn entry((key, value): &(Value, Value)) -> (String, Json) {
    let name = match key {
        Value::Text(text) | Value::Keyword(text) | Value::Symbol(text) => text.clone(),
        other => other.to_string(),
    };
    (name, from_edn(value))
}

/// JSON as a value.
pub(crate) fn to_edn(json: Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Number(number.to_string()), Value::Int),
        Json::String(text) => Value::Text(text),
        Json::Array(all) => Value::Vector(all.into_iter().map(to_edn).collect()),
        Json::Object(pairs) => {
            let pairs = pairs.into_iter();
            Value::Map(
                pairs
                    .map(|(key, value)| (Value::Text(key), to_edn(value)))
                    .collect(),
            )
        }
    }
}

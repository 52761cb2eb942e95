//! Small pieces of text that many rows share.

use jiff::Timestamp;
use serde_json::Value;

pub(super) const NONE: &str = "<none>";
pub(super) const UNKNOWN: &str = "<unknown>";
pub(super) const UNSET: &str = "<unset>";

/// The string at a JSON pointer, or the empty one.
pub(super) fn at<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// As [`at`], with `other` instead of the empty string.
pub(super) fn at_or<'a>(object: &'a Value, pointer: &str, other: &'a str) -> &'a str {
    match at(object, pointer) {
        "" => other,
        text => text,
    }
}

/// The number at a JSON pointer, or zero.
pub(super) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// The boolean at a JSON pointer, or false.
pub(super) fn is_true(object: &Value, pointer: &str) -> bool {
    object
        .pointer(pointer)
        .and_then(Value::as_bool)
        .unwrap_or(false)
}

/// The list at a JSON pointer, or an empty one.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// How many entries the map at a JSON pointer has.
pub(super) fn size(object: &Value, pointer: &str) -> usize {
    object
        .pointer(pointer)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

/// A number or a string as it is written, for fields that may be either.
pub(super) fn either(value: Option<&Value>, other: &str) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => other.to_owned(),
    }
}

/// The status of the condition of type `kind`, if there is one.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = list(object, "/status/conditions").iter();
    conditions
        .into_iter()
        .find(|c| at(c, "/type") == kind)
        .map(|c| at(c, "/status"))
}

/// Time since creation.
pub(super) fn age(object: &Value, now: Timestamp) -> Value {
    since(at(object, "/metadata/creationTimestamp"), now).into()
}

/// Time since `time`, an RFC 3339 text.
pub(super) fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => duration(now.as_second().saturating_sub(time.as_second())),
        Err(_) => UNKNOWN.to_owned(),
    }
}

/// Seconds as people read them: at most two units, and only where the first is small. Mirrors
/// `HumanDuration` of apimachinery.
pub(super) fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let pair = |first: i64, unit: &str, second: i64, rest: &str| {
        if second == 0 {
            format!("{first}{unit}")
        } else {
            format!("{first}{unit}{second}{rest}")
        }
    };
    match () {
        () if seconds < -1 => "<invalid>".to_owned(),
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => pair(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => pair(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

/// `a=1,b=2`, or `<none>`.
pub(super) fn labels(map: Option<&Value>) -> String {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    joined(&pairs)
}

/// A label selector as kubectl takes it, or `<none>`.
pub(super) fn selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector else {
        return NONE.to_owned();
    };
    let exact = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut parts: Vec<(String, String)> = exact
        .map(|(key, value)| {
            (
                key.clone(),
                format!("{key}={}", value.as_str().unwrap_or_default()),
            )
        })
        .collect();
    for expression in list(selector, "/matchExpressions") {
        let key = at(expression, "/key").to_owned();
        let mut values: Vec<&str> = list(expression, "/values")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match at(expression, "/operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            _ => format!("!{key}"),
        };
        parts.push((key, text));
    }
    parts.sort();
    joined(&parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>())
}

/// Joined by commas, or `<none>`.
pub(super) fn joined<S: AsRef<str>>(parts: &[S]) -> String {
    match parts {
        [] => NONE.to_owned(),
        parts => parts
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// The first three of many, and how many more.
pub(super) fn first_three(parts: &[String]) -> String {
    match parts.len() {
        0 => NONE.to_owned(),
        1..=3 => parts.join(","),
        more => format!("{} + {} more...", parts[..3].join(","), more - 3),
    }
}

/// Names and images of the containers in a pod spec.
pub(super) fn containers(spec: Option<&Value>) -> [Value; 2] {
    let of = |field: &str| {
        let containers = spec.map_or(&[][..], |spec| list(spec, "/containers"));
        let texts: Vec<&str> = containers
            .iter()
            .map(|container| at(container, field))
            .collect();
        Value::from(texts.join(","))
    };
    [of("/name"), of("/image")]
}

//! Small checks that many kinds share. Each adds its faults to a list.

use std::net::IpAddr;

use api_meta::Cause;
use api_meta::cause::Shown;
use serde_json::Value;

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
const ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' \
                       (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/// The string under a field, or the empty one.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number under a field.
pub(super) fn number(object: &Value, field: &str) -> Option<i64> {
    object.get(field).and_then(Value::as_i64)
}

/// The list under a field, or the empty one.
pub(super) fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The value under a field; null counts as left out.
pub(super) fn get<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|value| !value.is_null())
}

/// Whether a map or list is missing or holds nothing.
pub(super) fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Null) | None => true,
        Some(_) => false,
    }
}

/// One fault for each reason why a value is wrong.
pub(super) fn reasons(
    faults: &mut Vec<Cause>,
    path: &str,
    value: impl Shown + Copy,
    reasons: Vec<String>,
) {
    faults.extend(
        reasons
            .iter()
            .map(|reason| Cause::invalid(path, value, reason)),
    );
}

/// A number that may not be negative.
pub(super) fn not_negative(faults: &mut Vec<Cause>, path: &str, object: &Value, field: &str) {
    if let Some(value) = number(object, field).filter(|value| *value < 0) {
        faults.push(Cause::invalid(
            format!("{path}.{field}"),
            value,
            NOT_NEGATIVE,
        ));
    }
}

/// A string that must be one of a few, or empty.
pub(super) fn one_of(
    faults: &mut Vec<Cause>,
    path: &str,
    object: &Value,
    field: &str,
    known: &[&str],
) {
    let value = text(object, field);
    if !value.is_empty() && !known.contains(&value) {
        faults.push(Cause::not_supported(
            format!("{path}.{field}"),
            value,
            known,
        ));
    }
}

/// A string that must not be empty.
pub(super) fn required(faults: &mut Vec<Cause>, path: &str, object: &Value, field: &str) {
    if text(object, field).is_empty() {
        faults.push(Cause::required(format!("{path}.{field}"), ""));
    }
}

/// A field that may not change.
pub(super) fn immutable(
    faults: &mut Vec<Cause>,
    path: &str,
    new: Option<&Value>,
    old: Option<&Value>,
) {
    let (new, old) = (new.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null));
    if new != old && !(is_empty(Some(new)) && is_empty(Some(old))) {
        faults.push(Cause::invalid(path, new, "field is immutable"));
    }
}

/// An IP address.
pub(super) fn address(faults: &mut Vec<Cause>, path: &str, value: &str) {
    if value.parse::<IpAddr>().is_err() {
        faults.push(Cause::invalid(path, value, ADDRESS));
    }
}

/// A range of addresses.
pub(super) fn range(faults: &mut Vec<Cause>, path: &str, value: &str) {
    let is_right = value.split_once('/').is_some_and(|(address, bits)| {
        let bits = bits.parse::<u8>().ok();
        match (address.parse(), bits) {
            (Ok(IpAddr::V4(_)), Some(bits)) => bits <= 32,
            (Ok(IpAddr::V6(_)), Some(bits)) => bits <= 128,
            _ => false,
        }
    });
    if !is_right {
        faults.push(Cause::invalid(path, value, RANGE));
    }
}

/// A port by number or by name.
pub(super) fn port(faults: &mut Vec<Cause>, path: &str, value: &Value) {
    match value {
        Value::String(name) => reasons(faults, path, name, api_meta::names::port_name(name)),
        other => {
            let number = other.as_i64().unwrap_or_default();
            reasons(faults, path, number, api_meta::names::port_number(number));
        }
    }
}

/// A count or a percentage, neither below nought.
pub(super) fn count_or_percent(faults: &mut Vec<Cause>, path: &str, value: &Value) {
    match value {
        Value::String(text) if percent(value).is_none() => {
            faults.push(Cause::invalid(path, text, PERCENT));
        }
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            faults.push(Cause::invalid(
                path,
                number.as_i64().unwrap_or_default(),
                NOT_NEGATIVE,
            ));
        }
        _ => {}
    }
}

/// The number before the percent sign.
pub(super) fn percent(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether a count or percentage is none at all.
pub(super) fn is_nought(value: Option<&Value>) -> bool {
    value.is_none_or(|value| value.as_i64() == Some(0) || percent(value) == Some(0))
}

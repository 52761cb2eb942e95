//! What a token that begins like a number means.

use super::Value;

/// The number that `token` is, or nothing if it is none.
pub(super) fn parse(token: &str) -> Option<Value> {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(whole) = whole(token) {
        return Some(whole);
    }
    let is_ratio = digits
        .split_once('/')
        .is_some_and(|(above, below)| all_digits(above) && all_digits(below));
    let decimal = digits.strip_suffix('M').unwrap_or(digits);
    let is_decimal = decimal
        .bytes()
        .all(|byte| b"0123456789.eE+-".contains(&byte))
        && decimal.parse::<f64>().is_ok();
    (is_ratio || is_decimal).then(|| Value::Number(token.to_owned()))
}

/// `12`, `-12`, `12N`; past 64 bits by its digits.
fn whole(token: &str) -> Option<Value> {
    let token = token.strip_suffix('N').unwrap_or(token);
    let signless = token.strip_prefix(['+', '-']).unwrap_or(token);
    if !all_digits(signless) {
        return None;
    }
    let parsed = token.parse().map(Value::Int);
    Some(parsed.unwrap_or_else(|_| Value::Number(token.trim_start_matches('+').to_owned())))
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

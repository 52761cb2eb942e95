//! Values of flags, read as Go's flag package reads them, with its words for what is wrong.

use std::time::Duration;

/// Go's words for a value that has the wrong form.
const PARSE_ERROR: &str = "parse error";
/// Go's words for a number that does not fit.
const RANGE_ERROR: &str = "value out of range";

/// A boolean.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(PARSE_ERROR.into()),
    }
}

/// An unsigned number, at most `max`; a prefix 0x, 0o or 0b is understood.
pub(super) fn unsigned(text: &str, max: u64) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => u64::from_str_radix(&digits[2..], 16),
        Some("0o") => u64::from_str_radix(&digits[2..], 8),
        Some("0b") => u64::from_str_radix(&digits[2..], 2),
        _ if digits.starts_with('+') => return Err(PARSE_ERROR.into()),
        _ => digits.parse(),
    };
    match parsed {
        Ok(value) if value <= max => Ok(value),
        Ok(_) => Err(RANGE_ERROR.into()),
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
            Err(RANGE_ERROR.into())
        }
        Err(_) => Err(PARSE_ERROR.into()),
    }
}

/// A signed number.
pub(super) fn signed(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(digits) => {
            let value = unsigned(digits, i64::MAX.unsigned_abs() + 1)?;
            Ok(0_i64.wrapping_sub_unsigned(value))
        }
        None => {
            let value = unsigned(
                text.strip_prefix('+').unwrap_or(text),
                i64::MAX.unsigned_abs(),
            )?;
            i64::try_from(value).map_err(|_| RANGE_ERROR.into())
        }
    }
}

/// A duration such as `300ms`, `1.5h` or `2h45m`. Negative ones are refused: no setting here has one.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(PARSE_ERROR.into());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_len = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let nanos = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 6e10,
            "h" => 3.6e12,
            _ => return Err(PARSE_ERROR.into()),
        };
        let number: f64 = number.parse().map_err(|_| PARSE_ERROR.to_owned())?;
        let part = Duration::try_from_secs_f64(number * nanos / 1e9);
        total = part
            .ok()
            .and_then(|part| total.checked_add(part))
            .filter(|sum| i64::try_from(sum.as_nanos()).is_ok())
            .ok_or(PARSE_ERROR)?;
        rest = next;
    }
    Ok(total)
}

/// The parts of a comma-separated list, without empty ones.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{boolean, duration, signed, unsigned};

    #[test]
    fn durations_read_as_go_reads_them() {
        let ms = |n| Ok(Duration::from_millis(n));
        assert_eq!(duration("300ms"), ms(300));
        assert_eq!(duration("1.5h"), ms(5_400_000));
        assert_eq!(duration("2h45m"), ms(9_900_000));
        assert_eq!(duration("0"), ms(0));
        for bad in ["5", "", "s", "1x", "-5s", ".", "1..5s", "9999999999h"] {
            assert!(duration(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn numbers_read_as_go_reads_them() {
        assert_eq!(unsigned("0x10", u64::MAX), Ok(16));
        assert_eq!(unsigned("1_000", u64::MAX), Ok(1000));
        assert_eq!(
            unsigned("4294967296", u64::from(u32::MAX)),
            Err("value out of range".into())
        );
        assert_eq!(
            unsigned("99999999999999999999", u64::MAX),
            Err("value out of range".into())
        );
        assert_eq!(unsigned("-1", u64::MAX), Err("parse error".into()));
        assert_eq!(signed("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(signed("-1"), Ok(-1));
        assert_eq!(boolean("T"), Ok(true));
        assert_eq!(boolean("maybe"), Err("parse error".into()));
    }
}

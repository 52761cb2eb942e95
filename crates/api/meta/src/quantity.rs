//! Quantities such as `100m`, `1.5Gi` and `2e3`, exactly: an integer of nanounits, and the canonical
//! form that upstream prints.
//!
//! More digits than nanounits are rounded up, as upstream does.

use std::fmt;
use std::str::FromStr;

/// Nanounits in a unit.
const NANOS: i128 = 1_000_000_000;
/// Upstream's greatest quantity, in units.
const UNITS_MAX: i128 = i64::MAX as i128;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Suffixes n, u, m, k, M, G, T, P, E.
    Decimal,
    /// Suffixes Ki, Mi, Gi, Ti, Pi, Ei.
    Binary,
    /// An exponent, as in `2e3`.
    Exponent,
}

/// An exact amount.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity. Both in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The form is wrong.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// An amount of whole units.
    pub fn from_units(units: i64) -> Self {
        Self {
            nanos: i128::from(units) * NANOS,
            format: Format::Decimal,
        }
    }

    /// An amount of thousandths.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            nanos: i128::from(millis) * (NANOS / 1000),
            format: Format::Decimal,
        }
    }

    /// Whole units, rounded up; at most the greatest number of 64 bits.
    pub fn units(&self) -> i64 {
        self.scaled(NANOS)
    }

    /// Thousandths, rounded up; at most the greatest number of 64 bits.
    pub fn millis(&self) -> i64 {
        self.scaled(NANOS / 1000)
    }

    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// True at zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// The same amount rounded up, away from zero, to whole thousandths.
    pub fn rounded_to_millis(self) -> Self {
        const MILLI: i128 = NANOS / 1000;
        let size = self.nanos.unsigned_abs().div_ceil(MILLI.unsigned_abs());
        let nanos = i128::try_from(size)
            .unwrap_or(i128::MAX)
            .saturating_mul(MILLI);
        Self {
            nanos: if self.nanos < 0 { -nanos } else { nanos },
            format: self.format,
        }
    }

    fn scaled(&self, by: i128) -> i64 {
        let rounded = self.nanos.div_euclid(by) + i128::from(self.nanos.rem_euclid(by) != 0);
        let bound = if rounded < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(rounded).unwrap_or(bound)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = Parts::read(text)?;
        let nanos = magnitude(parts.whole, parts.fraction, parts.factor);
        let nanos = match parts.format {
            Format::Binary => nanos.min(UNITS_MAX * NANOS),
            Format::Decimal | Format::Exponent => nanos,
        };
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        Ok(Self {
            nanos,
            format: parts.format,
        })
    }
}

/// How upstream writes a quantity that it was given as `text`: in the canonical form, or as it was
/// given where that is as short. An amount in a list of resources is rounded up to thousandths.
pub fn written(text: &str, is_in_list: bool) -> Result<String, Error> {
    let parts = Parts::read(text)?;
    let quantity: Quantity = text.parse()?;
    match parts.kept_scale() {
        Some(scale) if scale >= -3 || !is_in_list => Ok(text.to_owned()),
        _ if is_in_list => Ok(quantity.rounded_to_millis().to_string()),
        _ => Ok(quantity.to_string()),
    }
}

/// The parts of a text.
struct Parts<'a> {
    whole: &'a str,
    fraction: &'a str,
    factor: Factor,
    format: Format,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Format);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (number.is_empty() && !suffix.is_empty()) {
            return Err(Error::Format);
        }
        let (factor, format) = factor(suffix)?;
        Ok(Self {
            whole: whole.trim_start_matches('0'),
            fraction,
            factor,
            format,
        })
    }

    /// The power of ten of the last digit, where upstream keeps the text as it is: it is short, and
    /// says the amount in the fewest digits.
    fn kept_scale(&self) -> Option<i32> {
        const DIGITS_MAX: usize = 18;
        let whole = if self.whole.is_empty() {
            "0"
        } else {
            self.whole
        };
        let shifted = format!("{whole}{}", self.fraction);
        let value: i64 = shifted.parse().ok()?;
        match self.factor {
            Factor::Ten(power) => {
                let scale = power - i32::try_from(self.fraction.len()).ok()?;
                let is_short = shifted.len() <= DIGITS_MAX && scale >= -9;
                let is_least = !shifted.ends_with("000") && !shifted.starts_with('0');
                (is_short && scale % 3 == 0 && is_least).then_some(scale)
            }
            Factor::Two(power) => {
                let digits = whole.len() + usize::try_from(power).ok()? * 3 / 10 + 1;
                let is_short = self.fraction.is_empty() && digits <= 15;
                (is_short && value % 8 != 0).then_some(0)
            }
        }
    }
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Factor {
    /// A power of ten.
    Ten(i32),
    /// A power of two.
    Two(u32),
}

fn factor(suffix: &str) -> Result<(Factor, Format), Error> {
    let binary = |power| Ok((Factor::Two(power), Format::Binary));
    let decimal = |power| Ok((Factor::Ten(power), Format::Decimal));
    match suffix {
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => {
            let letters = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
            let digits = letters.strip_prefix(['+', '-']).unwrap_or(letters);
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Error::Format);
            }
            let power = suffix.strip_prefix(['e', 'E']).ok_or(Error::Suffix)?;
            let power: i32 = power.parse().map_err(|_| Error::Suffix)?;
            Ok((Factor::Ten(power.clamp(-60, 60)), Format::Exponent))
        }
    }
}

/// Nanounits of `whole.fraction` times the factor, rounded up; far too large numbers stay large.
fn magnitude(whole: &str, fraction: &str, factor: Factor) -> i128 {
    const LARGE: i128 = i128::MAX / 4;
    let mut value: i128 = 0;
    let mut scale = -9_i32;
    for (i, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if value > LARGE / 1_000_000_000_000 {
            // What follows is below every digit that can matter, but still shifts and rounds.
            scale -= i32::from(i < whole.len());
            continue;
        }
        value = value * 10 + i128::from(digit - b'0');
        scale += i32::from(i >= whole.len());
    }
    let (mut value, power) = match factor {
        Factor::Ten(power) => (value, power - scale),
        Factor::Two(power) => (value.saturating_mul(1_i128 << power), -scale),
    };
    for _ in 0..power.unsigned_abs() {
        value = match power {
            0.. => value.saturating_mul(10).min(LARGE),
            _ => value.div_euclid(10) + i128::from(value % 10 != 0),
        };
    }
    value
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let size = self.nanos.unsigned_abs();
        let nanos = NANOS.unsigned_abs();
        let is_binary =
            self.format == Format::Binary && size >= 1024 * nanos && size.is_multiple_of(nanos);
        if is_binary {
            let (mut units, mut power) = (size / nanos, 0);
            while power < 6 && units.is_multiple_of(1024) {
                units /= 1024;
                power += 1;
            }
            return write!(
                f,
                "{sign}{units}{}",
                ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]
            );
        }
        let (mut size, mut step) = (size, 0);
        while step < 9 && size != 0 && size.is_multiple_of(1000) {
            size /= 1000;
            step += 1;
        }
        if size == 0 {
            return write!(f, "0");
        }
        match self.format {
            Format::Exponent if step != 3 => write!(f, "{sign}{size}e{}", (step as i32 - 3) * 3),
            _ => write!(
                f,
                "{sign}{size}{}",
                ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][step]
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Quantity};

    #[test]
    fn texts_become_canonical() {
        let check = |text: &str, canonical: &str| {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!(quantity.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<Quantity>().unwrap(), quantity, "{text}");
        };
        check("0", "0");
        check("100m", "100m");
        check("0.1", "100m");
        check("1000m", "1");
        check("1.5Gi", "1536Mi");
        check("2.5Gi", "2560Mi");
        check("1024", "1024");
        check("1Ki", "1Ki");
        check("1500", "1500");
        check("2000", "2k");
        check("1e3", "1e3");
        check("2E6", "2e6");
        check("-3", "-3");
        check("0.0000000001", "1n");
        check("1000000000000", "1T");
        check(".5", "500m");
        check("5.", "5");
    }

    #[test]
    fn amounts_compare_and_round_up() {
        let of = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!(of("1Gi").units(), 1 << 30);
        assert_eq!(of("1").millis(), 1000);
        assert_eq!(of("1m").units(), 1);
        assert_eq!(of("250m").millis(), 250);
        assert!(of("1G") < of("1Gi"));
        assert_eq!(of("1"), of("1000m"));
        assert_eq!(of("99999999999999999999999E").units(), i64::MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        let fault = |text: &str| text.parse::<Quantity>().unwrap_err();
        assert_eq!(fault(""), Error::Format);
        assert_eq!(fault("a"), Error::Format);
        assert_eq!(fault("1.2.3"), Error::Format);
        assert_eq!(fault("1x"), Error::Format);
        assert_eq!(fault("1kk"), Error::Suffix);
        assert_eq!(fault("1e"), Error::Suffix);
    }
}

//! Values of flags as Go's flag library reads and refuses them.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

/// A Go duration such as `1h30m`, `2.5s` or `100ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(total)
}

/// A Go bool.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

/// A number.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String>
where
    T::Err: Display,
{
    text.parse().map_err(|_| {
        // A number that Go reads and that does not fit here.
        let why = match text.parse::<i128>() {
            Ok(_) => "value out of range",
            Err(_) => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("failed to parse IP: {text:?}"))
}

/// One range of Service addresses, or one of each family.
pub(super) fn service_cidrs(text: &str) -> Result<Vec<IpNet>, String> {
    let cidrs = text
        .split(',')
        .map(|part| part.trim().parse::<IpNet>().map(|net| net.trunc()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| "--service-cluster-ip-range is not a valid cidr".to_owned())?;
    match cidrs.as_slice() {
        [_] => Ok(cidrs),
        [a, b] if a.addr().is_ipv4() != b.addr().is_ipv4() => Ok(cidrs),
        [_, _] => {
            Err("--service-cluster-ip-range and --secondary-service-cluster-ip-range must be of different IP family".into())
        }
        _ => Err("--service-cluster-ip-range must not contain more than two entries".into()),
    }
}

/// A range of ports such as `30000-32767`.
pub(super) fn port_range(text: &str) -> Result<(u16, u16), String> {
    let invalid = || format!("Unable to parse port range: {text}");
    let (first, last) = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => (
            first.parse().map_err(|_| invalid())?,
            last.parse().map_err(|_| invalid())?,
        ),
        (None, Some((first, more))) => {
            let first: u16 = first.parse().map_err(|_| invalid())?;
            let more: u16 = more.parse().map_err(|_| invalid())?;
            (first, first.checked_add(more).ok_or_else(invalid)?)
        }
        (None, None) => {
            let port = text.parse().map_err(|_| invalid())?;
            (port, port)
        }
    };
    if first == 0 || last < first {
        return Err(invalid());
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, port_range, service_cidrs};

    #[test]
    fn reads_go_durations() {
        for (text, ms) in [
            ("1h0m0s", 3_600_000),
            ("1.5s", 1500),
            ("100ms", 100),
            ("0", 0),
            ("5m", 300_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "5 minutes", "-1s", "1x", "..s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_ranges() {
        assert_eq!(port_range("30000-32767"), Ok((30000, 32767)));
        assert_eq!(port_range("30000+10"), Ok((30000, 30010)));
        for text in ["", "5-4", "0-4", "a-b", "70000"] {
            assert!(port_range(text).is_err(), "{text}");
        }
        assert_eq!(
            service_cidrs("10.0.0.0/24,fd00::/112").map(|c| c.len()),
            Ok(2)
        );
        for text in ["", "10.0.0.0", "10.0.0.0/24,10.1.0.0/24", "a,b,c"] {
            assert!(service_cidrs(text).is_err(), "{text}");
        }
    }
}

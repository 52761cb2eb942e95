//! The two forms of time in the API: seconds (`Time`) and microseconds (`MicroTime`), both RFC 3339
//! in UTC. The clock is the caller's.

use jiff::{Timestamp, tz::TimeZone};

/// `2024-01-02T03:04:05Z`.
pub fn format(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// `2024-01-02T03:04:05.000006Z`.
pub fn format_micro(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

/// Reads either form, with any offset.
pub fn parse(text: &str) -> Option<Timestamp> {
    // RFC 3339 wants a `T` and an offset; the parser alone would also take other ISO forms.
    if text.len() < 20 || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{format, format_micro, parse};

    #[test]
    fn both_forms_read_back() {
        let at = parse("2024-01-02T04:04:05.000006+01:00").unwrap();
        assert_eq!(format(at), "2024-01-02T03:04:05Z");
        assert_eq!(format_micro(at), "2024-01-02T03:04:05.000006Z");
        assert_eq!(parse("2024-01-02"), None);
        assert_eq!(parse("2024-01-02 03:04:05Z"), None);
        assert_eq!(parse(""), None);
    }
}

//! Minor releases of etcd, which are what a cluster's version is about.

use std::fmt;

/// A release without its patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u64,
    minor: u64,
}

impl Release {
    /// Reads `major.minor` or `major.minor.patch`, the latter with what semantic versions may have
    /// behind it. Patch and all after it are left out.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.');
        let mut number = || parts.next().map(parse_number);
        let (major, minor, patch) = (number()?, number()?, number());
        if parts.next().is_some() || patch == Some(None) || (patch.is_none() && core != text) {
            return None;
        }
        Some(Self {
            major: major?,
            minor: minor?,
        })
    }

    /// The minor release before this one; none before the first of a major release.
    pub fn previous(self) -> Option<Self> {
        let minor = self.minor.checked_sub(1)?;
        Some(Self { minor, ..self })
    }

    /// `major.minor`.
    pub fn minor(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

/// As a cluster's version: `major.minor.0`.
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.0", self.major, self.minor)
    }
}

fn parse_number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_etcd_reads_them() {
        let read = |text| Release::parse(text).map(|release| release.to_string());
        for text in ["3.6", "3.6.0", "3.6.5", "3.6.3-rc1", "3.6.3-rc.1+build"] {
            assert_eq!(read(text).as_deref(), Some("3.6.0"), "{text}");
        }
        for text in [
            "", "3", "abc", "3.6.x", "3.", "3.6.", ".6.0", "3.6.0.0", "-3.6.0", "3.6-rc1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let release = Release::parse("3.7.3").unwrap();
        assert_eq!(release.minor(), "3.7");
        assert_eq!(release.previous(), Release::parse("3.6"));
        assert_eq!(Release::parse("4.0").unwrap().previous(), None);
        assert!(Release::parse("3.10") > Release::parse("3.9"));
    }
}

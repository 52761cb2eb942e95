//! Prints an error with its whole chain of sources, once, where it is handled.

use std::error::Error;
use std::fmt;

/// A view of `error` that displays it and every source behind it, joined by ": ".
pub fn report<'a>(error: &'a (dyn Error + 'a)) -> Report<'a> {
    Report(error)
}

/// See [`report`].
pub struct Report<'a>(&'a (dyn Error + 'a));

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::report;

    #[derive(Debug, thiserror::Error)]
    #[error("open the log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn prints_the_whole_chain() {
        let error = Outer(std::io::Error::other("disk gone"));
        assert_eq!(report(&error).to_string(), "open the log: disk gone");
    }
}

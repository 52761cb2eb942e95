//! Named places where a test lets this process die or fail: `module::step`, one at each durable
//! step. Only test builds and builds with the feature `failpoints` have them; elsewhere a place
//! is an empty function.
//!
//! Input: the variable `KEELSON_FAILPOINTS`, a list such as
//! `log::after_write=abort;log::before_sync=error@3`; `@3` means from the third time on.

use std::io;

/// Does what the environment asks of the place `name`: nothing, an error, or the end of the
/// process without any cleaning up.
#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub(crate) fn hit(_name: &'static str) -> io::Result<()> {
    Ok(())
}

/// Does what the environment asks of the place `name`: nothing, an error, or the end of the
/// process without any cleaning up.
#[cfg(any(test, feature = "failpoints"))]
pub(crate) fn hit(name: &'static str) -> io::Result<()> {
    active::hit(name)
}

#[cfg(any(test, feature = "failpoints"))]
mod active {
    use std::collections::HashMap;
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, PartialEq, Eq)]
    enum Action {
        Abort,
        Error,
    }

    #[derive(Debug)]
    struct Point {
        action: Action,
        first: u64,
        hits: AtomicU64,
    }

    static POINTS: OnceLock<HashMap<String, Point>> = OnceLock::new();

    pub(super) fn hit(name: &'static str) -> io::Result<()> {
        let points =
            POINTS.get_or_init(|| parse(&std::env::var("KEELSON_FAILPOINTS").unwrap_or_default()));
        let Some(point) = points.get(name) else {
            return Ok(());
        };
        if point.hits.fetch_add(1, Ordering::Relaxed) + 1 < point.first {
            return Ok(());
        }
        match point.action {
            Action::Abort => std::process::abort(),
            Action::Error => Err(io::Error::other(format!("failpoint {name}"))),
        }
    }

    fn parse(text: &str) -> HashMap<String, Point> {
        let mut points = HashMap::new();
        for part in text.split(';') {
            let Some((name, action)) = part.split_once('=') else {
                continue;
            };
            let (action, first) = action.split_once('@').unwrap_or((action, "1"));
            let action = match action {
                "abort" => Action::Abort,
                "error" => Action::Error,
                _ => continue,
            };
            let first = first.parse().unwrap_or(1);
            points.insert(
                name.to_owned(),
                Point {
                    action,
                    first,
                    hits: AtomicU64::new(0),
                },
            );
        }
        points
    }

    #[cfg(test)]
    mod tests {
        use super::{Action, parse};

        #[test]
        fn reads_a_list() {
            let points = parse("a::b=abort;c::d=error@3;junk;e::f=dance");
            assert_eq!(points.len(), 2);
            assert_eq!(points["a::b"].action, Action::Abort);
            assert_eq!(
                (&points["c::d"].action, points["c::d"].first),
                (&Action::Error, 3)
            );
        }
    }
}

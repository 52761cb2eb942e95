//! How long a container that keeps ending waits before it is started again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// The wait after the second end. Upstream's.
const FIRST: Duration = Duration::from_secs(10);
/// The longest wait. Upstream's.
const MAX: Duration = Duration::from_secs(300);

/// The waits of one pod's containers. Forgotten with the process, like upstream's.
#[derive(Clone, Debug, Default)]
pub struct Backoffs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wait: Duration,
    /// The end from which the wait was last counted.
    at: Timestamp,
}

impl Backoffs {
    /// Asks to do `name` again, which last ended at `ended`. None grants it and makes the next wait
    /// longer; otherwise the wait, and how much of it is left.
    pub fn ask(&mut self, name: &str, ended: Timestamp, now: Timestamp) -> Option<Waiting> {
        let Some(entry) = self.entries.get_mut(name) else {
            self.entries.insert(
                name.to_owned(),
                Entry {
                    wait: FIRST,
                    at: ended,
                },
            );
            return None;
        };
        let passed = since(ended, now);
        if since(entry.at, ended) > MAX * 2 {
            *entry = Entry {
                wait: FIRST,
                at: ended,
            };
            return None;
        }
        if passed < entry.wait {
            return Some(Waiting {
                whole: entry.wait,
                left: entry.wait - passed,
            });
        }
        *entry = Entry {
            wait: (entry.wait * 2).min(MAX),
            at: ended,
        };
        None
    }

    /// Forgets the waits of `name`, after a success.
    pub fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }
}

/// A wait that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The whole of it.
    pub whole: Duration,
    /// What is left.
    pub left: Duration,
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    client::times::between(earlier, later)
}

/// A duration as Go writes it, in whole seconds: `10s`, `1m20s`, `5m0s`.
pub fn go_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::{Backoffs, go_seconds};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_first_restart_is_free_and_the_waits_double() {
        let mut backoffs = Backoffs::default();
        let mut now = 1000;
        assert_eq!(backoffs.ask("c", at(now), at(now)), None);
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            now += 1;
            let waiting = backoffs.ask("c", at(now), at(now)).expect("a wait");
            assert_eq!(waiting.whole, Duration::from_secs(wait));
            assert_eq!(
                backoffs.ask("c", at(now), at(now + 1)).map(|w| w.left),
                Some(Duration::from_secs(wait - 1))
            );
            let done = now + i64::try_from(wait).expect("small");
            assert_eq!(backoffs.ask("c", at(now), at(done)), None);
            now = done;
        }
        // After ten good minutes it begins again.
        assert_eq!(backoffs.ask("c", at(now + 1000), at(now + 1000)), None);
        assert_eq!(go_seconds(Duration::from_secs(160)), "2m40s");
    }
}

//! When an account's token is asked for. Pure: times and waits come in as values.
//!
//! A token is renewed well before its end, and as soon as a server refuses it. Tries keep a distance from each other,
//! whatever causes them, so that a server which refuses every token is not flooded with wishes for more.

use std::time::Duration;

use tokio::time::Instant;

/// The part of its life after which a token is renewed, as in upstream's controllers.
const RENEWED_AFTER: f64 = 0.8;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Ask for a token now.
    Ask,
    /// Nothing until then.
    Wait(Instant),
}

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// When the token was asked for: its life may have begun then.
    pub(super) since: Instant,
    /// How long the server lets it live.
    pub(super) length: Duration,
}

#[derive(Debug)]
enum Held {
    Nothing,
    Good { renew_at: Instant },
    Refused,
}

/// The tokens of one account over time.
#[derive(Debug)]
pub(super) struct Schedule {
    held: Held,
    /// Of the newest token; 0 before the first.
    serial: u64,
    /// No try before this time.
    earliest: Option<Instant>,
}

impl Schedule {
    /// Nothing held, nothing tried.
    pub(super) fn new() -> Self {
        Self {
            held: Held::Nothing,
            serial: 0,
            earliest: None,
        }
    }

    /// What is to be done at `now`.
    pub(super) fn next(&self, now: Instant) -> Next {
        let due = match self.held {
            Held::Nothing | Held::Refused => now,
            Held::Good { renew_at } => renew_at,
        };
        let due = self.earliest.map_or(due, |earliest| due.max(earliest));
        if due <= now {
            Next::Ask
        } else {
            Next::Wait(due)
        }
    }

    /// Whether servers refuse the tokens: then the distance between tries goes on growing although they succeed.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.held, Held::Refused)
    }

    /// A try brought a token; no other try begins within `distance` of `now`. Returns the token's serial.
    pub(super) fn got(&mut self, life: Life, now: Instant, distance: Duration) -> u64 {
        let renew_at = life.since + life.length.mul_f64(RENEWED_AFTER);
        self.held = Held::Good { renew_at };
        self.serial += 1;
        self.earliest = Some(now + distance);
        self.serial
    }

    /// A try brought nothing. The token that is held stays in use.
    pub(super) fn failed(&mut self, now: Instant, distance: Duration) {
        self.earliest = Some(now + distance);
    }

    /// A server refused the token with this serial. Of a token before the newest one it is no news.
    pub(super) fn refused(&mut self, serial: u64) {
        if serial == self.serial && serial > 0 {
            self.held = Held::Refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Life, Next, Schedule};

    const HOUR: Duration = Duration::from_secs(3600);
    const DISTANCE: Duration = Duration::from_secs(2);

    fn held(schedule: &mut Schedule, since: Instant) -> u64 {
        let life = Life {
            since,
            length: HOUR,
        };
        schedule.got(life, since, DISTANCE)
    }

    #[test]
    fn a_token_is_renewed_at_four_fifths_of_its_life() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        assert_eq!(schedule.next(start), Next::Ask);
        assert_eq!(held(&mut schedule, start), 1);
        let due = start + Duration::from_secs(2880);
        assert_eq!(schedule.next(start), Next::Wait(due));
        let before = due - Duration::from_millis(1);
        assert_eq!(schedule.next(before), Next::Wait(due));
        assert_eq!(schedule.next(due), Next::Ask);
        assert_eq!(held(&mut schedule, due), 2);
        assert_eq!(
            schedule.next(due),
            Next::Wait(due + Duration::from_secs(2880))
        );
    }

    #[test]
    fn life_counts_from_the_question_and_not_from_the_answer() {
        let asked = Instant::now();
        let answered = asked + Duration::from_secs(9);
        let mut schedule = Schedule::new();
        let life = Life {
            since: asked,
            length: HOUR,
        };
        schedule.got(life, answered, DISTANCE);
        let due = asked + Duration::from_secs(2880);
        assert_eq!(schedule.next(answered), Next::Wait(due));
    }

    #[test]
    fn failures_wait_and_the_old_token_stays() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        schedule.failed(start, DISTANCE);
        assert_eq!(schedule.next(start), Next::Wait(start + DISTANCE));
        assert_eq!(schedule.next(start + DISTANCE), Next::Ask);
        held(&mut schedule, start);
        let due = start + Duration::from_secs(2880);
        schedule.failed(due, DISTANCE);
        assert_eq!(schedule.next(due), Next::Wait(due + DISTANCE));
        assert!(!schedule.is_refused());
    }

    #[test]
    fn a_refused_token_is_replaced_at_once_unless_it_just_came() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        let serial = held(&mut schedule, start);
        schedule.refused(serial);
        assert!(schedule.is_refused());
        assert_eq!(schedule.next(start), Next::Wait(start + DISTANCE));
        let later = start + Duration::from_secs(60);
        assert_eq!(schedule.next(later), Next::Ask);
        held(&mut schedule, later);
        assert!(!schedule.is_refused());
    }

    #[test]
    fn refusals_of_former_tokens_and_of_none_are_no_news() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        schedule.refused(0);
        assert!(!schedule.is_refused());
        let first = held(&mut schedule, start);
        held(&mut schedule, start + DISTANCE);
        schedule.refused(first);
        assert!(!schedule.is_refused());
    }

    #[test]
    fn a_token_of_no_life_does_not_spin() {
        let start = Instant::now();
        let mut schedule = Schedule::new();
        let life = Life {
            since: start,
            length: Duration::ZERO,
        };
        schedule.got(life, start, DISTANCE);
        assert_eq!(schedule.next(start), Next::Wait(start + DISTANCE));
    }
}

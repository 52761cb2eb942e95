//! Waiting times between tries: exponential, capped, with jitter.

use std::time::Duration;

/// A sequence of waiting times. Each is drawn evenly from half to the whole of a doubling bound.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    /// Starts at `first` and doubles up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            tries: 0,
        }
    }

    /// The next waiting time.
    pub fn next_wait(&mut self) -> Duration {
        let bound = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.tries))
            .min(self.max);
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Begins again at `first`, after a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn grows_to_its_cap_and_starts_again() {
        let (first, max) = (Duration::from_millis(10), Duration::from_millis(100));
        let mut backoff = Backoff::new(first, max);
        assert!(backoff.next_wait() <= first);
        for _ in 0..100 {
            assert!(backoff.next_wait() <= max);
        }
        assert!(backoff.next_wait() >= max / 2);
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }
}

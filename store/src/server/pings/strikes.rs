//! Which pings are too many: grpc-go's rules (internal/transport/http2_server.go, `handlePing`). Pure:
//! the time is an argument.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::Head;

/// Strikes that are let pass.
const STRIKES_MAX: u32 = 2;

/// A client without an open stream should not ping at all; grpc-go takes one in two hours.
const IDLE_MIN: Duration = Duration::from_secs(2 * 60 * 60);

/// What is remembered of a connection. Limit: a number for each open stream.
#[derive(Debug)]
pub(super) struct Strikes {
    min: Duration,
    open: HashSet<u32>,
    last_stream: u32,
    last_ping: Option<Instant>,
    count: u32,
    is_forgiven: bool,
    /// Pings that were not answered yet.
    waiting: usize,
}

impl Strikes {
    /// Pings may come every `min` while a stream is open.
    pub(super) fn new(min: Duration) -> Self {
        Self {
            min,
            open: HashSet::new(),
            last_stream: 0,
            last_ping: None,
            count: 0,
            is_forgiven: false,
            waiting: 0,
        }
    }

    /// The last stream that the client began.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// Whether every ping has its answer.
    pub(super) fn has_answered(&self) -> bool {
        self.waiting == 0
    }

    /// A frame of the client. True if that was one ping too many.
    pub(super) fn received(&mut self, head: Head, now: Instant) -> bool {
        match head.kind {
            Head::HEADERS if head.stream > self.last_stream => {
                self.last_stream = head.stream;
                self.open.insert(head.stream);
            }
            Head::RST_STREAM => {
                self.open.remove(&head.stream);
            }
            Head::PING if head.flags & Head::ACK == 0 => return self.ping(now),
            _ => {}
        }
        false
    }

    /// A frame of ours. What answers a client also forgives its pings: it may measure its line by them.
    pub(super) fn sent(&mut self, head: Head) {
        let is_answer = matches!(head.kind, Head::DATA | Head::HEADERS);
        self.is_forgiven |= is_answer;
        let is_end = is_answer && head.flags & Head::END_STREAM != 0;
        if is_end || head.kind == Head::RST_STREAM {
            self.open.remove(&head.stream);
        }
        if head.kind == Head::PING && head.flags & Head::ACK != 0 {
            self.waiting = self.waiting.saturating_sub(1);
        }
    }

    fn ping(&mut self, now: Instant) -> bool {
        self.waiting += 1;
        let last = self.last_ping.replace(now);
        if std::mem::take(&mut self.is_forgiven) {
            self.count = 0;
            return false;
        }
        let min = if self.open.is_empty() {
            IDLE_MIN
        } else {
            self.min
        };
        let is_early = last.is_some_and(|last| now.saturating_duration_since(last) < min);
        self.count += u32::from(is_early);
        self.count > STRIKES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Head = Head {
        kind: Head::PING,
        flags: 0,
        stream: 0,
    };

    fn head(kind: u8, flags: u8, stream: u32) -> Head {
        Head {
            kind,
            flags,
            stream,
        }
    }

    /// The number of the ping that is one too many, of ten with `apart` between them.
    fn cut(strikes: &mut Strikes, apart: Duration) -> Option<usize> {
        let start = Instant::now() + IDLE_MIN * 2;
        let mut pings = (0..10_u32).map(|nth| strikes.received(PING, start + apart * nth));
        pings.position(|is_too_many| is_too_many)
    }

    #[test]
    fn three_early_pings_are_too_many() {
        let second = Duration::from_secs(1);
        let open = || {
            let mut strikes = Strikes::new(second * 5);
            strikes.received(head(Head::HEADERS, 0, 1), Instant::now());
            strikes
        };
        assert_eq!(cut(&mut open(), second), Some(3));
        assert_eq!(cut(&mut open(), second * 5), None);
        // Without a stream, however slowly.
        assert_eq!(cut(&mut Strikes::new(second), second * 5), Some(3));
        assert_eq!(cut(&mut Strikes::new(second), IDLE_MIN), None);
        // Nor with one that has ended, either way.
        for end in [
            head(Head::HEADERS, Head::END_STREAM, 1),
            head(Head::RST_STREAM, 0, 1),
        ] {
            let mut ended = open();
            ended.sent(end);
            assert_eq!(ended.open.len(), 0);
        }
        let mut reset = open();
        reset.received(head(Head::RST_STREAM, 0, 1), Instant::now());
        assert_eq!(cut(&mut reset, second * 5), Some(3));
        // The client's own trailers begin nothing.
        reset.received(head(Head::HEADERS, 1, 1), Instant::now());
        assert_eq!((reset.open.len(), reset.last_stream()), (0, 1));
    }

    #[test]
    fn answers_forgive_and_acknowledgements_are_no_pings() {
        let now = Instant::now();
        let mut strikes = Strikes::new(Duration::from_secs(5));
        strikes.received(head(Head::HEADERS, 0, 1), now);
        for _ in 0..20 {
            assert!(!strikes.received(PING, now));
            assert!(!strikes.received(PING, now));
            strikes.sent(head(Head::DATA, 0, 1));
        }
        let ack = head(Head::PING, Head::ACK, 0);
        assert!((0..10).all(|_| !strikes.received(ack, now)));
    }
}

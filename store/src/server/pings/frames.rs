//! Finds the heads of HTTP/2 frames in bytes that go by in any pieces. Their payload is passed over.

/// What an HTTP/2 client begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEAD_BYTES: usize = 9;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    /// Of DATA and HEADERS.
    pub(super) const END_STREAM: u8 = 1;
    /// Of PING.
    pub(super) const ACK: u8 = 1;
}

/// Where in a direction of a connection the next byte is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frames {
    /// So many bytes of the preface were as they should be.
    Preface(usize),
    /// In the head of a frame, of which so many bytes are here.
    Head([u8; HEAD_BYTES], usize),
    /// Before so many bytes of payload; more than none.
    Payload(usize),
    /// This is no HTTP/2.
    Other,
}

impl Frames {
    /// What a client sends, which may be no HTTP/2.
    pub(super) const CLIENT: Self = Self::Preface(0);
    /// What a server of HTTP/2 sends.
    pub(super) const SERVER: Self = Self::Head([0; HEAD_BYTES], 0);

    /// True once the preface is through.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Head(..) | Self::Payload(_))
    }

    /// How many bytes the frame that has begun still has, as far as is known: none between two frames.
    pub(super) fn open_bytes(&self) -> usize {
        match self {
            Self::Head(_, 0) | Self::Preface(_) | Self::Other => 0,
            Self::Head(_, have) => HEAD_BYTES - have,
            Self::Payload(left) => *left,
        }
    }

    /// Goes over the next bytes, and calls `visit` with each head that is whole.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Head)) {
        while let Some(&first) = bytes.first() {
            match *self {
                Self::Other => return,
                Self::Preface(have) => {
                    bytes = &bytes[1..];
                    *self = match PREFACE.get(have) {
                        Some(byte) if *byte != first => Self::Other,
                        _ if have + 1 == PREFACE.len() => Self::SERVER,
                        _ => Self::Preface(have + 1),
                    };
                }
                Self::Head(mut head, have) => {
                    bytes = &bytes[1..];
                    head[have] = first;
                    *self = if have + 1 < HEAD_BYTES {
                        Self::Head(head, have + 1)
                    } else {
                        let (length, parsed) = parse(head);
                        visit(parsed);
                        match length {
                            0 => Self::SERVER,
                            length => Self::Payload(length),
                        }
                    };
                }
                Self::Payload(left) => {
                    let passed = left.min(bytes.len());
                    bytes = &bytes[passed..];
                    *self = match left - passed {
                        0 => Self::SERVER,
                        left => Self::Payload(left),
                    };
                }
            }
        }
    }
}

fn parse(head: [u8; HEAD_BYTES]) -> (usize, Head) {
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
    let length = u32::from_be_bytes([0, l0, l1, l2]);
    // The first bit of a stream's number says nothing.
    let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
    let head = Head {
        kind,
        flags,
        stream,
    };
    (usize::try_from(length).unwrap_or(usize::MAX), head)
}

/// A frame.
pub(super) fn frame(head: Head, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([head.kind, head.flags]);
    frame.extend(head.stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(frames: &mut Frames, bytes: &[u8], piece: usize) -> Vec<Head> {
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            frames.pass(piece, |head| found.push(head));
        }
        found
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let head = |kind, stream| Head {
            kind,
            flags: 1,
            stream,
        };
        let sent = [
            (head(4, 0), &b""[..]),
            (head(Head::HEADERS, 1), b"abc"),
            (head(Head::DATA, 1), &[6; 70_000]),
            (head(Head::PING, 0), &[0; 8]),
        ];
        let mut bytes = PREFACE.to_vec();
        sent.iter()
            .for_each(|(head, payload)| bytes.extend(frame(*head, payload)));
        for piece in [1, 2, 7, 9, 10, 4096, bytes.len()] {
            let mut frames = Frames::CLIENT;
            let found = heads(&mut frames, &bytes, piece);
            assert_eq!(found, sent.map(|(head, _)| head), "in pieces of {piece}");
            assert!(frames.is_http2() && frames.open_bytes() == 0);
        }
        let mut frames = Frames::SERVER;
        frames.pass(&frame(head(Head::DATA, 1), b"abc")[..5], |_| {});
        assert_eq!(frames.open_bytes(), 4);
        frames.pass(&frame(head(Head::DATA, 1), b"abc")[5..10], |_| {});
        assert_eq!(frames.open_bytes(), 2);
    }

    #[test]
    fn what_is_no_http2_is_left_alone() {
        let mut frames = Frames::CLIENT;
        assert_eq!(heads(&mut frames, b"PRI * HTTP/1.1\r\n", 3), []);
        assert_eq!(heads(&mut frames, &[0; 100], 100), []);
        assert!(!frames.is_http2() && frames.open_bytes() == 0);
    }
}

//! DNS messages, as far as questions for SRV records need them (RFC 1035, RFC 2782). Pure; whatever a
//! server sends is read without trust.

const TYPE_SRV: u16 = 33;
const CLASS_IN: u16 = 1;
const HEAD_BYTES: usize = 12;
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 253;
/// A name that goes through more pointers than it can have labels goes round in a circle.
const POINTERS_MAX: usize = 128;

/// The answer's second flags byte: "no such name".
pub(super) const NO_SUCH_NAME: u8 = 3;

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) priority: u16,
    pub(super) weight: u16,
    /// Without the last dot.
    pub(super) target: String,
    pub(super) port: u16,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// There is more than fits a datagram.
    pub(super) is_truncated: bool,
    /// 0 is success.
    pub(super) code: u8,
    pub(super) records: Vec<Record>,
}

/// A question for SRV records; none if that is no name.
pub(super) fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let name = name.trim_end_matches('.');
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut message = id.to_be_bytes().to_vec();
    // Recursion desired; one question and nothing else.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return None;
        }
        message.push(u8::try_from(label.len()).ok()?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(TYPE_SRV.to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    Some(message)
}

/// Reads the answer to the question `id`; none if it is none.
pub(super) fn answer(id: u16, message: &[u8]) -> Option<Answer> {
    let is_answer = u16_at(message, 0)? == id && message.get(2)? & 0x80 != 0;
    if !is_answer {
        return None;
    }
    let (questions, answers) = (u16_at(message, 4)?, u16_at(message, 6)?);
    let mut found = Answer {
        is_truncated: message[2] & 2 != 0,
        code: message.get(3)? & 0x0f,
        records: Vec::new(),
    };
    let mut at = HEAD_BYTES;
    for _ in 0..questions {
        at = name(message, at)?.1.checked_add(4)?;
    }
    for _ in 0..answers {
        let (_, head) = name(message, at)?;
        let (kind, class) = (u16_at(message, head)?, u16_at(message, head + 2)?);
        let body = head + 10;
        let length = usize::from(u16_at(message, head + 8)?);
        // Others may come along, as that of an alias.
        if (kind, class) == (TYPE_SRV, CLASS_IN) {
            found.records.push(record(message, body)?);
        }
        at = body.checked_add(length)?;
    }
    Some(found)
}

fn record(message: &[u8], at: usize) -> Option<Record> {
    Some(Record {
        priority: u16_at(message, at)?,
        weight: u16_at(message, at + 2)?,
        port: u16_at(message, at + 4)?,
        target: name(message, at + 6)?.0,
    })
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// The name at a place, and the place behind it.
fn name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let (mut at, mut end) = (start, None);
    for _ in 0..POINTERS_MAX {
        let length = *message.get(at)?;
        match length {
            0 => return Some((text, end.unwrap_or(at + 1))),
            1..=63 => {
                let label = message.get(at + 1..at + 1 + usize::from(length))?;
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(std::str::from_utf8(label).ok()?);
                at += 1 + usize::from(length);
            }
            // The rest of it stands elsewhere.
            0xc0.. => {
                end = end.or(Some(at + 2));
                at = usize::from(u16_at(message, at)? & 0x3fff);
            }
            _ => return None,
        }
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What dnsmasq answers for two records, with their names compressed.
    fn two_records() -> Vec<u8> {
        let mut message = question(7, "_etcd-server._tcp.a.test").unwrap();
        message[2] = 0x85;
        message[3] = 0x80;
        message[7] = 2;
        for (priority, host) in [(1, b"m0"), (2, b"m1")] {
            // The name of the question; SRV, IN, a time to live.
            message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
            message.extend([0, 11, 0, priority, 0, 5, 9, 0x4c, 2]);
            message.extend(host);
            // "a.test" within the question.
            message.extend([0xc0, 12 + 18]);
        }
        message
    }

    #[test]
    fn records_are_read() {
        let record = |priority, target: &str| Record {
            priority,
            weight: 5,
            target: target.into(),
            port: 2380,
        };
        let expected = Answer {
            is_truncated: false,
            code: 0,
            records: vec![record(1, "m0.a.test"), record(2, "m1.a.test")],
        };
        assert_eq!(answer(7, &two_records()), Some(expected));
        assert_eq!(answer(8, &two_records()), None, "somebody else's");
        let mut none = question(7, "x").unwrap();
        none[2] = 0x82;
        none[3] = NO_SUCH_NAME;
        let none = answer(7, &none).unwrap();
        assert!(none.is_truncated && none.code == NO_SUCH_NAME && none.records.is_empty());
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        for bad in ["", "a..b", &"x".repeat(64), &"x.".repeat(128)] {
            assert_eq!(question(1, bad), None, "{bad}");
        }
        assert_eq!(question(1, "a.b."), question(1, "a.b"));
    }

    #[test]
    fn a_name_that_points_at_itself_is_none() {
        let mut message = two_records();
        let at = u8::try_from(message.len() - 2).unwrap();
        let end = message.len();
        message[end - 2..].copy_from_slice(&[0xc0, at]);
        assert_eq!(answer(7, &message), None);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes: Vec<u8>, at in 0_usize..120, with: u8) {
            let _ = answer(7, &bytes);
            let mut message = two_records();
            let at = at % message.len();
            message[at] = with;
            let _ = answer(7, &message);
            let _ = answer(7, &message[..at]);
        }
    }
}

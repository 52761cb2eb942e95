//! A large message as JSON, piece by piece: what it is as a whole (`json::print`), with never more than
//! a piece or one value of it as text at a time. Reads only what the services of this process wrote:
//! fields in the order of their numbers, and those of one number together.

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::json;

/// A piece is over once it has this size. Messages above it are taken apart themselves.
const PIECE_BYTES: usize = 128 * 1024;

/// See the module.
pub(super) struct Pieces {
    /// The message, and within each the one that is being printed.
    open: Vec<Open>,
}

/// A message that is printed in part.
struct Open {
    kind: MessageDescriptor,
    /// What is left of it.
    wire: Bytes,
    has_field: bool,
    /// The number of the list that is open.
    list: Option<u32>,
}

impl Pieces {
    /// All of a message of `kind`.
    pub(super) fn new(kind: MessageDescriptor, wire: Bytes) -> Self {
        Self {
            open: vec![Open::new(kind, wire)],
        }
    }

    /// The next piece; none at the end. A fault is the last one.
    pub(super) fn next_piece(&mut self) -> Option<Result<Vec<u8>, String>> {
        let mut out = Vec::with_capacity(PIECE_BYTES);
        while out.len() < PIECE_BYTES
            && let Some(open) = self.open.last_mut()
        {
            match open.step(&mut out) {
                Ok(Step::Went) => {}
                Ok(Step::Within(inner)) => self.open.push(inner),
                Ok(Step::Done) => drop(self.open.pop()),
                Err(fault) => {
                    self.open.clear();
                    return Some(Err(fault));
                }
            }
        }
        (!out.is_empty()).then_some(Ok(out))
    }
}

enum Step {
    Went,
    /// This one comes first.
    Within(Open),
    Done,
}

/// A field as it stands on the wire.
struct Field {
    number: u32,
    /// Behind its key and length, if it has a length.
    payload: Option<Bytes>,
    /// How long all of it is.
    bytes: usize,
}

impl Open {
    fn new(kind: MessageDescriptor, wire: Bytes) -> Self {
        Self {
            kind,
            wire,
            has_field: false,
            list: None,
        }
    }

    fn step(&mut self, out: &mut Vec<u8>) -> Result<Step, String> {
        let Some(field) = next_field(self.wire.clone())? else {
            if !self.has_field {
                out.push(b'{');
            }
            self.end_list(out);
            out.push(b'}');
            return Ok(Step::Done);
        };
        let Some(known) = self.kind.get_field(field.number) else {
            self.wire.advance(field.bytes);
            return Ok(Step::Went);
        };
        match (known.kind(), field.payload) {
            (Kind::Message(kind), Some(payload)) if !known.is_map() => {
                self.wire.advance(field.bytes);
                self.begin(&known, out);
                if payload.len() > PIECE_BYTES {
                    return Ok(Step::Within(Self::new(kind, payload)));
                }
                json::print(kind, payload, out)?;
            }
            _ => self.scalars(field.number, out)?,
        }
        Ok(Step::Went)
    }

    /// Prints the name of a field that holds messages, or the comma between two of them.
    fn begin(&mut self, field: &FieldDescriptor, out: &mut Vec<u8>) {
        if self.list == Some(field.number()) {
            out.push(b',');
            return;
        }
        self.next_name(out);
        out.push(b'"');
        out.extend_from_slice(field.name().as_bytes());
        out.extend_from_slice(b"\":");
        if field.is_list() {
            out.push(b'[');
            self.list = Some(field.number());
        }
    }

    /// Prints all that stands under one number, which is no message.
    fn scalars(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), String> {
        let mut bytes = 0;
        while let Some(field) = next_field(self.wire.slice(bytes..))?
            && field.number == number
        {
            bytes += field.bytes;
        }
        let mut alone = Vec::new();
        json::print(self.kind.clone(), self.wire.split_to(bytes), &mut alone)?;
        // Without its braces; a default is nothing.
        let inner = alone.get(1..alone.len().saturating_sub(1));
        if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
            self.next_name(out);
            out.extend_from_slice(inner);
        }
        Ok(())
    }

    fn next_name(&mut self, out: &mut Vec<u8>) {
        self.end_list(out);
        out.push(if self.has_field { b',' } else { b'{' });
        self.has_field = true;
    }

    fn end_list(&mut self, out: &mut Vec<u8>) {
        if self.list.take().is_some() {
            out.push(b']');
        }
    }
}

fn next_field(mut wire: Bytes) -> Result<Option<Field>, String> {
    let before = wire.len();
    if before == 0 {
        return Ok(None);
    }
    let words = |error: prost::DecodeError| error.to_string();
    let (number, wire_type) = decode_key(&mut wire).map_err(words)?;
    let mut payload = None;
    let skipped = match wire_type {
        WireType::Varint => {
            decode_varint(&mut wire).map_err(words)?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => {
            let length = decode_varint(&mut wire).map_err(words)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            payload = wire.get(..length).map(|_| wire.slice(..length));
            length
        }
        WireType::StartGroup | WireType::EndGroup => return Err("a group".into()),
    };
    if wire.len() < skipped {
        return Err("a field ends too early".into());
    }
    let bytes = before - wire.len() + skipped;
    Ok(Some(Field {
        number,
        payload,
        bytes,
    }))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_reflect::DescriptorPool;
    use proto_etcd::etcdserverpb::response_op::Response;
    use proto_etcd::etcdserverpb::{
        LeaseLeasesResponse, LeaseStatus, RangeResponse, ResponseHeader, ResponseOp,
        StatusResponse, TxnResponse,
    };
    use proto_etcd::mvccpb::KeyValue;

    use super::*;

    fn kind(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(proto_etcd::DESCRIPTORS).unwrap();
        pool.get_message_by_name(name).unwrap()
    }

    fn check(name: &str, message: &impl Message) {
        let kind = kind(name);
        let wire = Bytes::from(message.encode_to_vec());
        let mut whole = Vec::new();
        json::print(kind.clone(), wire.clone(), &mut whole).unwrap();
        let (mut pieces, mut all) = (Pieces::new(kind, wire), Vec::new());
        while let Some(piece) = pieces.next_piece() {
            let piece = piece.unwrap();
            // The largest value here takes less.
            assert!(piece.len() < 4 * PIECE_BYTES, "{}", piece.len());
            all.extend(piece);
        }
        assert!(whole == all, "{name}: {}", String::from_utf8_lossy(&all));
    }

    fn range(count: usize, value_bytes: usize) -> RangeResponse {
        let kv = |number: usize| KeyValue {
            key: format!("key \"{number}\"").into(),
            value: vec![b'v'; number % 7 * value_bytes].into(),
            mod_revision: i64::try_from(number).unwrap(),
            lease: -1,
            ..Default::default()
        };
        RangeResponse {
            header: Some(ResponseHeader {
                revision: 7,
                ..Default::default()
            }),
            kvs: (0..count).map(kv).collect(),
            more: true,
            count: 99,
        }
    }

    #[test]
    fn the_pieces_are_the_whole() {
        let range_name = "etcdserverpb.RangeResponse";
        check(range_name, &RangeResponse::default());
        for (count, value_bytes) in [(0, 0), (1, 9), (20_000, 3), (20, 40_000)] {
            check(range_name, &range(count, value_bytes));
        }
        let op = |range| ResponseOp {
            response: Some(Response::ResponseRange(range)),
        };
        let inner = TxnResponse {
            responses: vec![op(range(3, 100_000 / 7)), op(RangeResponse::default())],
            ..Default::default()
        };
        let txn = TxnResponse {
            header: Some(ResponseHeader::default()),
            succeeded: true,
            responses: vec![
                op(range(10_000, 5)),
                ResponseOp::default(),
                ResponseOp {
                    response: Some(Response::ResponseTxn(inner)),
                },
            ],
        };
        check("etcdserverpb.TxnResponse", &txn);
        let leases = LeaseLeasesResponse {
            header: None,
            leases: (0..50_000).map(|id| LeaseStatus { id }).collect(),
        };
        check("etcdserverpb.LeaseLeasesResponse", &leases);
        let status = StatusResponse {
            errors: vec!["one".into(), "two".into()],
            db_size: 5,
            is_learner: true,
            ..Default::default()
        };
        check("etcdserverpb.StatusResponse", &status);
    }

    #[test]
    fn what_breaks_off_is_a_fault() {
        let kind = kind("etcdserverpb.RangeResponse");
        let wire = Bytes::from(range(2, 5).encode_to_vec());
        let mut pieces = Pieces::new(kind, wire.slice(..wire.len() - 1));
        let mut last = None;
        while let Some(piece) = pieces.next_piece() {
            last = Some(piece);
        }
        assert!(last.unwrap().is_err());
    }
}

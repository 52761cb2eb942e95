//! The bytes of the log: records, and the groups that hold them. No IO.
//!
//! A group is written by one write and made durable by one sync. It starts on a sector boundary and
//! fills whole sectors, so that a torn write leaves some of its sectors zero while damage to a
//! written one does not; [`parse_group`] tells the two apart, because the first may be
//! forgotten and the second must never be.

use bytes::Bytes;

use super::Entry;
use crate::consensus::LogId;

/// What a disk writes in one piece.
pub(super) const SECTOR: usize = 512;
pub(super) const GROUP_HEADER: usize = 64;
const GROUP_MAGIC: u32 = 0x4b4c_4731;
/// Ends every group. Its last byte has several bits set, so that no single flip makes it zero.
const TRAILER: [u8; 4] = [0x6b, 0x65, 0x6c, 0x73];

const TAG_ENTRY: u8 = 1;
const TAG_VOTE: u8 = 2;
const TAG_TRUNCATE: u8 = 3;
const TAG_PURGE: u8 = 4;
const TAG_STATE: u8 = 5;

/// What a segment starts from, so that older segments can be removed without losing the marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
}

/// One record as read back. `payload` is found at `payload_at` in the group's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Entry {
        log_id: LogId,
        kind: u8,
        crc: u32,
        payload_at: usize,
        payload_len: usize,
    },
    Vote(Bytes),
    Truncate(Option<LogId>),
    Purge(LogId),
    State(Base),
}

/// Where an entry's payload lies within the bytes of its group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) index: u64,
    pub(super) at: usize,
    pub(super) crc: u32,
}

/// The fixed part of a group's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) epoch: u64,
    /// The checksum of the group or segment header before this one.
    pub(super) previous: u32,
    /// The last index known to be on disk when the group was made.
    pub(super) durable_upto: u64,
    pub(super) committed: Option<LogId>,
}

/// Collects records into the bytes of one group.
pub(super) struct GroupBuilder {
    buffer: Vec<u8>,
    pub(super) placed: Vec<Placed>,
}

impl GroupBuilder {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; GROUP_HEADER],
            placed: Vec::new(),
        }
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        let crc = entry_crc(entry.log_id, entry.kind, &entry.payload);
        self.buffer.push(TAG_ENTRY);
        self.buffer.push(entry.kind);
        self.put_log_id(entry.log_id);
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.put_bytes(&entry.payload);
        let at = self.buffer.len() - entry.payload.len();
        self.placed.push(Placed {
            index: entry.log_id.index,
            at,
            crc,
        });
    }

    pub(super) fn vote(&mut self, vote: &[u8]) {
        self.buffer.push(TAG_VOTE);
        self.put_bytes(vote);
    }

    pub(super) fn truncate(&mut self, last: Option<LogId>) {
        self.buffer.push(TAG_TRUNCATE);
        self.put_optional(last);
    }

    pub(super) fn purge(&mut self, upto: LogId) {
        self.buffer.push(TAG_PURGE);
        self.put_log_id(upto);
    }

    pub(super) fn state(&mut self, base: &Base) {
        self.buffer.push(TAG_STATE);
        self.buffer.push(u8::from(base.vote.is_some()));
        self.put_bytes(base.vote.as_deref().unwrap_or_default());
        self.put_optional(base.purged);
        self.put_optional(base.last);
    }

    /// How many bytes [`GroupBuilder::finish`] will give.
    pub(super) fn total(&self) -> usize {
        (self.buffer.len() + TRAILER.len()).next_multiple_of(SECTOR)
    }

    /// The bytes to write at `offset` of the segment, and the checksum that the next group chains to.
    pub(super) fn finish(self, header: GroupHeader, offset: u64) -> (Vec<u8>, u32, Vec<Placed>) {
        let total = self.total();
        let mut bytes = self.buffer;
        let body_len = bytes.len() - GROUP_HEADER;
        bytes.resize(total - TRAILER.len(), 0);
        bytes.extend_from_slice(&TRAILER);
        let body_crc = crc32c::crc32c(&bytes[GROUP_HEADER..]);
        // The first sector holds the header and so is never zero, whatever is counted before it is filled in.
        let zero_sectors = bytes
            .chunks(SECTOR)
            .skip(1)
            .filter(|sector| is_zero(sector))
            .count();
        let committed = header.committed.unwrap_or_default();
        let mut fields = Vec::with_capacity(GROUP_HEADER);
        fields.extend_from_slice(&header.epoch.to_le_bytes());
        fields.extend_from_slice(&low_u32(body_len).to_le_bytes());
        fields.extend_from_slice(&low_u32(zero_sectors).to_le_bytes());
        fields.extend_from_slice(&body_crc.to_le_bytes());
        fields.extend_from_slice(&header.previous.to_le_bytes());
        fields.extend_from_slice(&offset.to_le_bytes());
        fields.extend_from_slice(&header.durable_upto.to_le_bytes());
        fields.extend_from_slice(&committed.term.to_le_bytes());
        fields.extend_from_slice(&committed.index.to_le_bytes());
        let header_crc = crc32c::crc32c(&fields);
        bytes[..4].copy_from_slice(&GROUP_MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&header_crc.to_le_bytes());
        bytes[8..GROUP_HEADER].copy_from_slice(&fields);
        (bytes, header_crc, self.placed)
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.buffer
            .extend_from_slice(&low_u32(bytes.len()).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
    }

    fn put_log_id(&mut self, log_id: LogId) {
        self.buffer.extend_from_slice(&log_id.term.to_le_bytes());
        self.buffer.extend_from_slice(&log_id.index.to_le_bytes());
    }

    fn put_optional(&mut self, log_id: Option<LogId>) {
        self.buffer.push(u8::from(log_id.is_some()));
        self.put_log_id(log_id.unwrap_or_default());
    }
}

/// Lengths here are bounded by the writer's batch limit, far below four gigabytes.
fn low_u32(value: usize) -> u32 {
    u32::try_from(value).expect("a group is bounded far below four gigabytes")
}

/// Binds a payload to its place, for reads that see neither header nor group.
pub(super) fn entry_crc(log_id: LogId, kind: u8, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(u32::from(kind), &log_id.term.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &log_id.index.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

/// What lies at a sector boundary where a group may start.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A whole group. `checksum` is what the next one chains to.
    Group {
        header: GroupHeader,
        checksum: u32,
        total: usize,
        records: Vec<Record>,
    },
    /// Nothing was written here.
    Nothing,
    /// A write that did not finish: nobody was told of it. `total` if its header can be read.
    Torn { total: Option<usize> },
    /// Written whole and changed afterwards.
    Damaged { reason: &'static str },
}

/// Reads what starts at `bytes[0]`, which is at `offset` of the segment with `epoch`; `bytes` go on to
/// the end of the file.
pub(super) fn parse_group(bytes: &[u8], epoch: u64, offset: u64) -> Parsed {
    let Some(head) = bytes.get(..GROUP_HEADER) else {
        return if is_zero(bytes) {
            Parsed::Nothing
        } else {
            Parsed::Torn { total: None }
        };
    };
    if is_zero(head) {
        return Parsed::Nothing;
    }
    let mut fields = Reader { bytes: head, at: 0 };
    let header = match read_header(&mut fields, head) {
        Some(header) if header.fixed.epoch == epoch && header.offset == offset => header,
        Some(_) => {
            return Parsed::Damaged {
                reason: "a group of another place",
            };
        }
        None => {
            // The first record's tag follows the header in the same sector and is never zero.
            let rest = bytes
                .get(GROUP_HEADER..SECTOR.min(bytes.len()))
                .unwrap_or_default();
            return match bytes.len() < SECTOR || is_zero(rest) {
                true => Parsed::Torn { total: None },
                false => Parsed::Damaged {
                    reason: "a group header",
                },
            };
        }
    };
    let total = (GROUP_HEADER + header.body_len + TRAILER.len()).next_multiple_of(SECTOR);
    let Some(group) = bytes.get(..total) else {
        return Parsed::Torn { total: Some(total) };
    };
    if crc32c::crc32c(&group[GROUP_HEADER..]) != header.body_crc {
        let zero_sectors = group
            .chunks(SECTOR)
            .skip(1)
            .filter(|sector| is_zero(sector))
            .count();
        let torn = zero_sectors > header.zero_sectors || group.last() == Some(&0);
        return match torn {
            true => Parsed::Torn { total: Some(total) },
            false => Parsed::Damaged {
                reason: "a group's checksum",
            },
        };
    }
    match read_records(&group[..GROUP_HEADER + header.body_len]) {
        Some(records) => Parsed::Group {
            header: header.fixed,
            checksum: header.checksum,
            total,
            records,
        },
        None => Parsed::Damaged {
            reason: "a record of unknown form",
        },
    }
}

struct FullHeader {
    fixed: GroupHeader,
    checksum: u32,
    body_len: usize,
    body_crc: u32,
    zero_sectors: usize,
    offset: u64,
}

fn read_header(fields: &mut Reader<'_>, head: &[u8]) -> Option<FullHeader> {
    let magic = fields.u32()?;
    let checksum = fields.u32()?;
    if magic != GROUP_MAGIC || crc32c::crc32c(head.get(8..)?) != checksum {
        return None;
    }
    let epoch = fields.u64()?;
    let body_len = usize::try_from(fields.u32()?).ok()?;
    let zero_sectors = usize::try_from(fields.u32()?).ok()?;
    let body_crc = fields.u32()?;
    let previous = fields.u32()?;
    let offset = fields.u64()?;
    let durable_upto = fields.u64()?;
    let committed = LogId {
        term: fields.u64()?,
        index: fields.u64()?,
    };
    let committed = (committed.index > 0).then_some(committed);
    let fixed = GroupHeader {
        epoch,
        previous,
        durable_upto,
        committed,
    };
    Some(FullHeader {
        fixed,
        checksum,
        body_len,
        body_crc,
        zero_sectors,
        offset,
    })
}

fn read_records(group: &[u8]) -> Option<Vec<Record>> {
    let mut reader = Reader {
        bytes: group,
        at: GROUP_HEADER,
    };
    let mut records = Vec::new();
    while reader.at < group.len() {
        records.push(match reader.u8()? {
            TAG_ENTRY => {
                let kind = reader.u8()?;
                let log_id = reader.log_id()?;
                let crc = reader.u32()?;
                let payload_len = reader.bytes()?.len();
                let payload_at = reader.at - payload_len;
                Record::Entry {
                    log_id,
                    kind,
                    crc,
                    payload_at,
                    payload_len,
                }
            }
            TAG_VOTE => Record::Vote(Bytes::copy_from_slice(reader.bytes()?)),
            TAG_TRUNCATE => Record::Truncate(reader.optional()?),
            TAG_PURGE => Record::Purge(reader.log_id()?),
            TAG_STATE => {
                let has_vote = reader.u8()? != 0;
                let vote = Bytes::copy_from_slice(reader.bytes()?);
                let vote = has_vote.then_some(vote);
                Record::State(Base {
                    vote,
                    purged: reader.optional()?,
                    last: reader.optional()?,
                })
            }
            _ => return None,
        });
    }
    Some(records)
}

/// Reads little-endian fields and never beyond the end.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    fn log_id(&mut self) -> Option<LogId> {
        Some(LogId {
            term: self.u64()?,
            index: self.u64()?,
        })
    }

    fn optional(&mut self) -> Option<Option<LogId>> {
        let present = self.u8()? != 0;
        let log_id = self.log_id()?;
        Some(present.then_some(log_id))
    }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

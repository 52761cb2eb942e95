//! A file of changes: a header, and blocks that are each written and synced as one.
//!
//! ```text
//! header  "keelbak1" | cluster: u64 | base: u64 | first revision: u64 | crc32c of all before it: u32
//! block   "blk1" | body's bytes: u32 | crc32c of the body: u32 | crc32c of the 12 bytes before: u32 | body
//! body    Block as a protobuf message
//! ```
//! Numbers are big-endian. A block is begun once the one before it is on disk. So a bad block with
//! anything behind it is damage, and so is one whose header is bad; one that the end of the file cuts
//! off, or that it ends with, was not finished by whoever wrote it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use prost::Message;

use super::super::follow::{Changes, Seen};

const MAGIC: &[u8; 8] = b"keelbak1";
const BLOCK_MAGIC: &[u8; 4] = b"blk1";
pub(super) const HEADER_BYTES: u64 = 36;
const BLOCK_HEADER_BYTES: usize = 16;

/// A body is cut long before, except by a single revision that is larger.
const BODY_BYTES_MAX: u64 = 1 << 30;

/// What was written at once.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Block {
    /// Leases that were new. Before the changes that refer to them.
    #[prost(message, repeated, tag = "1")]
    pub(super) granted: Vec<Seen>,
    /// Leases that were gone.
    #[prost(int64, repeated, tag = "2")]
    pub(super) gone: Vec<i64>,
    /// Revisions in order.
    #[prost(message, repeated, tag = "3")]
    pub(super) changes: Vec<Changes>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) cluster_id: u64,
    pub(super) base: u64,
    pub(super) first_revision: i64,
}

impl Header {
    fn bytes(self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.cluster_id.to_be_bytes());
        out.extend(self.base.to_be_bytes());
        out.extend(self.first_revision.to_be_bytes());
        out.extend(crc32c::crc32c(&out).to_be_bytes());
        out
    }
}

/// A file that is written to.
pub(super) struct Segment {
    file: File,
    pub(super) bytes: u64,
}

impl Segment {
    /// Makes the file, with its header on disk. One that is there was begun by a run that died before
    /// anybody was told of it.
    pub(super) fn create(path: &Path, header: Header) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&header.bytes())?;
        file.sync_all()?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Self {
            file,
            bytes: HEADER_BYTES,
        })
    }

    /// Opens a file to write behind its good part, and cuts off what is behind that.
    pub(super) fn resume(path: &Path, good_bytes: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > good_bytes {
            file.set_len(good_bytes)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(good_bytes))?;
        Ok(Self {
            file,
            bytes: good_bytes,
        })
    }

    /// Writes a block and syncs it.
    pub(super) fn append(&mut self, block: &Block) -> io::Result<()> {
        let body = block.encode_to_vec();
        let len = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(BLOCK_HEADER_BYTES + body.len());
        out.extend(BLOCK_MAGIC);
        out.extend(len.to_be_bytes());
        out.extend(crc32c::crc32c(&body).to_be_bytes());
        out.extend(crc32c::crc32c(&out).to_be_bytes());
        out.extend(body);
        self.file.write_all(&out)?;
        self.file.sync_data()?;
        self.bytes += out.len() as u64;
        Ok(())
    }
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Next {
    /// A whole block.
    Block(Block),
    /// Nothing: the file ends here.
    End,
    /// So many bytes that were not finished.
    Torn(u64),
    /// Something that nobody has written so.
    Damaged(&'static str),
}

/// Reads a file, block after block. Holds one of them.
pub(super) struct Blocks {
    file: BufReader<File>,
    size: u64,
    /// Where the next block begins.
    pub(super) offset: u64,
}

impl Blocks {
    /// Opens a file; what is wrong with its header, if anything.
    pub(super) fn open(path: &Path, header: Header) -> io::Result<Result<Self, &'static str>> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        if size < HEADER_BYTES {
            return Ok(Err("its header is cut short"));
        }
        let mut found = [0; HEADER_BYTES as usize];
        file.read_exact(&mut found)?;
        if found != *header.bytes() {
            return Ok(Err("its header is not the one that was written"));
        }
        Ok(Ok(Self {
            file,
            size,
            offset: HEADER_BYTES,
        }))
    }

    /// The next block. A block's bytes are checked before they are believed.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let left = self.size.saturating_sub(self.offset);
        if left == 0 {
            return Ok(Next::End);
        }
        let mut head = [0; BLOCK_HEADER_BYTES];
        let Some(left) = left.checked_sub(BLOCK_HEADER_BYTES as u64) else {
            return Ok(Next::Torn(left));
        };
        self.file.read_exact(&mut head)?;
        let word = |at: usize| head.get(at..at + 4).and_then(|word| word.try_into().ok());
        let number = |at| word(at).map_or(0, u32::from_be_bytes);
        let is_good = head.starts_with(BLOCK_MAGIC) && crc32c::crc32c(&head[..12]) == number(12);
        if !is_good {
            // A file system may have grown the file and lost what was to stand there.
            let is_blank = head.iter().all(|byte| *byte == 0) && self.rest_is_blank()?;
            return Ok(match is_blank {
                true => Next::Torn(left + BLOCK_HEADER_BYTES as u64),
                false => Next::Damaged("a block's header"),
            });
        }
        let len = u64::from(number(4));
        if len > BODY_BYTES_MAX {
            return Ok(Next::Damaged("a block's size"));
        }
        let Some(behind) = left.checked_sub(len) else {
            return Ok(Next::Torn(left + BLOCK_HEADER_BYTES as u64));
        };
        let mut body = Vec::new();
        (&mut self.file).take(len).read_to_end(&mut body)?;
        if crc32c::crc32c(&body) != number(8) {
            return Ok(match behind {
                0 => Next::Torn(left + BLOCK_HEADER_BYTES as u64),
                _ => Next::Damaged("a block's checksum"),
            });
        }
        let Ok(block) = Block::decode(&*body) else {
            return Ok(Next::Damaged("a block's form"));
        };
        self.offset += BLOCK_HEADER_BYTES as u64 + len;
        Ok(Next::Block(block))
    }

    fn rest_is_blank(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 1 << 12];
        loop {
            let len = self.file.read(&mut buffer)?;
            if len == 0 {
                return Ok(true);
            }
            if buffer[..len].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
    }
}

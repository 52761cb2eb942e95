//! One file of the log: a header sector, then groups to the end.
//!
//! A segment appears under its own name only when its header and first group are on disk, so a
//! crash while one is made leaves nothing but a `.tmp` file, which the next opening removes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;
use super::record::{Reader, SECTOR};
use crate::disk::{File, FileSystem, Open};
use crate::failpoint;

pub(super) const VERSION: u32 = 1;
const MAGIC: u64 = 0x4745_534c_4e45_4c4b;
const SUFFIX: &str = "log";
const UNFINISHED: &str = "tmp";

/// What a segment says of itself and of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u64,
    /// Where the segment before this one ended, and the checksum it ended with. Zero in the first.
    pub(super) previous_end: u64,
    pub(super) previous_checksum: u32,
}

/// Why a header cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Damaged,
    Version(u32),
}

impl Header {
    /// The header sector and the checksum that the first group chains to.
    pub(super) fn encode(self) -> (Vec<u8>, u32) {
        let mut fields = Vec::with_capacity(SECTOR);
        fields.extend_from_slice(&MAGIC.to_le_bytes());
        fields.extend_from_slice(&VERSION.to_le_bytes());
        fields.extend_from_slice(&self.previous_checksum.to_le_bytes());
        fields.extend_from_slice(&self.epoch.to_le_bytes());
        fields.extend_from_slice(&self.previous_end.to_le_bytes());
        fields.resize(SECTOR - 4, 0);
        let checksum = crc32c::crc32c(&fields);
        fields.extend_from_slice(&checksum.to_le_bytes());
        (fields, checksum)
    }

    /// Reads a header sector. The version is looked at first, so that a newer one is named as such.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u32), BadHeader> {
        let sector = bytes.get(..SECTOR).ok_or(BadHeader::Damaged)?;
        let mut reader = Reader {
            bytes: sector,
            at: 0,
        };
        let mut read = || {
            let (magic, version) = (reader.u64()?, reader.u32()?);
            let (previous_checksum, epoch) = (reader.u32()?, reader.u64()?);
            Some((
                magic,
                version,
                Self {
                    epoch,
                    previous_end: reader.u64()?,
                    previous_checksum,
                },
            ))
        };
        let (magic, version, header) = read().ok_or(BadHeader::Damaged)?;
        if magic != MAGIC {
            return Err(BadHeader::Damaged);
        }
        if version > VERSION {
            return Err(BadHeader::Version(version));
        }
        let checksum = crc32c::crc32c(&sector[..SECTOR - 4]);
        if sector[SECTOR - 4..] != checksum.to_le_bytes() {
            return Err(BadHeader::Damaged);
        }
        Ok((header, checksum))
    }
}

/// The header of the segment at `path`, and its checksum.
pub(super) fn read_header(files: &dyn FileSystem, path: &Path) -> Result<(Header, u32), OpenError> {
    let file = files
        .open(path, Open::Existing)
        .map_err(OpenError::io("open a segment"))?;
    let size = file.size().map_err(OpenError::io("read a segment"))?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(SECTOR).min(SECTOR)];
    file.read_exact_at(&mut bytes, 0)
        .map_err(OpenError::io("read a segment"))?;
    Header::decode(&bytes).map_err(|bad| match bad {
        BadHeader::Version(found) => OpenError::Version {
            path: path.to_owned(),
            found,
            known: VERSION,
        },
        BadHeader::Damaged => OpenError::Damaged {
            path: path.to_owned(),
            offset: 0,
            reason: "the segment header".to_owned(),
            durable_upto: 0,
        },
    })
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) epoch: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    /// The greatest index that was ever written here; 0 if none. Purged beyond it, the file can go.
    pub(super) greatest: u64,
}

impl Segment {
    /// Gives back what it reserved and, now that another follows, will not use. Nothing refers to that,
    /// so a failure costs only space.
    pub(super) fn trim(&self, end: u64) {
        if let Err(error) = self.file.set_len(end) {
            tracing::warn!(error = %error, path = %self.path.display(), "cannot trim a raft log segment");
        }
    }
}

/// What a new segment starts with.
pub(super) struct NewSegment<'a> {
    pub(super) files: &'a dyn FileSystem,
    pub(super) dir: &'a Path,
    pub(super) header: Header,
    /// Made for offset [`SECTOR`] and chained to the header's checksum.
    pub(super) first_group: &'a [u8],
    pub(super) bytes: u64,
}

/// Makes a segment with its header and first group, durable under its name when this returns.
pub(super) fn create(new: &NewSegment<'_>) -> io::Result<Segment> {
    let path = new.dir.join(format!("{:016x}.{SUFFIX}", new.header.epoch));
    let unfinished = path.with_extension(UNFINISHED);
    let file = new.files.open(&unfinished, Open::Empty)?;
    let (head, _) = new.header.encode();
    let needed = (head.len() + new.first_group.len()) as u64;
    // So that appends change no metadata and meet no full disk before the end of the segment.
    file.reserve(new.bytes.max(needed))?;
    file.write_all_at(&head, 0)?;
    file.write_all_at(new.first_group, SECTOR as u64)?;
    failpoint::hit("log::segment_written")?;
    file.sync_all()?;
    failpoint::hit("log::segment_synced")?;
    new.files.rename(&unfinished, &path)?;
    new.files.sync_dir(new.dir)?;
    failpoint::hit("log::segment_renamed")?;
    Ok(Segment {
        epoch: new.header.epoch,
        path,
        file,
        greatest: 0,
    })
}

/// What a file in the log's folder is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name {
    Segment(u64),
    Unfinished,
    Lock,
    Foreign,
}

pub(super) const LOCK_FILE: &str = "LOCK";

pub(super) fn name_of(path: &Path) -> Name {
    if path.file_name().is_some_and(|name| name == LOCK_FILE) {
        return Name::Lock;
    }
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let epoch = (stem.len() == 16)
        .then(|| u64::from_str_radix(stem, 16).ok())
        .flatten();
    match (
        epoch,
        path.extension().and_then(|extension| extension.to_str()),
    ) {
        (Some(epoch), Some(SUFFIX)) => Name::Segment(epoch),
        (Some(_), Some(UNFINISHED)) => Name::Unfinished,
        _ => Name::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{BadHeader, Header, Name, name_of};

    #[test]
    fn a_header_reads_back_and_shows_every_flip() {
        let header = Header {
            epoch: 7,
            previous_end: 4096,
            previous_checksum: 0xdead_beef,
        };
        let (bytes, checksum) = header.encode();
        assert_eq!(Header::decode(&bytes), Ok((header, checksum)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err(), "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 9;
        assert_eq!(Header::decode(&newer), Err(BadHeader::Version(9)));
    }

    #[test]
    fn knows_its_own_files() {
        assert_eq!(
            name_of(Path::new("/x/000000000000001f.log")),
            Name::Segment(31)
        );
        assert_eq!(
            name_of(Path::new("/x/000000000000001f.tmp")),
            Name::Unfinished
        );
        assert_eq!(name_of(Path::new("/x/LOCK")), Name::Lock);
        assert_eq!(name_of(Path::new("/x/1f.log")), Name::Foreign);
        assert_eq!(name_of(Path::new("/x/notes.txt")), Name::Foreign);
    }
}

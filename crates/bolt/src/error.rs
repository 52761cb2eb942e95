//! What is wrong with a file, or with what was asked to be written.

use std::io;

/// A file that cannot be read. None is worth another try with the same file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("read {bytes} bytes at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Neither meta page is one; the words in front are bbolt's.
    #[error("invalid database: {0}")]
    Meta(&'static str),
    /// The file ends before its last page.
    #[error("the file has {have} bytes and its meta page tells of {want}: it was cut short")]
    CutShort {
        /// Its size.
        have: u64,
        /// The size it should have.
        want: u64,
    },
    /// A page is damaged.
    #[error("page {page}: {fault}")]
    Page {
        /// Which page.
        page: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Something that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Whoever takes the bytes takes no more.
    #[error("write the file")]
    Io(#[from] io::Error),
    /// A key or bucket came that does not follow the one before it.
    #[error("keys must come in order, each once")]
    Order,
    /// A key that bbolt refuses.
    #[error("a key has {0} bytes: bbolt takes 1 to 32768")]
    KeySize(usize),
    /// A value that bbolt refuses.
    #[error("a value has {0} bytes: bbolt takes less than 2 GiB")]
    ValueSize(usize),
    /// A row came while no bucket was open, or a bucket while one was.
    #[error("a row belongs into a bucket, and a bucket into the file")]
    Nesting,
    /// The second pass was given something else than the first.
    #[error("the rows differ from those that the file was measured with")]
    Changed,
    /// A page size that bbolt does not know.
    #[error("a page of {0} bytes: it must be a power of two from 1024 to 65536")]
    PageSize(u32),
}

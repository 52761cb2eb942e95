//! A whole file, forwards only.

use std::io::{Sink, Write, sink};

use crate::WriteError;
use crate::format::{FREELIST, Meta, header};
use crate::tree::{Content, Pages, Tree};

/// The list of free pages, of which there is none.
const FREELIST_PAGE: u64 = 2;
/// The first page of rows.
const FIRST_PAGE: u64 = 3;

/// What must be known of a file before its first byte: its meta pages name its last page. Found by
/// writing it once to nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    page_bytes: u32,
    root: u64,
    pages: u64,
}

impl Shape {
    /// How many bytes the file will have.
    pub fn bytes(&self) -> u64 {
        self.pages * u64::from(self.page_bytes)
    }
}

/// Writes a file, its buckets in the order of their names and each one's rows in the order of keys.
/// Holds one node a level of the tree.
///
/// The same calls are made twice: on [`Writer::measure`], whose [`Writer::finish`] gives the shape,
/// and on [`Writer::new`], which then sends the bytes.
#[derive(Debug)]
pub struct Writer<W> {
    pages: Pages<W>,
    root: Tree,
    /// The bucket that rows go to.
    open: Option<(Vec<u8>, Tree)>,
    shape: Option<Shape>,
}

impl Writer<Sink> {
    /// Writes nothing and counts the pages.
    pub fn measure(page_bytes: u32) -> Result<Self, WriteError> {
        // A page's elements are counted in 16 bits.
        if !page_bytes.is_power_of_two() || !(1024..=65_536).contains(&page_bytes) {
            return Err(WriteError::PageSize(page_bytes));
        }
        Ok(Self::begin(sink(), page_bytes, None))
    }
}

impl<W: Write> Writer<W> {
    /// Begins a file of that shape.
    pub fn new(mut sink: W, shape: Shape) -> Result<Self, WriteError> {
        // The next transaction, 3, is to go into page 1, where bbolt puts odd ones: until it is
        // whole, page 0 stays.
        for (id, transaction) in [(0, 2), (1, 1)] {
            let meta = Meta {
                page_bytes: shape.page_bytes,
                root: shape.root,
                freelist: FREELIST_PAGE,
                pages: shape.pages,
                transaction,
            };
            sink.write_all(&meta.page(id))?;
        }
        let mut freelist = header(FREELIST_PAGE, FREELIST, 0, 0);
        freelist.resize(shape.page_bytes as usize, 0);
        sink.write_all(&freelist)?;
        Ok(Self::begin(sink, shape.page_bytes, Some(shape)))
    }

    fn begin(sink: W, page_bytes: u32, shape: Option<Shape>) -> Self {
        Self {
            pages: Pages {
                sink,
                page_bytes: page_bytes as usize,
                next: FIRST_PAGE,
            },
            root: Tree::default(),
            open: None,
            shape,
        }
    }

    /// Begins a bucket. Names come in order.
    pub fn begin_bucket(&mut self, name: &[u8]) -> Result<(), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Nesting);
        }
        self.open = Some((name.to_vec(), Tree::default()));
        Ok(())
    }

    /// Adds a row to the bucket. Keys come in order.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        let (_, tree) = self.open.as_mut().ok_or(WriteError::Nesting)?;
        tree.put(&mut self.pages, key, &Content::Bytes(value))
    }

    /// Ends the bucket.
    pub fn end_bucket(&mut self) -> Result<(), WriteError> {
        let (name, tree) = self.open.take().ok_or(WriteError::Nesting)?;
        let root = tree.finish(&mut self.pages)?;
        self.root
            .put(&mut self.pages, &name, &Content::Bucket(root))
    }

    /// Ends the file. Gives back whoever took the bytes, and the shape.
    pub fn finish(mut self) -> Result<(W, Shape), WriteError> {
        if self.open.is_some() {
            return Err(WriteError::Nesting);
        }
        let root = self.root.finish(&mut self.pages)?;
        let shape = Shape {
            page_bytes: u32::try_from(self.pages.page_bytes)
                .map_err(|_| WriteError::PageSize(u32::MAX))?,
            root,
            pages: self.pages.next,
        };
        if self.shape.is_some_and(|measured| measured != shape) {
            return Err(WriteError::Changed);
        }
        self.pages.sink.flush()?;
        Ok((self.pages.sink, shape))
    }
}

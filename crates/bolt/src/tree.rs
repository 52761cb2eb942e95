//! A bucket's tree, grown from keys that come in order: a node goes out as soon as it is full.

use std::io::Write;

use crate::WriteError;
use crate::format::{
    BRANCH, BUCKET_BYTES, BUCKET_FLAG, ELEMENT_BYTES, HEADER_BYTES, KEY_BYTES_MAX, LEAF,
    VALUE_BYTES_MAX, header,
};

/// Gives pages their numbers and sends them on.
#[derive(Debug)]
pub(crate) struct Pages<W> {
    pub(crate) sink: W,
    pub(crate) page_bytes: usize,
    pub(crate) next: u64,
}

impl<W: Write> Pages<W> {
    /// Sends a node; its number.
    fn send(&mut self, flags: u16, open: &OpenNode) -> Result<u64, WriteError> {
        let id = self.next;
        let bytes = open.bytes();
        let pages = bytes.div_ceil(self.page_bytes);
        let count = u16::try_from(open.elements.len()).map_err(|_| WriteError::Changed)?;
        let overflow = u32::try_from(pages - 1).map_err(|_| WriteError::ValueSize(bytes))?;
        let mut out = header(id, flags, count, overflow);
        let data_start = HEADER_BYTES + open.elements.len() * ELEMENT_BYTES;
        for (at, element) in open.elements.iter().enumerate() {
            let from = HEADER_BYTES + at * ELEMENT_BYTES;
            let position = u32::try_from(data_start + element.start - from)
                .map_err(|_| WriteError::ValueSize(bytes))?;
            if flags == BRANCH {
                out.extend(position.to_le_bytes());
                out.extend(element.key_bytes.to_le_bytes());
                out.extend(element.child.to_le_bytes());
            } else {
                let bucket = if element.is_bucket { BUCKET_FLAG } else { 0 };
                for number in [bucket, position, element.key_bytes, element.value_bytes] {
                    out.extend(number.to_le_bytes());
                }
            }
        }
        self.sink.write_all(&out)?;
        self.sink.write_all(&open.data)?;
        let padding = vec![0; pages * self.page_bytes - bytes];
        self.sink.write_all(&padding)?;
        self.next += pages as u64;
        Ok(id)
    }
}

#[derive(Debug)]
struct Element {
    /// Where its key begins in the node's data.
    start: usize,
    key_bytes: u32,
    value_bytes: u32,
    is_bucket: bool,
    child: u64,
}

/// A node that may still grow.
#[derive(Debug, Default)]
struct OpenNode {
    elements: Vec<Element>,
    data: Vec<u8>,
    /// Nodes of this level that have gone out.
    sent: u64,
}

impl OpenNode {
    fn bytes(&self) -> usize {
        HEADER_BYTES + self.elements.len() * ELEMENT_BYTES + self.data.len()
    }

    /// Whether an element of so many bytes makes it larger than a page that holds something already.
    fn is_full_for(&self, bytes: usize, page_bytes: usize) -> bool {
        !self.elements.is_empty() && self.bytes() + ELEMENT_BYTES + bytes > page_bytes
    }

    fn first_key(&self) -> Vec<u8> {
        let bytes = self.elements.first().map_or(0, |first| first.key_bytes);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.data.get(..bytes).unwrap_or_default().to_vec()
    }

    fn clear(&mut self) {
        self.elements.clear();
        self.data.clear();
        self.sent += 1;
    }
}

/// What a row is to hold.
pub(crate) enum Content<'c> {
    Bytes(&'c [u8]),
    /// The root of a bucket.
    Bucket(u64),
}

/// See the module. Holds one open node a level.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    levels: Vec<OpenNode>,
    last: Option<Vec<u8>>,
}

impl Tree {
    pub(crate) fn put<W: Write>(
        &mut self,
        pages: &mut Pages<W>,
        key: &[u8],
        content: &Content<'_>,
    ) -> Result<(), WriteError> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(WriteError::KeySize(key.len()));
        }
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return Err(WriteError::Order);
        }
        let mut header = Vec::new();
        let (is_bucket, value) = match *content {
            Content::Bytes(bytes) => (false, bytes),
            Content::Bucket(root) => {
                header.extend(root.to_le_bytes());
                header.resize(BUCKET_BYTES, 0);
                (true, &*header)
            }
        };
        if value.len() > VALUE_BYTES_MAX {
            return Err(WriteError::ValueSize(value.len()));
        }
        if self.levels.is_empty() {
            self.levels.push(OpenNode::default());
        }
        if self.levels[0].is_full_for(key.len() + value.len(), pages.page_bytes) {
            self.send(pages, 0)?;
        }
        let leaf = &mut self.levels[0];
        leaf.elements.push(Element {
            start: leaf.data.len(),
            key_bytes: size(key)?,
            value_bytes: size(value)?,
            is_bucket,
            child: 0,
        });
        leaf.data.extend_from_slice(key);
        leaf.data.extend_from_slice(value);
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }

    /// Sends what is open; the root's number.
    pub(crate) fn finish<W: Write>(mut self, pages: &mut Pages<W>) -> Result<u64, WriteError> {
        if self.levels.is_empty() {
            return pages.send(LEAF, &OpenNode::default());
        }
        self.send(pages, 0)?;
        let mut level = 1;
        loop {
            let node = &self.levels[level];
            if let ([only], 0) = (&*node.elements, node.sent) {
                return Ok(only.child);
            }
            self.send(pages, level)?;
            level += 1;
        }
    }

    /// Sends the open node of a level and names it in the level above, which may send that one's.
    fn send<W: Write>(&mut self, pages: &mut Pages<W>, level: usize) -> Result<(), WriteError> {
        let flags = if level == 0 { LEAF } else { BRANCH };
        let node = &mut self.levels[level];
        let key = node.first_key();
        let child = pages.send(flags, node)?;
        node.clear();
        let above = level + 1;
        if self.levels.len() == above {
            self.levels.push(OpenNode::default());
        }
        if self.levels[above].is_full_for(key.len(), pages.page_bytes) {
            self.send(pages, above)?;
        }
        let parent = &mut self.levels[above];
        parent.elements.push(Element {
            start: parent.data.len(),
            key_bytes: size(&key)?,
            value_bytes: 0,
            is_bucket: false,
            child,
        });
        parent.data.extend(key);
        Ok(())
    }
}

fn size(bytes: &[u8]) -> Result<u32, WriteError> {
    u32::try_from(bytes.len()).map_err(|_| WriteError::ValueSize(bytes.len()))
}

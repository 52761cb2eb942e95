//! A file and its buckets.

use crate::format::{
    BUCKET_BYTES, DEPTH_MAX, HEADER_BYTES, META_BYTES, Meta, NODE_BYTES_MAX, PAGE_BYTES_LOG2,
    u32_at, u64_at,
};
use crate::node::{Kind, Node};
use crate::rows::Rows;
use crate::{Error, Source, Value};

/// An open file. Reads pages as they are asked for and keeps none.
#[derive(Debug)]
pub struct Database<S> {
    source: S,
    meta: Meta,
}

/// A bucket of a file.
#[derive(Clone, Debug)]
pub struct Bucket {
    pub(crate) place: Place,
    /// bbolt's counter for its user.
    pub sequence: u64,
}

/// Where a bucket's rows are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the tree below a page.
    Tree(u64),
    /// In a leaf inside the leaf that names the bucket.
    Inline(Box<Node>),
}

impl Bucket {
    /// Reads what a leaf of page `page` says of a bucket.
    pub(crate) fn parse(value: &[u8], page: u64) -> Result<Self, Error> {
        let fault = |fault| Error::Page { page, fault };
        let cut = || fault("a bucket's header is cut short");
        let root = u64_at(value, 0).ok_or_else(cut)?;
        let sequence = u64_at(value, 8).ok_or_else(cut)?;
        let place = match root {
            0 => {
                let inside = value.get(BUCKET_BYTES..).ok_or_else(cut)?;
                let node = Node::parse(inside.to_vec(), page)?;
                if node.kind() != Kind::Leaf {
                    return Err(fault("an inline bucket that is no leaf"));
                }
                Place::Inline(Box::new(node))
            }
            root => Place::Tree(root),
        };
        Ok(Self { place, sequence })
    }
}

impl<S: Source> Database<S> {
    /// Reads the meta pages. The file may be longer than its pages; it may not be shorter.
    pub fn open(source: S) -> Result<Self, Error> {
        let have = source.size().map_err(|source| Error::Io {
            offset: 0,
            bytes: 0,
            source,
        })?;
        let meta = find_meta(&source, have)?;
        let want = meta.pages * u64::from(meta.page_bytes);
        if have < want {
            return Err(Error::CutShort { have, want });
        }
        Ok(Self { source, meta })
    }

    /// The size of a page.
    pub fn page_bytes(&self) -> u32 {
        self.meta.page_bytes
    }

    /// The size of all pages: what bbolt calls the size of a database.
    pub fn size(&self) -> u64 {
        self.meta.pages * u64::from(self.meta.page_bytes)
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.meta.pages
    }

    /// The bucket that holds the buckets.
    pub fn root(&self) -> Bucket {
        Bucket {
            place: Place::Tree(self.meta.root),
            sequence: 0,
        }
    }

    /// The bucket of that name in the root.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket>, Error> {
        self.find(&self.root(), name, |value| match value {
            Value::Bucket(bucket) => Some(bucket),
            Value::Bytes(_) => None,
        })
    }

    /// The value at a key.
    pub fn get(&self, bucket: &Bucket, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.find(bucket, key, |value| match value {
            Value::Bytes(bytes) => Some(bytes.to_vec()),
            Value::Bucket(_) => None,
        })
    }

    /// All rows of a bucket, in the order of keys.
    pub fn rows<'d>(&'d self, bucket: &Bucket) -> Rows<'d, S> {
        Rows::new(self, bucket)
    }

    fn find<T>(
        &self,
        bucket: &Bucket,
        key: &[u8],
        take: impl FnOnce(Value<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut node = match &bucket.place {
            Place::Inline(node) => (**node).clone(),
            Place::Tree(root) => self.node(*root)?,
        };
        for _ in 0..DEPTH_MAX {
            let at = node.search(key);
            let page = node.page();
            if node.kind() == Kind::Leaf {
                return match node.leaf(at).filter(|element| element.key == key) {
                    Some(element) => Ok(take(Value::of(&element, page)?)),
                    None => Ok(None),
                };
            }
            // A branch's key is the smallest of its child; what is smaller than all is in the first.
            let is_here = node.key(at).is_some_and(|found| found == key);
            let at = if is_here { at } else { at.saturating_sub(1) };
            let child = node.child(at).ok_or(Error::Page {
                page,
                fault: "a branch without children",
            })?;
            node = self.node(child)?;
        }
        Err(Error::Page {
            page: node.page(),
            fault: "the tree is too deep",
        })
    }

    /// Reads a node with its overflow pages.
    pub(crate) fn node(&self, page: u64) -> Result<Node, Error> {
        let fault = |fault| Error::Page { page, fault };
        if page < 2 || page >= self.meta.pages {
            return Err(fault("not a page of the file that may hold rows"));
        }
        let page_bytes = u64::from(self.meta.page_bytes);
        let head = read(&self.source, page * page_bytes, page_bytes)?;
        if u64_at(&head, 0) != Some(page) {
            return Err(fault("it says to be another page"));
        }
        let overflow = u32_at(&head, 12).map(u64::from);
        let overflow = overflow.ok_or(fault("cut short"))?;
        // The file has all of its pages, so that this bounds the memory by the file.
        if overflow >= self.meta.pages - page {
            return Err(fault("it goes on beyond the last page"));
        }
        if (overflow + 1) * page_bytes > NODE_BYTES_MAX {
            return Err(fault("larger than anything that etcd writes"));
        }
        if overflow == 0 {
            return Node::parse(head, page);
        }
        let all = read(&self.source, page * page_bytes, (overflow + 1) * page_bytes)?;
        Node::parse(all, page)
    }

    /// How many pages a node at `page` takes; it was read before.
    pub(crate) fn span(&self, node: &Node) -> u64 {
        node.bytes().div_ceil(u64::from(self.meta.page_bytes))
    }
}

fn read(source: &impl Source, offset: u64, bytes: u64) -> Result<Vec<u8>, Error> {
    let fault = |source| Error::Io {
        offset,
        bytes,
        source,
    };
    let len = usize::try_from(bytes).map_err(|error| fault(std::io::Error::other(error)))?;
    let mut buffer = vec![0; len];
    source.read_at(&mut buffer, offset).map_err(fault)?;
    Ok(buffer)
}

/// The valid meta page with the higher transaction id. Where the first one is damaged, the second is
/// looked for at every page size, as bbolt does.
fn find_meta(source: &impl Source, have: u64) -> Result<Meta, Error> {
    let at = |offset: u64| -> Result<Result<Meta, &'static str>, Error> {
        let bytes = (HEADER_BYTES + META_BYTES) as u64;
        if offset.checked_add(bytes).is_none_or(|end| end > have) {
            return Ok(Err("the file is too short for a meta page"));
        }
        Ok(Meta::parse(&read(source, offset, bytes)?))
    };
    let first = at(0)?;
    let fault = match first {
        Ok(first) => {
            let second = at(u64::from(first.page_bytes))?;
            let second = second
                .ok()
                .filter(|second| second.page_bytes == first.page_bytes);
            return Ok(match second {
                Some(second) if second.transaction > first.transaction => second,
                _ => first,
            });
        }
        Err(fault) => fault,
    };
    for log2 in PAGE_BYTES_LOG2 {
        if let Ok(second) = at(1 << log2)?
            && second.page_bytes == 1 << log2
        {
            return Ok(second);
        }
    }
    Err(Error::Meta(fault))
}

//! One branch or leaf, checked as a whole before anything in it is used.

use crate::Error;
use crate::format::{
    BRANCH, BUCKET_BYTES, BUCKET_FLAG, ELEMENT_BYTES, HEADER_BYTES, LEAF, u16_at, u32_at, u64_at,
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Branch,
    Leaf,
}

/// A node's bytes, overflow pages included.
///
/// Invariant: every element's key and value lie inside, and keys ascend.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    bytes: Vec<u8>,
    page: u64,
    kind: Kind,
    count: usize,
}

/// A leaf's element.
pub(crate) struct LeafElement<'n> {
    pub(crate) is_bucket: bool,
    pub(crate) key: &'n [u8],
    pub(crate) value: &'n [u8],
}

impl Node {
    /// Checks the bytes of page `page`.
    pub(crate) fn parse(bytes: Vec<u8>, page: u64) -> Result<Self, Error> {
        let fault = |fault| Error::Page { page, fault };
        let kind = match u16_at(&bytes, 8) {
            Some(BRANCH) => Kind::Branch,
            Some(LEAF) => Kind::Leaf,
            _ => return Err(fault("neither a branch nor a leaf")),
        };
        let count = u16_at(&bytes, 10).ok_or(fault("cut short"))?;
        let node = Self {
            bytes,
            page,
            kind,
            count: usize::from(count),
        };
        if kind == Kind::Branch && count == 0 {
            return Err(fault("a branch without children"));
        }
        let mut last: Option<&[u8]> = None;
        for at in 0..node.count {
            let key = node.check(at).ok_or(fault("an element lies outside"))?;
            if last.is_some_and(|last| last >= key) {
                return Err(fault("keys out of order"));
            }
            last = Some(key);
        }
        Ok(node)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn page(&self) -> u64 {
        self.page
    }

    /// The size, overflow pages included.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The key of any element.
    pub(crate) fn key(&self, at: usize) -> Option<&[u8]> {
        match self.kind {
            Kind::Branch => {
                let element = self.element(at)?;
                self.part(at, u32_at(element, 0)?, 0, u32_at(element, 4)?)
            }
            Kind::Leaf => self.leaf(at).map(|element| element.key),
        }
    }

    /// A branch's child.
    pub(crate) fn child(&self, at: usize) -> Option<u64> {
        match self.kind {
            Kind::Branch => u64_at(self.element(at)?, 8),
            Kind::Leaf => None,
        }
    }

    /// A leaf's element.
    pub(crate) fn leaf(&self, at: usize) -> Option<LeafElement<'_>> {
        if self.kind != Kind::Leaf {
            return None;
        }
        let element = self.element(at)?;
        let (position, key_size) = (u32_at(element, 4)?, u32_at(element, 8)?);
        Some(LeafElement {
            is_bucket: u32_at(element, 0)? & BUCKET_FLAG != 0,
            key: self.part(at, position, 0, key_size)?,
            value: self.part(at, position, key_size, u32_at(element, 12)?)?,
        })
    }

    /// Where the key is or would be: the number of keys that are smaller.
    pub(crate) fn search(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle).is_some_and(|found| found < key) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// The key of an element of which all parts lie inside.
    fn check(&self, at: usize) -> Option<&[u8]> {
        match self.kind {
            Kind::Branch => {
                self.child(at)?;
                self.key(at)
            }
            Kind::Leaf => {
                let element = self.leaf(at)?;
                let is_whole = !element.is_bucket || element.value.len() >= BUCKET_BYTES;
                is_whole.then_some(element.key)
            }
        }
    }

    fn element(&self, at: usize) -> Option<&[u8]> {
        let start = element_start(at)?;
        if at >= self.count {
            return None;
        }
        self.bytes.get(start..start + ELEMENT_BYTES)
    }

    /// `size` bytes, `skip` bytes behind what the element at `at` points to.
    fn part(&self, at: usize, position: u32, skip: u32, size: u32) -> Option<&[u8]> {
        let start = element_start(at)?
            .checked_add(usize::try_from(position).ok()?)?
            .checked_add(usize::try_from(skip).ok()?)?;
        // Nothing may lie over the elements themselves.
        if size > 0 && start < element_start(self.count)? {
            return None;
        }
        self.bytes
            .get(start..start.checked_add(usize::try_from(size).ok()?)?)
    }
}

fn element_start(at: usize) -> Option<usize> {
    at.checked_mul(ELEMENT_BYTES)?.checked_add(HEADER_BYTES)
}

//! A walk over a bucket's rows. Holds one path of the tree.

use crate::format::DEPTH_MAX;
use crate::node::{Kind, LeafElement, Node};
use crate::read::{Bucket, Database, Place};
use crate::{Error, Source};

/// One row.
#[derive(Debug)]
pub struct Row<'r> {
    /// Its key.
    pub key: &'r [u8],
    /// What it holds.
    pub value: Value<'r>,
}

/// What a row holds.
#[derive(Debug)]
pub enum Value<'r> {
    /// Bytes.
    Bytes(&'r [u8]),
    /// A bucket inside the bucket.
    Bucket(Bucket),
}

impl<'r> Value<'r> {
    pub(crate) fn of(element: &LeafElement<'r>, page: u64) -> Result<Self, Error> {
        match element.is_bucket {
            true => Ok(Self::Bucket(Bucket::parse(element.value, page)?)),
            false => Ok(Self::Bytes(element.value)),
        }
    }
}

/// See the module. After an error it has ended.
#[derive(Debug)]
pub struct Rows<'d, S> {
    database: &'d Database<S>,
    /// Nodes from the root down, each with the number of the next element.
    path: Vec<(Node, usize)>,
    /// The root, until it has been read.
    start: Option<Place>,
    /// The last key of the leaf before this one.
    last: Option<Vec<u8>>,
    /// Pages that may still be read. A tree has no page twice, so that a file whose pages lead in
    /// circles runs out of them.
    pages_left: u64,
}

impl<'d, S: Source> Rows<'d, S> {
    pub(crate) fn new(database: &'d Database<S>, bucket: &Bucket) -> Self {
        Self {
            database,
            path: Vec::new(),
            start: Some(bucket.place.clone()),
            last: None,
            pages_left: database.pages(),
        }
    }

    /// The next row; none after the last.
    #[expect(
        clippy::should_implement_trait,
        reason = "a row borrows from the walk, which an iterator's item cannot"
    )]
    pub fn next(&mut self) -> Result<Option<Row<'_>>, Error> {
        match self.advance() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => {
                self.path.clear();
                return Err(error);
            }
        }
        let Some((leaf, next)) = self.path.last_mut() else {
            return Ok(None);
        };
        let (at, page) = (*next, leaf.page());
        *next += 1;
        let element = leaf.leaf(at).ok_or(Error::Page {
            page,
            fault: "an element lies outside",
        })?;
        Ok(Some(Row {
            key: element.key,
            value: Value::of(&element, page)?,
        }))
    }

    /// Moves to a leaf that has a next element. False at the end.
    fn advance(&mut self) -> Result<bool, Error> {
        match self.start.take() {
            Some(Place::Inline(node)) => self.push(*node, true)?,
            Some(Place::Tree(root)) => {
                let node = self.read(root)?;
                self.push(node, true)?;
            }
            None => {}
        }
        while let Some((node, next)) = self.path.last_mut() {
            if *next >= node.count() {
                if node.kind() == Kind::Leaf {
                    self.last = node
                        .count()
                        .checked_sub(1)
                        .and_then(|at| node.key(at))
                        .map(<[u8]>::to_vec)
                        .or(self.last.take());
                }
                self.path.pop();
                continue;
            }
            if node.kind() == Kind::Leaf {
                return Ok(true);
            }
            let (at, page) = (*next, node.page());
            *next += 1;
            let (Some(child), Some(least)) = (node.child(at), node.key(at)) else {
                return Err(Error::Page {
                    page,
                    fault: "an element lies outside",
                });
            };
            let least = least.to_vec();
            let node = self.read(child)?;
            if node.key(0).is_some_and(|first| first < &*least) {
                return Err(Error::Page {
                    page: child,
                    fault: "keys smaller than the branch above tells",
                });
            }
            self.push(node, false)?;
        }
        Ok(false)
    }

    fn read(&mut self, page: u64) -> Result<Node, Error> {
        let node = self.database.node(page)?;
        let left = self.pages_left.checked_sub(self.database.span(&node));
        self.pages_left = left.ok_or(Error::Page {
            page,
            fault: "the pages lead in a circle",
        })?;
        Ok(node)
    }

    fn push(&mut self, node: Node, is_root: bool) -> Result<(), Error> {
        let fault = |fault| Error::Page {
            page: node.page(),
            fault,
        };
        if self.path.len() >= DEPTH_MAX {
            return Err(fault("the tree is too deep"));
        }
        // Only an empty bucket has an empty leaf.
        if node.count() == 0 && !is_root {
            return Err(fault("an empty node below another"));
        }
        let is_next = match (node.kind(), &self.last, node.key(0)) {
            (Kind::Leaf, Some(last), Some(first)) => &**last < first,
            _ => true,
        };
        if !is_next {
            return Err(fault("keys out of order"));
        }
        self.path.push((node, 0));
        Ok(())
    }
}

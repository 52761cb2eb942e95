//! The bytes of one file, in pages that copies share until they change.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;

type Page = [u8; PAGE];

/// What a page holds that was reserved and never written.
static ZERO: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE]));

/// A file's bytes. A page that is not there reads as zero, and takes no space.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    pages: Vec<Option<Arc<Page>>>,
    /// How many are there.
    allocated: u64,
}

/// The pages that `length` bytes at `offset` touch.
fn pages(offset: u64, length: u64) -> Range<usize> {
    let page = |at: u64| usize::try_from(at / PAGE as u64).unwrap_or(usize::MAX);
    if length == 0 {
        return page(offset)..page(offset);
    }
    let end = offset.saturating_add(length);
    page(offset)..page(end.next_multiple_of(PAGE as u64))
}

impl Content {
    /// Its length.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Pages that take space.
    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    /// How many pages more it would take to have all of these bytes.
    pub(super) fn missing(&self, offset: u64, length: u64) -> u64 {
        let is_there = |at: usize| self.pages.get(at).is_some_and(Option::is_some);
        pages(offset, length).filter(|at| !is_there(*at)).count() as u64
    }

    /// The bytes at `offset`, at most `size` and none beyond the end.
    pub(super) fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let left = self.len.saturating_sub(offset);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(size);
        let mut bytes = vec![0; size];
        let mut done = 0;
        for at in pages(offset, size as u64) {
            let skip = if done == 0 { in_page(offset) } else { 0 };
            let count = (PAGE - skip).min(size - done);
            if let Some(page) = self.pages.get(at).and_then(Option::as_ref) {
                bytes[done..done + count].copy_from_slice(&page[skip..skip + count]);
            }
            done += count;
        }
        bytes
    }

    /// Writes, and returns the pages that it touched.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Range<usize> {
        let touched = pages(offset, data.len() as u64);
        let mut done = 0;
        for at in touched.clone() {
            let skip = if done == 0 { in_page(offset) } else { 0 };
            let count = (PAGE - skip).min(data.len() - done);
            let page = Arc::make_mut(self.page(at));
            page[skip..skip + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        self.len = self.len.max(offset.saturating_add(data.len() as u64));
        touched
    }

    /// Takes space for these bytes, and leaves the length.
    pub(super) fn reserve(&mut self, offset: u64, length: u64) -> Range<usize> {
        let touched = pages(offset, length);
        for at in touched.clone() {
            self.page(at);
        }
        touched
    }

    /// Cuts it, or makes it longer by zeros. The pages that this changed.
    pub(super) fn resize(&mut self, len: u64) -> Range<usize> {
        let whole = pages(0, len).end;
        let before = self.pages.len();
        if len < self.len {
            // What is beyond the end must be zero when the file grows again.
            let tail = in_page(len);
            if tail > 0 && self.pages.get(whole - 1).is_some_and(Option::is_some) {
                Arc::make_mut(self.page(whole - 1))[tail..].fill(0);
            }
            let cut = self.pages.drain(whole.min(before)..);
            self.allocated -= cut.flatten().count() as u64;
        }
        self.len = len;
        whole.saturating_sub(1)..before.max(whole)
    }

    /// Takes these pages, and the length, of `other`.
    pub(super) fn take(&mut self, other: &Self, changed: &BTreeSet<usize>) {
        self.len = other.len;
        let cut = self.pages.len().min(other.pages.len());
        self.allocated -= self.pages.drain(cut..).flatten().count() as u64;
        for at in changed {
            let page = other.pages.get(*at).cloned().flatten();
            if *at >= self.pages.len() {
                if page.is_none() {
                    continue;
                }
                self.pages.resize(at + 1, None);
            }
            self.allocated += u64::from(page.is_some());
            self.allocated -= u64::from(self.pages[*at].is_some());
            self.pages[*at] = page;
        }
    }

    fn page(&mut self, at: usize) -> &mut Arc<Page> {
        if at >= self.pages.len() {
            self.pages.resize(at + 1, None);
        }
        self.allocated += u64::from(self.pages[at].is_none());
        self.pages[at].get_or_insert_with(|| ZERO.clone())
    }
}

/// Where in its page the byte at `offset` is.
fn in_page(offset: u64) -> usize {
    usize::try_from(offset % PAGE as u64).unwrap_or(0)
}

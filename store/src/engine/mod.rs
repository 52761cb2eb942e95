//! Ordered bytes on disk: three families of rows, written in atomic batches.
//!
//! Nothing here knows what a row means. `rocks` is the engine of a real member, `mem` the one of
//! unit tests; both promise the same: a batch is all or nothing, a snapshot never changes, and what
//! [`Engine::flush`] has returned for survives the loss of the process and of power. What was
//! written after the last flush may be lost, but always as whole batches from the end.

pub mod batch;
pub mod mem;
pub mod rocks;

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use batch::{Op, WriteBatch};

/// The families of rows. Their names are part of the stored format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Every change of every key, by revision.
    Rev,
    /// The keys that are live now.
    Key,
    /// Everything else.
    Sys,
}

impl Family {
    /// Every family, in the order of [`Family::index`].
    pub const ALL: [Self; 3] = [Self::Rev, Self::Key, Self::Sys];

    /// The name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rev => "rev",
            Self::Key => "key",
            Self::Sys => "sys",
        }
    }

    /// A small number for tables.
    pub fn index(self) -> usize {
        match self {
            Self::Rev => 0,
            Self::Key => 1,
            Self::Sys => 2,
        }
    }
}

/// The engine failed. Never worth another try: the member must stop.
#[derive(Debug, thiserror::Error)]
#[error("engine: {step}")]
pub struct EngineError {
    /// What was being done.
    pub step: &'static str,
    /// Why it failed.
    #[source]
    pub source: anyhow::Error,
}

impl EngineError {
    /// For `map_err(EngineError::at("step"))`.
    pub fn at<E: Into<anyhow::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self {
            step,
            source: source.into(),
        }
    }
}

/// The result of an engine call.
pub type Result<T> = std::result::Result<T, EngineError>;

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key on.
    Forward,
    /// From the greatest key down.
    Backward,
}

/// The keys of a scan: from `start`, to before `end` (none: to the last key).
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The first key.
    pub start: &'a [u8],
    /// The key after the last.
    pub end: Option<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// Every key.
    pub const ALL: Span<'static> = Span {
        start: &[],
        end: None,
    };

    /// From `start` to the last key.
    pub fn from(start: &'a [u8]) -> Self {
        Self { start, end: None }
    }

    /// From `start` to before `end`.
    pub fn between(start: &'a [u8], end: &'a [u8]) -> Self {
        Self {
            start,
            end: Some(end),
        }
    }
}

/// What a scan calls for each row; it ends the scan with `Break`.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Reads one state of the rows.
pub trait Reader {
    /// The row at `key`.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>>;

    /// The rows at `keys`, in the order of `keys`.
    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>>;

    /// Calls `visit` for each row of `span`. An error found half way is an error of the scan: a scan
    /// that returns `Ok` has seen every row.
    fn scan(
        &self,
        family: Family,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<()>;
}

/// How much the engine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes in files and in memory not yet written to files.
    pub total_bytes: u64,
    /// Those of them in memory, with what is set aside there for more: nothing gives them back.
    pub memory_bytes: u64,
}

/// Ordered rows that survive a flush.
pub trait Engine: Reader + Send + Sync + 'static {
    /// A view that later writes do not change.
    fn snapshot(&self) -> Box<dyn Reader + '_>;

    /// Applies `batch` as one: a reader sees all of it or nothing. Not durable before a flush.
    fn write(&self, batch: WriteBatch) -> Result<()>;

    /// Makes every batch written so far durable, all families together.
    fn flush(&self) -> Result<()>;

    /// Writes a copy of the present state into `dir`, which must not exist or be empty. An engine
    /// opened on `dir` holds the same rows.
    fn checkpoint(&self, dir: &Path) -> Result<()>;

    /// Gives space of deleted rows back. Slow; reads and writes go on.
    fn compact(&self, family: Family, span: Span<'_>) -> Result<()>;

    /// How much it holds.
    fn sizes(&self) -> Result<Sizes>;

    /// Lets long work end, so that the engine can be closed soon: scans that run or come later fail, and
    /// what it does in the background is given up. To be called after the last flush.
    fn stop(&self) {}
}

/// Opens engines. A value, so that tests choose the engine without a setting in production code.
pub trait Opener: Send + Sync + 'static {
    /// Opens the engine in `dir`; makes an empty one where there is none.
    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>>;
}

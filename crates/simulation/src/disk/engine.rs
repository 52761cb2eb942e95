//! The engine on the simulated disk: rows in memory. A flush makes all of them durable; of the batches
//! since then a loss of power keeps some from the beginning, each whole, since a real engine writes in
//! the background whenever it likes.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use store::engine::mem::State;
use store::engine::{
    Direction, Engine, EngineError, Family, Op, Opener, Reader, Result, Sizes, Span, Visit,
    WriteBatch,
};

use super::mount::Mount;

/// The rows of one engine.
#[derive(Debug, Default)]
pub(super) struct Table {
    live: State,
    durable: State,
    unflushed: Vec<Vec<Op>>,
}

impl Table {
    /// A copy, durable.
    pub(super) fn copy(&self) -> Self {
        Self {
            live: self.live.clone(),
            durable: self.live.clone(),
            unflushed: Vec::new(),
        }
    }

    fn flush(&mut self) {
        for batch in std::mem::take(&mut self.unflushed) {
            self.durable.apply(&batch);
        }
    }

    /// The power goes: this share of the batches had been written. True if any was lost.
    pub(super) fn lose(&mut self, share: f64) -> bool {
        let count = self.unflushed.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a small number"
        )]
        let kept = ((count as f64 * share) as usize).min(count);
        let unflushed = std::mem::take(&mut self.unflushed);
        for batch in &unflushed[..kept] {
            self.durable.apply(batch);
        }
        self.live = self.durable.clone();
        kept < count
    }
}

/// Opens engines on a mount.
#[derive(Clone, Debug)]
pub(crate) struct TableOpener(pub(crate) Mount);

impl Opener for TableOpener {
    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>> {
        let table = self.0.table(dir).map_err(EngineError::at("sim::open"))?;
        Ok(Arc::new(TableEngine {
            mount: self.0.clone(),
            table,
        }))
    }
}

struct TableEngine {
    mount: Mount,
    table: Arc<Mutex<Table>>,
}

impl TableEngine {
    fn table(&self, step: &'static str) -> Result<&Mutex<Table>> {
        self.mount.call().map_err(EngineError::at(step))?;
        Ok(&self.table)
    }
}

impl Reader for TableEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.table.lock().live.get(family, key)
    }

    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>> {
        self.table.lock().live.multi_get(family, keys)
    }

    fn scan(
        &self,
        family: Family,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let state = self.table.lock().live.clone();
        state.scan(family, span, direction, visit)
    }
}

impl Engine for TableEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        Box::new(self.table.lock().live.clone())
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut table = self.table("sim::write")?.lock();
        let ops = batch.into_ops();
        table.live.apply(&ops);
        table.unflushed.push(ops);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.table("sim::flush")?.lock().flush();
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        let copy = self.table("sim::checkpoint")?.lock().copy();
        self.mount
            .put_table(dir, copy)
            .map_err(EngineError::at("sim::checkpoint"))
    }

    fn compact(&self, _family: Family, _span: Span<'_>) -> Result<()> {
        Ok(())
    }

    fn sizes(&self) -> Result<Sizes> {
        let total_bytes = self.table.lock().live.bytes();
        Ok(Sizes {
            total_bytes,
            memory_bytes: total_bytes,
        })
    }
}

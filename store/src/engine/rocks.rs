//! The engine of a real member: RocksDB. The only file that may name it.
//!
//! Its own log is off, because the raft log is the only log: a flush makes all families durable
//! together (`atomic_flush`), and what was written since is applied again from the raft log. Any
//! error of RocksDB is fatal for the member, also one met in the background, which RocksDB returns
//! from the next write.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor,
    CompactOptions, DB, DBCompressionType, DBRawIterator, FlushOptions, LogLevel, Options,
    ReadOptions, SnapshotWithThreadMode, WriteBufferManager, WriteOptions, checkpoint::Checkpoint,
};

use super::{
    Direction, Engine, EngineError, Family, Op, Opener, Reader, Result, Sizes, Span, Visit,
    WriteBatch,
};

const MIB: usize = 1 << 20;

/// Settings of this member's engine. None of them changes what a read returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Blocks of files kept in memory, and the memory that is not yet in files, together. Default
    /// 64 MiB; below 16 MiB every read goes to the disk.
    pub cache_bytes: usize,
    /// Unflushed memory of one family before a flush of all begins. Default 16 MiB; it bounds how
    /// much a restart must apply again.
    pub write_buffer_bytes: usize,
    /// Unflushed memory of all families before a flush begins. Default 48 MiB, below `cache_bytes`.
    pub write_buffers_bytes: usize,
    /// The speed limit of background writes per second. Default 64 MiB, so that compaction leaves
    /// the disk to the raft log.
    pub background_bytes_per_s: usize,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * MIB,
            write_buffer_bytes: 16 * MIB,
            write_buffers_bytes: 48 * MIB,
            background_bytes_per_s: 64 * MIB,
        }
    }
}

impl Opener for RocksOptions {
    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(RocksEngine::open(dir, self)?))
    }
}

/// See the module.
pub struct RocksEngine {
    db: DB,
    is_stopping: AtomicBool,
}

impl RocksEngine {
    /// Opens the database in `dir`; makes an empty one where there is none.
    pub fn open(dir: &Path, options: &RocksOptions) -> Result<Self> {
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            options.write_buffers_bytes,
            false,
            cache.clone(),
        );
        let mut db = Options::default();
        db.create_if_missing(true);
        db.create_missing_column_families(true);
        db.set_atomic_flush(true);
        db.set_write_buffer_manager(&buffers);
        db.set_max_background_jobs(2);
        db.set_max_subcompactions(1);
        let refill_period_us = 100_000;
        let rate = i64::try_from(options.background_bytes_per_s).unwrap_or(i64::MAX);
        db.set_ratelimiter(rate, refill_period_us, 10);
        db.set_bytes_per_sync(MIB as u64);
        db.set_max_open_files(-1);
        db.set_paranoid_checks(true);
        db.set_log_level(LogLevel::Warn);
        db.set_max_log_file_size(4 * MIB);
        db.set_keep_log_file_num(2);
        let families = Family::ALL.map(|family| {
            ColumnFamilyDescriptor::new(family.name(), family_options(options, &cache))
        });
        // RocksDB opens the family `default` by itself; nothing is ever written there.
        let db =
            DB::open_cf_descriptors(&db, dir, families).map_err(EngineError::at("rocks::open"))?;
        let is_stopping = AtomicBool::new(false);
        Ok(Self { db, is_stopping })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily> {
        self.db
            .cf_handle(family.name())
            .ok_or_else(|| anyhow::anyhow!("no family {}", family.name()))
            .map_err(EngineError::at("rocks::family"))
    }

    fn families(&self) -> Result<Vec<&ColumnFamily>> {
        Family::ALL
            .into_iter()
            .map(|family| self.family(family))
            .collect()
    }
}

fn family_options(options: &RocksOptions, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(true);
    let mut family = Options::default();
    family.set_block_based_table_factory(&table);
    family.set_compression_type(DBCompressionType::Lz4);
    family.set_write_buffer_size(options.write_buffer_bytes);
    family.set_level_compaction_dynamic_level_bytes(true);
    family
}

fn read_options(span: Span<'_>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(span.start);
    if let Some(end) = span.end {
        options.set_iterate_upper_bound(end);
    }
    options
}

/// Walks `iterator` to its end. `valid() == false` alone may also be an error, so the status is
/// asked before the scan counts as complete.
fn walk(
    mut iterator: DBRawIterator<'_>,
    is_stopping: &AtomicBool,
    direction: Direction,
    visit: &mut Visit<'_>,
) -> Result<()> {
    match direction {
        Direction::Forward => iterator.seek_to_first(),
        Direction::Backward => iterator.seek_to_last(),
    }
    while let Some((key, value)) = iterator.item() {
        if is_stopping.load(Ordering::Relaxed) {
            let stopped = anyhow::anyhow!("the engine is being closed");
            return Err(EngineError::at("rocks::scan")(stopped));
        }
        if let ControlFlow::Break(()) = visit(key, value) {
            return Ok(());
        }
        match direction {
            Direction::Forward => iterator.next(),
            Direction::Backward => iterator.prev(),
        }
    }
    iterator.status().map_err(EngineError::at("rocks::scan"))
}

fn collect(
    rows: Vec<std::result::Result<Option<Vec<u8>>, rocksdb::Error>>,
) -> Result<Vec<Option<Bytes>>> {
    rows.into_iter()
        .map(|row| {
            row.map(|row| row.map(Bytes::from))
                .map_err(EngineError::at("rocks::multi_get"))
        })
        .collect()
}

impl Reader for RocksEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        let row = self.db.get_cf(self.family(family)?, key);
        Ok(row.map_err(EngineError::at("rocks::get"))?.map(Bytes::from))
    }

    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>> {
        let family = self.family(family)?;
        collect(self.db.multi_get_cf(keys.iter().map(|key| (family, key))))
    }

    fn scan(
        &self,
        family: Family,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if span.end.is_some_and(|end| end <= span.start) {
            return Ok(());
        }
        let family = self.family(family)?;
        walk(
            self.db.raw_iterator_cf_opt(family, read_options(span)),
            &self.is_stopping,
            direction,
            visit,
        )
    }
}

/// A RocksDB snapshot with the engine that it reads.
struct RocksSnapshot<'e> {
    engine: &'e RocksEngine,
    snapshot: SnapshotWithThreadMode<'e, DB>,
}

impl Reader for RocksSnapshot<'_> {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        let row = self.snapshot.get_cf(self.engine.family(family)?, key);
        Ok(row.map_err(EngineError::at("rocks::get"))?.map(Bytes::from))
    }

    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>> {
        let family = self.engine.family(family)?;
        collect(
            self.snapshot
                .multi_get_cf(keys.iter().map(|key| (family, key))),
        )
    }

    fn scan(
        &self,
        family: Family,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if span.end.is_some_and(|end| end <= span.start) {
            return Ok(());
        }
        let family = self.engine.family(family)?;
        walk(
            self.snapshot
                .raw_iterator_cf_opt(family, read_options(span)),
            &self.engine.is_stopping,
            direction,
            visit,
        )
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        Box::new(RocksSnapshot {
            engine: self,
            snapshot: self.db.snapshot(),
        })
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut rows = rocksdb::WriteBatch::default();
        for op in batch.into_ops() {
            match op {
                Op::Put { family, key, value } => rows.put_cf(self.family(family)?, key, value),
                Op::Delete { family, key } => rows.delete_cf(self.family(family)?, key),
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db
            .write_opt(rows, &options)
            .map_err(EngineError::at("rocks::write"))
    }

    fn flush(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        let families = self.families()?;
        let families: Vec<&&ColumnFamily> = families.iter().collect();
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(EngineError::at("rocks::flush"))
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        // The log is off, so that only a flush brings memory into the files that are linked.
        self.flush()?;
        // RocksDB makes the folder itself and refuses one that exists.
        match std::fs::remove_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(EngineError::at("rocks::checkpoint_dir")(error)),
        }
        let checkpoint = Checkpoint::new(&self.db).map_err(EngineError::at("rocks::checkpoint"))?;
        checkpoint
            .create_checkpoint(dir)
            .map_err(EngineError::at("rocks::checkpoint"))
    }

    fn compact(&self, family: Family, span: Span<'_>) -> Result<()> {
        let mut options = CompactOptions::default();
        options.set_exclusive_manual_compaction(false);
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let family = self.family(family)?;
        self.db
            .compact_range_cf_opt(family, Some(span.start), span.end, &options);
        Ok(())
    }

    fn sizes(&self) -> Result<Sizes> {
        let (mut file_bytes, mut memory_bytes) = (0, 0);
        for family in self.families()? {
            for (property, bytes) in [
                ("rocksdb.live-sst-files-size", &mut file_bytes),
                ("rocksdb.cur-size-all-mem-tables", &mut memory_bytes),
            ] {
                let value = self
                    .db
                    .property_int_value_cf(family, property)
                    .map_err(EngineError::at("rocks::sizes"))?;
                *bytes += value.unwrap_or(0);
            }
        }
        Ok(Sizes {
            total_bytes: file_bytes + memory_bytes,
            memory_bytes,
        })
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        // Without waiting: dropping the database waits for what runs.
        self.db.cancel_all_background_work(false);
    }
}

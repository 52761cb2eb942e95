//! An engine in memory, for unit tests and simulation; never chosen by a running member.
//!
//! A flush writes everything to one file in the engine's folder, so that dropping the engine and
//! opening the folder again is the loss of power: batches since the last flush are gone.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::{
    Direction, Engine, EngineError, Family, Op, Opener, Reader, Result, Sizes, Span, Visit,
    WriteBatch,
};

const FILE: &str = "mem.rows";

type Rows = BTreeMap<Vec<u8>, Bytes>;

/// All rows at one moment. Families are shared with snapshots and copied when written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    families: [Arc<Rows>; 3],
}

impl State {
    /// Applies a batch's changes.
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Put { family, key, value } => {
                    let rows = Arc::make_mut(&mut self.families[family.index()]);
                    rows.insert(key.clone(), Bytes::copy_from_slice(value));
                }
                Op::Delete { family, key } => {
                    Arc::make_mut(&mut self.families[family.index()]).remove(key);
                }
            }
        }
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        let rows = self.families.iter().flat_map(|rows| rows.iter());
        rows.map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

/// Opens [`MemEngine`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemOpener;

impl Opener for MemOpener {
    fn open(&self, dir: &Path) -> Result<Arc<dyn Engine>> {
        Ok(Arc::new(MemEngine::open(dir)?))
    }
}

/// See the module.
#[derive(Debug)]
pub struct MemEngine {
    dir: PathBuf,
    state: RwLock<State>,
}

impl MemEngine {
    /// Opens the engine in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(EngineError::at("mem::create_dir"))?;
        let state = match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => decode(&bytes)
                .ok_or_else(|| anyhow::anyhow!("{FILE} is damaged"))
                .map_err(EngineError::at("mem::decode"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(EngineError::at("mem::read")(error)),
        };
        Ok(Self {
            dir: dir.to_owned(),
            state: RwLock::new(state),
        })
    }

    fn save(&self, dir: &Path) -> Result<()> {
        let bytes = encode(&self.state.read());
        let temporary = dir.join("mem.tmp");
        let mut file = std::fs::File::create(&temporary).map_err(EngineError::at("mem::create"))?;
        file.write_all(&bytes)
            .map_err(EngineError::at("mem::write"))?;
        file.sync_all().map_err(EngineError::at("mem::sync"))?;
        std::fs::rename(&temporary, dir.join(FILE)).map_err(EngineError::at("mem::rename"))
    }
}

impl Reader for State {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.families[family.index()].get(key).cloned())
    }

    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>> {
        let rows = &self.families[family.index()];
        Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
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
        let end = span.end.map_or(Bound::Unbounded, Bound::Excluded);
        let rows =
            self.families[family.index()].range::<[u8], _>((Bound::Included(span.start), end));
        let mut step = |(key, value): (&Vec<u8>, &Bytes)| visit(key, value);
        let _: ControlFlow<()> = match direction {
            Direction::Forward => rows.into_iter().try_for_each(&mut step),
            Direction::Backward => rows.into_iter().rev().try_for_each(&mut step),
        };
        Ok(())
    }
}

impl Reader for MemEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        self.state.read().get(family, key)
    }

    fn multi_get(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Bytes>>> {
        self.state.read().multi_get(family, keys)
    }

    fn scan(
        &self,
        family: Family,
        span: Span<'_>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        let state = self.state.read().clone();
        state.scan(family, span, direction, visit)
    }
}

impl Engine for MemEngine {
    fn snapshot(&self) -> Box<dyn Reader + '_> {
        Box::new(self.state.read().clone())
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        self.state.write().apply(&batch.into_ops());
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.save(&self.dir)
    }

    fn checkpoint(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(EngineError::at("mem::create_dir"))?;
        self.save(dir)
    }

    fn compact(&self, _family: Family, _span: Span<'_>) -> Result<()> {
        Ok(())
    }

    fn sizes(&self) -> Result<Sizes> {
        Ok(Sizes {
            total_bytes: self.state.read().bytes(),
            memory_bytes: 0,
        })
    }
}

fn encode(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    for rows in &state.families {
        out.extend((rows.len() as u64).to_be_bytes());
        for (key, value) in rows.iter() {
            for part in [key.as_slice(), value] {
                out.extend((part.len() as u64).to_be_bytes());
                out.extend(part);
            }
        }
    }
    out
}

fn decode(mut bytes: &[u8]) -> Option<State> {
    let mut state = State::default();
    for family in Family::ALL {
        let mut rows = Rows::new();
        for _ in 0..take_len(&mut bytes)? {
            let key = take_part(&mut bytes)?.to_vec();
            let value = Bytes::copy_from_slice(take_part(&mut bytes)?);
            rows.insert(key, value);
        }
        state.families[family.index()] = Arc::new(rows);
    }
    bytes.is_empty().then_some(state)
}

fn take_len(bytes: &mut &[u8]) -> Option<usize> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    usize::try_from(u64::from_be_bytes(*head)).ok()
}

fn take_part<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let len = take_len(bytes)?;
    let (part, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(part)
}

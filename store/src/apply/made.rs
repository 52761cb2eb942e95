//! A state whose rows come from elsewhere than the log.

use std::path::Path;
use std::sync::Arc;

use super::generation::Generation;
use crate::consensus::Fatal;
use crate::disk::{FileSystem, Real};
use crate::engine::{Engine, Opener};

/// A state that is being made, row by row. Nobody else may have its folder.
pub struct Making(Arc<Generation>);

impl Making {
    /// Opens the state's folder `dir`: an empty one, or one whose making was interrupted, with what was
    /// durable by then.
    pub fn open(dir: &Path, opener: &dyn Opener) -> Result<Self, Fatal> {
        let files: Arc<dyn FileSystem> = Arc::new(Real);
        Generation::open(&files, dir, opener).map(Self)
    }

    /// Where the rows go.
    pub fn engine(&self) -> &dyn Engine {
        self.0.engine()
    }

    /// Makes the rows durable.
    pub fn flush(&self) -> Result<(), Fatal> {
        self.engine().flush().map_err(Fatal::at("apply::made"))
    }
}

/// Makes the state's folder `dir`, which must be empty, and lets `fill` write its rows. They are
/// durable when this returns. A folder in which `fill` failed holds part of them and is no state.
pub fn make_state<T, E: From<Fatal>>(
    dir: &Path,
    opener: &dyn Opener,
    fill: impl FnOnce(&dyn Engine) -> Result<T, E>,
) -> Result<T, E> {
    let making = Making::open(dir, opener)?;
    let made = fill(making.engine())?;
    making.flush()?;
    Ok(made)
}

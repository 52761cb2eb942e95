//! A state whose rows come from elsewhere than the log.

use std::path::Path;

use super::generation::Generation;
use crate::consensus::Fatal;
use crate::engine::{Engine, Opener};

/// Makes the state's folder `dir`, which must be empty, and lets `fill` write its rows. They are
/// durable when this returns. A folder in which `fill` failed holds part of them and is no state.
pub fn make_state<T, E: From<Fatal>>(
    dir: &Path,
    opener: &dyn Opener,
    fill: impl FnOnce(&dyn Engine) -> Result<T, E>,
) -> Result<T, E> {
    let generation = Generation::open(dir, opener)?;
    let made = fill(generation.engine())?;
    let flushed = generation.engine().flush();
    flushed.map_err(Fatal::at("apply::make_state"))?;
    Ok(made)
}

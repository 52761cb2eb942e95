//! Where things are: the checkout, the machine-wide cache, the peers.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The checkout's root: the one that cargo runs this in. Checkouts share their built programs, so what was
/// known at build time may be another one's.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// What is built or fetched once per machine: `$KEELSON_CACHE`, else `~/.cache/keelson`.
pub(crate) fn cache() -> Result<PathBuf> {
    from_env_or_home("KEELSON_CACHE", ".cache/keelson")
}

/// The peers' folder: `$KEELSON_PEERS`, else `~/.cache/keelson-peers`. Their programs are in `bin`.
pub(crate) fn peers() -> Result<PathBuf> {
    from_env_or_home("KEELSON_PEERS", ".cache/keelson-peers")
}

fn from_env_or_home(variable: &str, below_home: &str) -> Result<PathBuf> {
    if let Some(dir) = env::var_os(variable) {
        return Ok(PathBuf::from(dir));
    }
    let home =
        env::var_os("HOME").with_context(|| format!("neither HOME nor {variable} is set"))?;
    Ok(PathBuf::from(home).join(below_home))
}

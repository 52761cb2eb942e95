//! Where the programs under test and their peers are. `cargo xtask test` sets both variables.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The binary under test, from `KEELSON_BIN`.
pub fn keelson() -> Result<PathBuf> {
    let path = std::env::var_os("KEELSON_BIN").context(
        "KEELSON_BIN does not name the keelson binary: run the tests by `cargo xtask test`",
    )?;
    let path = PathBuf::from(path);
    ensure!(
        path.exists(),
        "KEELSON_BIN names {}, which is not there",
        path.display()
    );
    Ok(path)
}

/// A packaged peer such as `etcdctl` or `kubectl`, from the folder in `KEELSON_PEERS_BIN`.
pub fn peer(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("KEELSON_PEERS_BIN").context(
        "KEELSON_PEERS_BIN does not name the peers' folder: run the tests by `cargo xtask test`",
    )?;
    let path = PathBuf::from(folder).join(name);
    ensure!(path.exists(), "the peer {} is not there", path.display());
    Ok(path)
}

//! What of this machine a cluster's plan depends on.

use std::net::UdpSocket;
use std::path::Path;

use anyhow::{Context, Result};
use rand::Rng;

use super::plan::Machine;

/// An address outside of every network in use (RFC 5737): nothing is ever sent to it.
const NOWHERE: &str = "198.51.100.1:9";

/// Looks at the machine and makes the cluster's folder.
pub(crate) fn look(dir: &Path) -> Result<Machine> {
    std::fs::create_dir_all(dir).with_context(|| format!("make the folder {}", dir.display()))?;
    Ok(Machine {
        dir: dir
            .canonicalize()
            .with_context(|| format!("find the folder {}", dir.display()))?,
        address: own_address().unwrap_or_else(|| "127.0.0.1".into()),
        is_root: rustix::process::geteuid().is_root(),
        token: format!("keelson-{:016x}", rand::rng().random::<u64>()),
    })
}

/// The address from which this machine would send to the outside. A connected datagram socket
/// tells it without a packet.
fn own_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(NOWHERE).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

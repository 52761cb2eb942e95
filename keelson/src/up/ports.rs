//! Ports for the components of a new cluster.

use std::io::ErrorKind;
use std::net::TcpListener;

use anyhow::{Context, Result, bail};

/// Hands out ports one by one.
pub(crate) struct Ports {
    given: Box<dyn Iterator<Item = u16>>,
}

impl Ports {
    /// `count` ports from `base` on, or free ones.
    pub(crate) fn new(base: Option<u16>, count: u16) -> Result<Self> {
        if let Some(base) = base {
            return Ok(Self {
                given: Box::new(base..base.saturating_add(count)),
            });
        }
        let ports = base::ports::free(count.into()).context("look for free ports")?;
        Ok(Self {
            given: Box::new(ports.into_iter()),
        })
    }

    /// The next one.
    pub(crate) fn take(&mut self) -> Result<u16> {
        self.given.next().context("no more ports")
    }
}

/// Refuses `count` ports from `base` on if somebody listens on one of them, before a cluster is made
/// that keeps them for good.
pub(crate) fn ensure_free(base: u16, count: u16) -> Result<()> {
    for port in base..base.saturating_add(count) {
        match TcpListener::bind(("0.0.0.0", port)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "port {port}: address already in use; this cluster takes up to {count} ports from --base-port on, so choose another one, or leave it out to get free ones"
            ),
            Err(error) => return Err(error).with_context(|| format!("listen on port {port}")),
        }
    }
    Ok(())
}

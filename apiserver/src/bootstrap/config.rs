//! What the objects that a server makes depend on.

use std::net::IpAddr;

use ipnet::IpNet;

/// The settings of [`super::Bootstrap`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The PEM bundle of the client CA, for the ConfigMap that others learn it from.
    pub client_ca: Option<String>,
    /// The ranges of Service addresses; the first address of the first one is the API's own.
    pub service_cidrs: Vec<IpNet>,
    /// Where this replica is reached. A loopback address is not published, as nobody else can use it.
    pub advertise: (IpAddr, u16),
    /// The name of the machine.
    pub hostname: String,
}

impl Config {
    /// The address of the `kubernetes` Service: the first one that a host can have.
    pub fn service_address(&self) -> Option<IpAddr> {
        self.service_cidrs.first()?.hosts().next()
    }
}

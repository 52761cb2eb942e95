//! Where members are reached, and etcd's flags that say so.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use base::ports;

use super::cluster::Program;

/// What etcd has by default.
const ELECTION_MS: u64 = 1_000;
const HEARTBEAT_MS: u64 = 100;
/// Few enough that a member which was cut off for a while is sent a snapshot.
const SNAPSHOT_ENTRIES: u64 = 2_000;

/// Where one member is reached.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Ipv4Addr,
    pub(super) client: u16,
    /// Where it listens for its peers.
    pub(super) peer: u16,
    /// Where its peers are told that it does.
    pub(super) advertised: u16,
    pub(super) tls: u16,
    /// For gofail's orders.
    pub(super) orders: u16,
}

impl Place {
    /// For `count` members of the loopback, with a proxy before each.
    pub(super) fn on_loopback(count: usize) -> Result<Vec<Self>> {
        let ports = ports::free(5 * count).context("find ports")?;
        let place = |ports: &[u16]| match *ports {
            [client, peer, advertised, tls, orders] => Some(Self {
                host: Ipv4Addr::LOCALHOST,
                client,
                peer,
                advertised,
                tls,
                orders,
            }),
            _ => None,
        };
        Ok(ports.chunks_exact(5).filter_map(place).collect())
    }

    /// For a member with an address of its own: ports as etcd has them.
    pub(super) fn at(host: Ipv4Addr) -> Self {
        Self {
            host,
            client: 2379,
            peer: 2380,
            advertised: 2380,
            tls: 2381,
            orders: 22381,
        }
    }

    /// Where clients reach it.
    pub(super) fn url(&self) -> String {
        self.http(self.client)
    }

    /// Where its peers reach it.
    pub(super) fn peer_url(&self) -> String {
        self.http(self.advertised)
    }

    /// Where it speaks TLS, if it has certificates.
    pub(super) fn tls(&self) -> SocketAddr {
        (self.host, self.tls).into()
    }

    /// Where a build for tests listens for gofail's orders.
    pub(super) fn orders(&self) -> SocketAddr {
        (self.host, self.orders).into()
    }

    fn http(&self, port: u16) -> String {
        format!("http://{}:{port}", self.host)
    }
}

/// The name of the member with this number.
pub(super) fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

/// The flags of one member: etcd's own.
pub(super) fn flags(
    program: &Program,
    places: &[Place],
    number: usize,
    data: &Path,
) -> Vec<String> {
    let peers = places.iter().enumerate();
    let peers: Vec<String> = peers
        .map(|(number, place)| format!("{}={}", name(number), place.peer_url()))
        .collect();
    let place = &places[number];
    let pairs = [
        ("name", name(number)),
        ("data-dir", data.display().to_string()),
        ("listen-client-urls", place.url()),
        ("advertise-client-urls", place.url()),
        ("listen-peer-urls", place.http(place.peer)),
        ("initial-advertise-peer-urls", place.peer_url()),
        ("initial-cluster", peers.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        ("initial-cluster-token", "jepsen".to_owned()),
        ("heartbeat-interval", HEARTBEAT_MS.to_string()),
        ("election-timeout", ELECTION_MS.to_string()),
        ("snapshot-count", SNAPSHOT_ENTRIES.to_string()),
    ];
    let mut flags = pairs
        .map(|(flag, value)| format!("--{flag}={value}"))
        .to_vec();
    if let Some(pki) = &program.pki {
        let (plain, tls) = (place.url(), place.tls());
        flags.push(format!("--listen-client-urls={plain},https://{tls}"));
        flags.extend(pki.flags());
    }
    flags
}

//! Discovery by DNS (`--discovery-srv`): the members of a cluster are the targets of the SRV records
//! `_etcd-server-ssl._tcp` and `_etcd-server._tcp` of a domain, with or without TLS (etcd's
//! client/pkg/srv). The record that stands for an address of this member is this member.

mod message;
mod resolver;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use self::message::Record;
pub use self::resolver::LookupError;
use crate::config::{Config, DiscoverySrv, InitialCluster, Url};

/// Why the domain names no cluster. Worth another try once its records are there.
#[derive(Debug, thiserror::Error)]
pub enum SrvError {
    /// Neither service has a record that can be used.
    #[error("{}", .0.join("; "))]
    NoCluster(Vec<String>),
    /// This member is not among the targets.
    #[error("cannot find local etcd member {0:?} in SRV records")]
    NoLocalMember(String),
}

/// Both services, with the scheme of what their records name.
const SERVICES: [(&str, &str); 2] = [("https", "etcd-server-ssl"), ("http", "etcd-server")];

/// The cluster that `srv` names. This member goes by its own name and the others by numbers, so that
/// names are not the same on all members.
pub(super) async fn cluster(
    config: &Config,
    srv: &DiscoverySrv,
) -> Result<InitialCluster, SrvError> {
    let servers = match srv.servers.as_slice() {
        [] => resolver::system_servers().await,
        given => given.to_vec(),
    };
    let own = own_addresses(&config.advertise_peer_urls).await;
    let (mut pairs, mut faults) = (Vec::new(), Vec::new());
    for (scheme, service) in SERVICES {
        let service = format!("{service}{}", srv.suffix());
        let name = format!("_{service}._tcp.{}", srv.domain);
        let found = match resolver::lookup(&servers, &name).await {
            Ok(records) => named(&records, scheme, config, &own).await,
            Err(error) => Err(vec![error.to_string()]),
        };
        match found {
            Ok(found) => pairs.extend(found),
            Err(words) => faults.push(format!(
                "error querying DNS SRV records for _{service} {}",
                words.join("; ")
            )),
        }
    }
    let cluster = InitialCluster::parse(&pairs.join(",")).unwrap_or_default();
    if cluster.is_empty() {
        return Err(SrvError::NoCluster(faults));
    }
    for node in &pairs {
        tracing::info!(node, "got bootstrap from DNS for etcd-server");
    }
    match cluster.get(&config.name) {
        Some(_) => Ok(cluster),
        None => Err(SrvError::NoLocalMember(config.name.clone())),
    }
}

/// `name=url` for each record that can be used; or why none can.
async fn named(
    records: &[Record],
    scheme: &str,
    config: &Config,
    own: &BTreeSet<(SocketAddr, bool)>,
) -> Result<Vec<String>, Vec<String>> {
    let (mut pairs, mut faults, mut others) = (Vec::new(), Vec::new(), 0);
    for Record { target, port, .. } in records {
        let Some(address) = address_of(target, *port).await else {
            faults.push(format!("lookup {target}: no such host"));
            continue;
        };
        let url = format!("{scheme}://{target}:{port}");
        let is_tls = scheme == "https";
        if own.contains(&(address, is_tls)) {
            pairs.push(format!("{}={url}", config.name));
        } else if own.contains(&(address, !is_tls)) {
            faults.push(format!(
                "bootstrap at {url} from DNS has scheme mismatch with --initial-advertise-peer-urls"
            ));
        } else {
            pairs.push(format!("{others}={url}"));
            others += 1;
        }
    }
    match pairs.is_empty() {
        true => Err(faults),
        false => Ok(pairs),
    }
}

/// Where this member is, and whether by TLS.
async fn own_addresses(urls: &[Url]) -> BTreeSet<(SocketAddr, bool)> {
    let mut own = BTreeSet::new();
    for url in urls {
        let Some((host, port)) = url.host_port() else {
            continue;
        };
        if let Ok(port) = port.parse()
            && let Some(address) = address_of(host, port).await
        {
            own.insert((address, url.is_tls()));
        }
    }
    own
}

/// One address of a name, the same each time; IPv4 where there is a choice.
async fn address_of(host: &str, port: u16) -> Option<SocketAddr> {
    let found = tokio::net::lookup_host((host, port)).await.ok()?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort();
    addresses.first().copied()
}

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
        share: free_share(
            rand::rng().random(),
            &std::fs::read_to_string("/proc/net/route").unwrap_or_default(),
        ),
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

/// A share of addresses that no other cluster here has: the first from `start` on to whose pods no
/// route leads. Chance chooses the start, because a cluster that is down has no route.
fn free_share(start: u8, routes: &str) -> u8 {
    let taken: Vec<(u32, u32)> = routes.lines().filter_map(route).collect();
    let is_free = |share: &u8| {
        let pods = u32::from_be_bytes([10, 244, *share, 0]);
        let meets = |(to, mask): &(u32, u32)| (pods ^ to) & mask & 0xffff_ff00 == 0;
        !taken.iter().any(meets)
    };
    let mut shares = (0..=u8::MAX).map(|i| start.wrapping_add(i));
    // Where a route covers all of them, the pods' own routes are more exact and win.
    shares.find(is_free).unwrap_or(start)
}

/// Destination and mask of a line in `/proc/net/route`, unless it is the default route. Both are
/// written as the machine's own numbers in network order.
fn route(line: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |i: usize| {
        let number = u32::from_str_radix(fields.get(i)?, 16).ok()?;
        Some(u32::from_be_bytes(number.to_ne_bytes()))
    };
    let (to, mask) = (number(1)?, number(7)?);
    (mask != 0).then_some((to, mask))
}

#[cfg(test)]
mod tests {
    use super::free_share;

    /// A default route, a pod of another cluster, the network of a container program, and the
    /// unreachable rest of a third cluster's range.
    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
veth1\t0207F40A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
cbr0\t0008F40A\t00000000\t0001\t0\t0\t0\t00FEFFFF\t0\t0\t0
*\t00FFF40A\t00000000\t0201\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    #[cfg(target_endian = "little")]
    #[test]
    fn a_share_to_which_a_route_leads_is_passed_over() {
        for (start, want) in [(6, 6), (7, 10), (255, 0)] {
            assert_eq!(free_share(start, ROUTES), want);
        }
        assert_eq!(free_share(7, ""), 7);
        let all = "tun0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0";
        assert_eq!(free_share(7, all), 7);
    }
}

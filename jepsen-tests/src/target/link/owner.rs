//! Which member opened a connection, by the kernel's tables: Linux alone has them.

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

/// Columns of `/proc/net/tcp`.
const LOCAL: usize = 1;
const REMOTE: usize = 2;
const INODE: usize = 9;

/// The one of `processes` that has the end of a connection whose addresses are `local` and
/// `remote` as it sees them; none if it has gone, or is none of them.
pub(super) fn owner(
    processes: &[(usize, u32)],
    local: SocketAddr,
    remote: SocketAddr,
) -> Option<usize> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = inode(&table, local, remote)?;
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let has_it = |pid: u32| {
        let open = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"));
        open.is_ok_and(|open| {
            open.flatten()
                .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == wanted))
        })
    };
    processes
        .iter()
        .find(|(_, pid)| has_it(*pid))
        .map(|(member, _)| *member)
}

fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (local, remote) else {
        return None;
    };
    let (local, remote) = (as_table(local), as_table(remote));
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it = columns.get(LOCAL) == Some(&local.as_str())
            && columns.get(REMOTE) == Some(&remote.as_str());
        // A socket that is closed has no inode.
        columns
            .get(INODE)?
            .parse()
            .ok()
            .filter(|inode| is_it && *inode != 0)
    })
}

/// The address's bytes in the machine's order, and the port.
fn as_table(address: SocketAddrV4) -> String {
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

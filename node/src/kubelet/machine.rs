//! What this machine is: processors, memory, kernel, addresses.

use std::net::{IpAddr, UdpSocket};

/// Processors.
pub(super) fn cpus() -> i64 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    i64::try_from(count).unwrap_or(1)
}

/// Memory in bytes; zero where the kernel does not say.
pub(super) fn memory_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = line
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|n| n.trim().parse::<i64>().ok());
    kilobytes.unwrap_or(0).saturating_mul(1024)
}

/// Size in bytes of the file system that holds `path`; zero where it cannot be asked.
pub(super) fn disk_bytes(path: &std::path::Path) -> i64 {
    let existing = path
        .ancestors()
        .find(|p| p.exists())
        .unwrap_or(std::path::Path::new("/"));
    match rustix::fs::statvfs(existing) {
        Ok(stat) => i64::try_from(stat.f_blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    read("/proc/sys/kernel/osrelease")
}

/// The host's name.
pub(super) fn hostname() -> String {
    read("/proc/sys/kernel/hostname").to_lowercase()
}

/// This boot.
pub(super) fn boot_id() -> String {
    read("/proc/sys/kernel/random/boot_id")
}

/// This installation.
pub(super) fn machine_id() -> String {
    read("/etc/machine-id")
}

/// The distribution.
pub(super) fn os_image() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

/// Go's name of the architecture, which labels use.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The address from which this machine would leave; loopback where there is no way out.
pub(super) fn main_address() -> IpAddr {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    // Nothing is sent: connecting a datagram socket only chooses the route.
    let chosen = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    chosen.map_or(loopback, |address| {
        if address.ip().is_unspecified() {
            loopback
        } else {
            address.ip()
        }
    })
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

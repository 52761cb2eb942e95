//! Ports for servers that are to come up on them later, and again after each restart.
//!
//! A port that the kernel hands out for port 0 is one that it also hands to outgoing connections:
//! while its server is down, any client on the machine may be given it. So ports to keep are looked
//! for below that range, and below the NodePorts of Kubernetes (30000-32767).

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where they are looked for, as far as the machine's outgoing connections leave it alone.
const RANGE: Range<u16> = 10_000..30_000;

/// How many are given at most at once.
pub const PORTS_MAX: usize = 1_000;

/// `count` ports of 127.0.0.1 on which nobody listens. A process is not given one twice before the
/// range is used up; another process may take one at any time.
///
/// # Errors
/// `InvalidInput` above [`PORTS_MAX`]; `AddrInUse` where the range has no more; what opening a
/// socket fails with.
pub fn free(count: usize) -> Result<Vec<u16>> {
    if count > PORTS_MAX {
        let message = format!("{count} ports asked for, at most {PORTS_MAX} are given");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let range = range();
    let mut ports = Vec::with_capacity(count);
    for _ in range.clone() {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = next(&range);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => ports.push(port),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    let message = format!(
        "{count} free ports asked for, {} found in {}-{}",
        ports.len(),
        range.start,
        range.end
    );
    Err(Error::new(ErrorKind::AddrInUse, message))
}

/// One such port.
///
/// # Errors
/// As [`free`].
pub fn free_one() -> Result<u16> {
    Ok(free(1)?[0])
}

/// The next candidate of this process, each process starting somewhere else.
fn next(range: &Range<u16>) -> u16 {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    static FIRST: OnceLock<u16> = OnceLock::new();
    let first: u16 = *FIRST.get_or_init(rand::random);
    let nth = usize::from(first) + TAKEN.fetch_add(1, Ordering::Relaxed);
    let within = nth % range.len();
    // Less than the length of a range of ports.
    range.start + u16::try_from(within).unwrap_or_default()
}

fn range() -> Range<u16> {
    let outgoing = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    below(outgoing.ok().as_deref().and_then(first_number))
}

/// The part of the range below `outgoing`, or all of it if that leaves too little.
fn below(outgoing: Option<u16>) -> Range<u16> {
    match outgoing {
        Some(first) if first >= RANGE.start + 2_000 => RANGE.start..RANGE.end.min(first),
        _ => RANGE,
    }
}

fn first_number(text: &str) -> Option<u16> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_lie_below_those_of_outgoing_connections() {
        assert_eq!(below(first_number("32768\t60999\n")), RANGE);
        assert_eq!(below(first_number("15000 65000")), 10_000..15_000);
        assert_eq!(below(first_number("1024 65535")), RANGE);
        assert_eq!(below(first_number("")), RANGE);
    }

    #[test]
    fn a_taken_port_is_not_given() {
        let range = range();
        let ports = free(50).unwrap();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| range.contains(port)));
        let again = free(50).unwrap();
        assert!(ports.iter().all(|port| !again.contains(port)));
        let error = free(PORTS_MAX + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

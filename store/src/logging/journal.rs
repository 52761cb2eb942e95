//! systemd's journal, by its native protocol: one datagram of fields for each record.

use std::io;
use std::os::unix::net::UnixDatagram;

use tracing::Level;

use super::LogError;

const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection. Datagrams never wait long: the journal's queue is the kernel's.
pub(super) struct Journal {
    socket: UnixDatagram,
    program: String,
}

impl Journal {
    pub(super) fn connect() -> Result<Self, LogError> {
        let failed = |cause| LogError::Journal {
            path: SOCKET,
            cause,
        };
        let socket = UnixDatagram::unbound().map_err(failed)?;
        socket.connect(SOCKET).map_err(failed)?;
        let program = std::env::args().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self { socket, program })
    }

    /// Sends one record. One that is too large for a datagram is refused by the kernel.
    pub(super) fn send(&self, level: Level, package: &str, record: &[u8]) -> io::Result<()> {
        let datagram = datagram(level, package, &self.program, record);
        self.socket.send(&datagram).map(drop)
    }
}

fn datagram(level: Level, package: &str, program: &str, record: &[u8]) -> Vec<u8> {
    let priority: &[u8] = match level {
        Level::ERROR => b"3",
        Level::WARN => b"4",
        Level::INFO => b"6",
        Level::DEBUG | Level::TRACE => b"7",
    };
    let mut out = Vec::with_capacity(record.len() + 128);
    let fields: [(&str, &[u8]); 4] = [
        ("PRIORITY", priority),
        ("PACKAGE", package.as_bytes()),
        ("SYSLOG_IDENTIFIER", program.as_bytes()),
        ("MESSAGE", record.strip_suffix(b"\n").unwrap_or(record)),
    ];
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        // A value with line breaks goes by its length.
        if value.contains(&b'\n') {
            out.push(b'\n');
            out.extend_from_slice(&u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::datagram;

    #[test]
    fn fields_are_those_of_the_native_protocol() {
        let plain = datagram(Level::WARN, "store", "etcd", b"{\"msg\":\"a\"}\n");
        let text = "PRIORITY=4\nPACKAGE=store\nSYSLOG_IDENTIFIER=etcd\nMESSAGE={\"msg\":\"a\"}\n";
        assert_eq!(String::from_utf8(plain).unwrap(), text);
        let broken = datagram(Level::INFO, "p", "e", b"a\nb");
        assert!(broken.ends_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"));
    }
}

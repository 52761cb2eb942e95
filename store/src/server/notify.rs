//! Tells systemd that the member serves: `READY=1` at the socket in `NOTIFY_SOCKET`, as sd_notify(3)
//! describes it. Without that variable there is nobody to tell.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells, and logs how that went in etcd's words. Never waits: it is one datagram.
pub(super) fn ready(socket: Option<&OsStr>) {
    tracing::info!("notifying init daemon");
    match socket.map(|socket| send(socket, b"READY=1")) {
        Some(Err(error)) => {
            tracing::error!(error = %error, "failed to notify systemd for readiness");
        }
        Some(Ok(())) | None => tracing::info!("successfully notified init daemon"),
    }
}

fn send(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    // A leading @ stands for the zero byte of a name that is no file.
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(state, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::send;

    fn receive(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_datagram_goes_to_a_file_or_to_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let file = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        assert_eq!(receive(&file), "READY=1");
        let name = format!("keelson-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstracted = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), b"READY=1").unwrap();
        assert_eq!(receive(&abstracted), "READY=1");
        assert!(send(OsStr::new("/no/such/socket"), b"READY=1").is_err());
    }
}

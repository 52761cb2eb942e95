//! The kernel's reasons in the words that Go, and so etcd's users, have for them.

use std::io;

/// The words, without the number that Rust adds.
pub(crate) fn of_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::NotADirectory => "not a directory".into(),
        io::ErrorKind::AddrInUse => "address already in use".into(),
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address".into(),
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::StorageFull => "no space left on device".into(),
        _ => error.to_string(),
    }
}

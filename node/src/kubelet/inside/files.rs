//! Small helpers around the node's file system.

use std::io::{ErrorKind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Sets permission bits exactly, whatever the process's mask.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// The last `bytes_max` bytes of a file as text.
pub(super) async fn read_tail(path: &Path, bytes_max: u64) -> Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(bytes_max)))
        .await?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Removes a directory with all that is in it; a missing one is removed already. Symbolic links are
/// removed, never followed.
pub(super) async fn remove_all(path: &Path) -> Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Gives a directory tree to a group, so that pods of other users can use it.
pub(super) fn give_to_group(path: &Path, group: u32) -> Result<()> {
    std::os::unix::fs::lchown(path, None, Some(group))?;
    let metadata = std::fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.permissions().mode();
    if metadata.is_dir() {
        set_mode(path, mode | 0o2070)?;
        for entry in std::fs::read_dir(path)? {
            give_to_group(&entry?.path(), group)?;
        }
    } else {
        set_mode(path, mode | 0o060)?;
    }
    Ok(())
}

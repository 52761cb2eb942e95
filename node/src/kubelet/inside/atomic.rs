//! Writes the files of a volume so that a reader sees all of the old or all of the new.
//!
//! The files are in a directory of their own, `..data` links to it, and a file's name links into
//! `..data`. A change is one rename of that link. Upstream's layout, because programs watch it.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::files::set_mode;

const DATA: &str = "..data";

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// The content.
    pub(super) bytes: Vec<u8>,
    /// The permission bits.
    pub(super) mode: u32,
}

/// Files by their path inside the volume.
pub(super) type Payload = BTreeMap<String, File>;

/// Makes `directory` hold exactly `payload`. Does nothing where it does already.
pub(super) fn write(directory: &Path, payload: &Payload) -> Result<()> {
    for path in payload.keys() {
        check(path)?;
    }
    std::fs::create_dir_all(directory)?;
    set_mode(directory, 0o755)?;
    let data = directory.join(DATA);
    let old = std::fs::read_link(&data).ok();
    if old.is_some() && is_current(&data, payload) {
        return Ok(());
    }
    let (name, fresh) = fresh_directory(directory)?;
    for (path, file) in payload {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&target, &file.bytes)?;
        set_mode(&target, file.mode)?;
    }
    let link = directory.join("..data_tmp");
    let _ = std::fs::remove_file(&link);
    symlink(&name, &link)?;
    std::fs::rename(&link, &data)?;
    link_names(directory, payload)?;
    if let Some(old) = old {
        let _ = std::fs::remove_dir_all(directory.join(old));
    }
    Ok(())
}

/// The first parts of all paths, which are what shows in the volume's directory.
fn link_names(directory: &Path, payload: &Payload) -> Result<()> {
    let first = |path: &str| path.split('/').next().unwrap_or(path).to_owned();
    let wanted: std::collections::BTreeSet<String> =
        payload.keys().map(|path| first(path)).collect();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(&name) {
            std::fs::remove_file(directory.join(name))?;
        }
    }
    for name in wanted {
        match symlink(Path::new(DATA).join(&name), directory.join(&name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_current(data: &Path, payload: &Payload) -> bool {
    let same = |(path, file): (&String, &File)| {
        std::fs::read(data.join(path)).is_ok_and(|bytes| bytes == file.bytes)
    };
    payload.iter().all(same) && count(data).is_ok_and(|count| count == payload.len())
}

fn count(directory: &Path) -> Result<usize> {
    let mut total = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(total)
}

fn fresh_directory(directory: &Path) -> Result<(String, PathBuf)> {
    let stamp = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S");
    let name = format!("..{stamp}.{}", rand::random::<u32>());
    let path = directory.join(&name);
    std::fs::create_dir(&path)?;
    set_mode(&path, 0o755)?;
    Ok((name, path))
}

/// A path must stay inside the volume, and must not look like our own files.
fn check(path: &str) -> Result<()> {
    let plain = Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain && !path.is_empty() && !path.starts_with("..") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("invalid path {path:?} in a volume"),
    ))
}

#[cfg(test)]
mod tests {
    use super::{File, Payload, write};

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |(path, text): &(&str, &str)| {
            (
                (*path).to_owned(),
                File {
                    bytes: text.as_bytes().to_vec(),
                    mode: 0o644,
                },
            )
        };
        files.iter().map(file).collect()
    }

    #[test]
    fn the_directory_holds_exactly_the_payload() {
        let directory = tempfile::tempdir().expect("a directory");
        let read = |path: &str| std::fs::read_to_string(directory.path().join(path)).ok();
        write(directory.path(), &payload(&[("a", "1"), ("d/b", "2")])).expect("written");
        assert_eq!(
            (read("a").as_deref(), read("d/b").as_deref()),
            (Some("1"), Some("2"))
        );
        let before = std::fs::read_link(directory.path().join("..data")).expect("a link");
        write(directory.path(), &payload(&[("a", "1"), ("d/b", "2")])).expect("written");
        assert_eq!(
            std::fs::read_link(directory.path().join("..data")).expect("a link"),
            before
        );
        write(directory.path(), &payload(&[("a", "3")])).expect("written");
        assert_eq!((read("a").as_deref(), read("d/b")), (Some("3"), None));
        assert!(!directory.path().join(before).exists());
    }

    #[test]
    fn paths_stay_inside() {
        let directory = tempfile::tempdir().expect("a directory");
        for path in ["../x", "/x", "a/../../x", "..data", ""] {
            assert!(
                write(directory.path(), &payload(&[(path, "")])).is_err(),
                "{path}"
            );
        }
    }
}

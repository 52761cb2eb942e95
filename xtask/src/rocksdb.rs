//! Builds RocksDB once per machine, into the cache, and links the checkout to it.
//!
//! It is nine tenths of a cold build. The archive is built by the very crate that the workspace
//! locks, with the workspace's own compiler flags, so that its bindings fit.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

const ARCHIVE: &str = "librocksdb.a";
/// As `.cargo/config.toml` gives for every other crate.
const TARGET_CPU: &str = "x86-64-v2";
const FILES: usize = 343;

/// Makes sure that `.rocksdb` in the checkout leads to the archive.
pub(crate) fn ensure_built() -> Result<()> {
    let version = locked_version()?;
    let place = workspace::cache()?.join(format!("rocksdb-{version}-{TARGET_CPU}"));
    if !place.join(ARCHIVE).exists() {
        build(&version, &place)?;
    }
    link(&place, &workspace::root().join(".rocksdb"))
}

/// The version of `librocksdb-sys` in Cargo.lock.
fn locked_version() -> Result<String> {
    let path = workspace::root().join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != "name = \"librocksdb-sys\"");
    let version = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \""));
    let version = version.and_then(|rest| rest.strip_suffix('"'));
    Ok(version
        .context("Cargo.lock names no librocksdb-sys")?
        .to_owned())
}

fn build(version: &str, place: &Path) -> Result<()> {
    let started = Instant::now();
    eprintln!("building RocksDB ({version}), once for this machine: about 12 minutes on 2 cores");
    let project = workspace::cache()?.join("build-rocksdb");
    fs::create_dir_all(project.join("src"))?;
    let requirement = version.split('+').next().unwrap_or(version);
    fs::write(
        project.join("Cargo.toml"),
        format!(
            "[package]\nname = \"build-rocksdb\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
             [dependencies]\nlibrocksdb-sys = {{ version = \"={requirement}\", default-features = false, \
             features = [\"bindgen-runtime\", \"lz4\", \"static\"] }}\n"
        ),
    )?;
    fs::write(project.join("src/lib.rs"), "")?;
    let target = project.join("target");
    let child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet"])
        .current_dir(&project)
        // The checkout's own settings point at the archive that is to be built here.
        .env_remove("ROCKSDB_LIB_DIR")
        .env_remove("ROCKSDB_STATIC")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", &target)
        .env("RUSTFLAGS", rustflags())
        .stdin(Stdio::null())
        .spawn()
        .context("start cargo")?;
    wait(child, &target, started)?;
    keep(&find(&target)?, place)?;
    fs::remove_dir_all(&project).context("remove the build folder of RocksDB")?;
    eprintln!("RocksDB is built: {} s", started.elapsed().as_secs());
    Ok(())
}

fn rustflags() -> String {
    if cfg!(target_arch = "x86_64") {
        format!("-C target-cpu={TARGET_CPU}")
    } else {
        String::new()
    }
}

/// Waits for the build and says each 15 seconds how far it is.
fn wait(mut child: Child, target: &Path, started: Instant) -> Result<()> {
    let mut said = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the build of RocksDB failed: {status}");
            return Ok(());
        }
        if said.elapsed() > Duration::from_secs(15) {
            said = Instant::now();
            let done = out_folders(target)
                .iter()
                .map(|dir| objects(dir))
                .max()
                .unwrap_or(0);
            eprintln!(
                "RocksDB: {done} of {FILES} files, {} s",
                started.elapsed().as_secs()
            );
        }
        thread::sleep(Duration::from_millis(500));
    }
}

fn objects(dir: &Path) -> usize {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|e| e == "o"))
        .count()
}

fn out_folders(target: &Path) -> Vec<PathBuf> {
    let crates = fs::read_dir(target.join("release/build"))
        .into_iter()
        .flatten()
        .flatten();
    crates
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("librocksdb-sys-")
        })
        .map(|entry| entry.path().join("out"))
        .collect()
}

fn find(target: &Path) -> Result<PathBuf> {
    let found = out_folders(target)
        .into_iter()
        .map(|dir| dir.join(ARCHIVE))
        .find(|p| p.exists());
    found.with_context(|| format!("the build left no {ARCHIVE} under {}", target.display()))
}

/// Moves the archive to its place in one step, so that an interrupted run leaves none or a whole one.
fn keep(archive: &Path, place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    let partial = place.join(format!("{ARCHIVE}.partial"));
    fs::copy(archive, &partial).with_context(|| format!("copy to {}", partial.display()))?;
    fs::rename(&partial, place.join(ARCHIVE))?;
    Ok(())
}

fn link(place: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|to| to == place) {
        return Ok(());
    }
    if let Ok(meta) = fs::symlink_metadata(link) {
        if !meta.is_symlink() {
            bail!(
                "{} is not a link; move it away and run this again",
                link.display()
            );
        }
        fs::remove_file(link)?;
    }
    symlink(place, link).with_context(|| format!("link {}", link.display()))
}

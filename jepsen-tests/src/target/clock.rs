//! A wall clock for each member, by a small library that is preloaded and reads in a file of the member
//! how far from the true time it is and by how much it runs too fast. Clocks that only run forward go
//! at their true rate: what waits by them waits right. Where the kernel lets us, each start of a member
//! has another beginning of theirs, as another boot of its machine would.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::cluster::Program;

const SOURCE: &str = include_str!("clock.c");

/// The library, built now. It is there as long as this is.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    _dir: TempDir,
}

impl Library {
    /// Builds it with the machine's C compiler.
    pub(crate) fn build() -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder for the clock's library")?;
        let (source, path) = (dir.path().join("clock.c"), dir.path().join("clock.so"));
        fs::write(&source, SOURCE).context("write the clock's library")?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&path, &source])
            .output()
            .context("a clock of each member's own needs a C compiler: put `cc` on PATH")?;
        let said = String::from_utf8_lossy(&built.stderr);
        ensure!(built.status.success(), "build the clock's library: {said}");
        Ok(Self { path, _dir: dir })
    }
}

/// What makes a process of `program` go by the clock in `file`.
pub(super) fn environment(program: &Program, file: &Path) -> Vec<(String, String)> {
    let Some(library) = &program.clock else {
        return Vec::new();
    };
    let pair = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
    vec![pair("LD_PRELOAD", library), pair("JEPSEN_CLOCK", file)]
}

/// How a wall clock is wrong; by default it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// From the true time.
    pub(crate) by_ms: i64,
    /// How much too fast it runs from now on.
    pub(crate) fast_percent: i64,
}

/// Says how wrong the clock in `file` is from now on.
pub(super) fn set(file: &Path, wrong: Wrong) -> Result<()> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    set_since(file, wrong, i64::try_from(now.as_nanos()).unwrap_or(0))
}

fn set_since(file: &Path, wrong: Wrong, since_ns: i64) -> Result<()> {
    let shown = file.display();
    let opened = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file);
    let opened = opened.with_context(|| format!("open {shown}"))?;
    let numbers = [
        wrong.by_ms.saturating_mul(1_000_000),
        wrong.fast_percent.saturating_mul(10_000),
        since_ns,
    ];
    // Who reads while this is written sees a part of it: one more jump, and then the clock that is told.
    let written = opened.write_all_at(&numbers.map(i64::to_ne_bytes).concat(), 0);
    written.with_context(|| format!("write {shown}"))
}

/// What this machine lacks for it.
pub(crate) fn why_not() -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join("cc").is_file());
    (!is_there).then_some("there is no C compiler, which makes a member's own clock")
}

/// What starts a process with clocks that began at another moment, if the kernel lets us; `chance` says
/// at which. A real start of the machine sets them to zero, which only the past can do: here they are
/// further on, by up to ten years.
pub(super) fn another_boot(chance: u64) -> Vec<String> {
    const TEN_YEARS_S: u64 = 10 * 365 * 24 * 3_600;
    let seconds = chance % TEN_YEARS_S;
    let words = ["unshare", "--time", "--monotonic", "{}", "--boottime", "{}"];
    words
        .map(|word| word.replace("{}", &seconds.to_string()))
        .to_vec()
}

/// Whether [`another_boot`] has an effect here: time namespaces that begin with the program.
pub(crate) fn has_boots() -> bool {
    let uptime = |first: &[String]| -> Option<f64> {
        let (program, args) = first.split_first()?;
        let out = Command::new(program).args(args).output().ok()?;
        let text = String::from_utf8(out.stdout).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let cat = ["cat".to_owned(), "/proc/uptime".to_owned()];
    let ours = uptime(&cat);
    let other = uptime(&[another_boot(1_000_000), cat.to_vec()].concat());
    matches!((ours, other), (Some(ours), Some(other)) if other - ours > 900_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_runs_too_fast_or_too_slow_goes_on_from_where_it_jumped_to() {
        // What links Rust programs is the compiler that this needs.
        let library = Library::build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("n1.clock");
        let now = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            i64::try_from(now.as_nanos()).unwrap()
        };
        // How far from the true time a process is, a hundred seconds after its clock was set so.
        let shown_s = |by_ms, fast_percent| {
            let wrong = Wrong {
                by_ms,
                fast_percent,
            };
            let before = now();
            set_since(&file, wrong, before - 100_000_000_000).unwrap();
            let mut date = Command::new("date");
            date.arg("+%s").env("LD_PRELOAD", &library.path);
            let out = date.env("JEPSEN_CLOCK", &file).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            text.trim().parse::<i64>().unwrap() - before / 1_000_000_000
        };
        // A slow machine takes some seconds.
        let is_about = |shown: i64, wanted: i64| (wanted..wanted + 10).contains(&shown);
        assert!(is_about(shown_s(0, 0), 0));
        assert!(is_about(shown_s(-3_600_000, 0), -3_600));
        assert!(is_about(shown_s(0, 20), 20));
        assert!(is_about(shown_s(3_600_000, -20), 3_580));
    }
}

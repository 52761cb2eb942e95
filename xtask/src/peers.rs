//! The peers that come as packages: etcd, etcdctl and etcdutl 3.5, kubectl 1.36.
//!
//! They are unpacked into a folder of their own from Debian's newer suites, without touching the
//! machine's package set; the archive is the one that the machine's own package sources name.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, workspace};

/// Package, the start of the wanted version, and its programs.
const WANTED: &[(&str, &str, &[&str])] = &[
    ("etcd-server", "3.5.", &["etcd", "etcdutl"]),
    ("etcd-client", "3.5.", &["etcdctl"]),
    ("kubectl", "1.36.", &["kubectl"]),
];
const SUITES: &[&str] = &["sid", "forky", "trixie"];

/// Makes sure that the programs are there and returns their folder.
pub(crate) fn ensure() -> Result<PathBuf> {
    let dir = workspace::peers()?;
    let bin = dir.join("bin");
    let programs = || WANTED.iter().flat_map(|(_, _, programs)| programs.iter());
    if programs().all(|program| bin.join(program).exists()) {
        return Ok(bin);
    }
    eprintln!("fetching etcd 3.5 and kubectl 1.36 as packages");
    fs::create_dir_all(&bin)?;
    let apt = Apt::new(&dir)?;
    apt.run("apt-get", &["update", "-q"])?;
    for (package, version, _) in WANTED {
        let full = apt.newest(package, version)?;
        apt.download(package, &full)?;
    }
    for program in programs() {
        let link = bin.join(program);
        let _ = fs::remove_file(&link);
        symlink(Path::new("../root/usr/bin").join(program), &link)?;
        if !link.exists() {
            bail!("no package brought the program {program}");
        }
    }
    Ok(bin)
}

/// apt with state, lists and sources of its own below one folder.
struct Apt {
    dir: PathBuf,
    options: Vec<String>,
}

impl Apt {
    fn new(dir: &Path) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial", "deb", "root"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let archive = debian_archive()?;
        let sources: String = SUITES
            .iter()
            .map(|suite| format!("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {suite} main\n"))
            .collect();
        fs::write(dir.join("sources.list"), sources)?;
        let dir = dir.canonicalize()?;
        let at = |name: &str| dir.join(name).display().to_string();
        let options = vec![
            format!("-oDir::Etc::SourceList={}", at("sources.list")),
            "-oDir::Etc::SourceParts=/dev/null".into(),
            format!("-oDir::State::Lists={}", at("lists")),
            format!("-oDir::Cache={}", at("cache")),
            "-oDir::State::status=/dev/null".into(),
            "-oAPT::Sandbox::User=root".into(),
        ];
        Ok(Self { dir, options })
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command
            .args(&self.options)
            .args(args)
            .current_dir(self.dir.join("deb"));
        command::output(&mut command)
    }

    /// The highest version of `package` that begins with `version`. Another one is an error, not another peer.
    fn newest(&self, package: &str, version: &str) -> Result<String> {
        let table = self.run("apt-cache", &["madison", package])?;
        let all: Vec<&str> = table
            .lines()
            .filter_map(|l| l.split('|').nth(1))
            .map(str::trim)
            .collect();
        let best = all
            .iter()
            .filter(|v| v.starts_with(version))
            .max_by_key(|v| numbers(v));
        match best {
            Some(best) => Ok((*best).to_owned()),
            None => bail!(
                "no {package} {version}x in Debian now, only: {}",
                all.join(" ")
            ),
        }
    }

    fn download(&self, package: &str, version: &str) -> Result<()> {
        self.run(
            "apt-get",
            &["download", "-q", &format!("{package}={version}")],
        )?;
        let start = format!("{package}_");
        let newest = fs::read_dir(self.dir.join("deb"))?
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with(&start))
            .max_by_key(|file| file.metadata().and_then(|m| m.modified()).ok())
            .with_context(|| format!("apt-get left no file of {package}"))?;
        command::run(
            Command::new("dpkg")
                .arg("-x")
                .arg(newest.path())
                .arg(self.dir.join("root")),
        )
    }
}

/// The numbers in a version, for comparing: good enough between versions of one package.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

/// The first address ending in /debian that the machine's package sources name.
fn debian_archive() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    files.extend(more.map(|file| file.path()));
    let texts = files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let address = texts.flat_map(|text| addresses(&text)).next();
    address.context("this machine's package sources name no Debian archive")
}

fn addresses(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|l| l.starts_with("URIs:") || l.starts_with("deb "));
    let words = lines.flat_map(str::split_whitespace);
    let debian = words
        .filter(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"));
    debian.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{addresses, numbers};

    #[test]
    fn reads_both_forms_of_package_sources() {
        let text = "Types: deb\nURIs: http://mirror.example/debian\n\
                    deb [arch=amd64] https://other.example/debian/ sid main\ndeb http://third.example/security x main";
        assert_eq!(
            addresses(text),
            [
                "http://mirror.example/debian",
                "https://other.example/debian/"
            ]
        );
    }

    #[test]
    fn compares_versions_by_number() {
        assert!(numbers("3.5.30-1") > numbers("3.5.9-4"));
    }
}

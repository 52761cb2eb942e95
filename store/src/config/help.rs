//! What `--help` and `--version` print, and the usage behind a command line that cannot be read.

use std::fmt::Write;

use super::ETCD_VERSION;
use super::flags::{self, GROUPS, Support};

/// This machine's architecture by Go's name.
pub fn go_arch() -> &'static str {
    let is_little = cfg!(target_endian = "little");
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if is_little => "ppc64le",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The four lines that etcd's users and tools read.
pub(super) fn version() -> String {
    let arch = go_arch();
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: keelson-{}\nGo Version: none (Rust)\nGo OS/Arch: {}/{arch}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
    )
}

/// How to start the program.
pub fn usage() -> &'static str {
    "Usage:

  keelson store [flags]    (or a link named etcd)
    Run one member of a store that speaks etcd's v3 protocol.

  keelson store --version
    Print the version of etcd that it answers with.

  keelson store --help
    Explain every flag.
"
}

/// Everything.
pub(super) fn help() -> String {
    let mut out = String::from(usage());
    out.push_str(
        "
One member alone, for a try:
  keelson store --data-dir /tmp/one
  etcdctl put hello world && etcdctl get hello

Three members (the same --initial-cluster on each, own name and URLs):
  keelson store --name a --data-dir /var/lib/a \\
    --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \\
    --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls http://10.0.0.1:2379 \\
    --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380

Each flag may be given as ETCD_<FLAG> in the environment, such as ETCD_DATA_DIR; the flag wins.
",
    );
    for group in GROUPS {
        let _ = writeln!(out, "\n{group}:");
        for flag in flags::all().filter(|flag| flag.group == *group) {
            let _ = writeln!(out, "  --{} '{}'", flag.name, flag.default);
            let _ = writeln!(out, "    {}", flag.help);
            match flag.support {
                Support::Yes | Support::Ignored => {}
                Support::Warns(why) => drop(writeln!(out, "    No effect: {why}.")),
            }
        }
    }
    out
}

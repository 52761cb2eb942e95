//! `keelson etcdutl`, and a link named `etcdutl`, on the file that a real etcd 3.5 wrote: the words and
//! exit codes of etcdutl, and a member that starts from what was restored.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::run::ok;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/bolt/testdata/etcd-3.5.snapshot"
);

fn etcdutl(args: &[&str]) -> Result<Output> {
    let mut command = Command::new(testkit::keelson()?);
    let output = command.arg("etcdutl").args(args).output();
    output.context("run keelson etcdutl")
}

/// Exit code and standard error.
fn refused(args: &[&str]) -> Result<(Option<i32>, String)> {
    let output = etcdutl(args)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), text))
}

#[test]
fn a_file_is_shown_as_by_etcdutl() -> Result<()> {
    for (args, expected) in [
        (
            &["snapshot", "status", FILE][..],
            "1eadc150, 10, 6, 49 kB, \n",
        ),
        (
            &["snapshot", "status", FILE, "-w", "json"],
            "{\"hash\":514703696,\"revision\":10,\"totalKey\":6,\"totalSize\":49152,\"version\":\"\"}\n",
        ),
        (&["hashkv", FILE], "318028816, 10, 6\n"),
        (
            &["--write-out=simple", "hashkv", FILE, "--rev=10"],
            "318028816, 10, 6\n",
        ),
        (&["version"], "etcdutl version: 3.7.3\nAPI version: 3.7\n"),
    ] {
        let shown = ok(etcdutl(args))?;
        ensure!(shown == expected, "{args:?}: {shown}");
    }
    let dir = tempfile::tempdir()?;
    let link = dir.path().join("etcdutl");
    std::os::unix::fs::symlink(testkit::keelson()?, &link)?;
    let output = Command::new(&link).arg("version").output();
    ensure!(ok(output.context("run the link"))?.starts_with("etcdutl version"));
    Ok(())
}

#[test]
fn what_cannot_be_done_ends_with_etcdutls_words_and_codes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("taken"), "")?;
    let taken = dir.path().to_str().context("a plain path")?;
    let noise = dir.path().join("taken");
    std::fs::write(&noise, vec![7; 5_000])?;
    let noise = noise.to_str().context("a plain path")?;
    let in_the_way = format!("Error: data-dir \"{taken}\" not empty or could not be read\n");
    let restore = |extra: &[&'static str]| -> Vec<&str> {
        [
            &["snapshot", "restore", FILE, "--data-dir", taken][..],
            extra,
        ]
        .concat()
    };
    let cases: &[(Vec<&str>, i32, &str)] = &[
        (
            vec!["snapshot", "status"],
            128,
            "Error: snapshot status requires exactly one argument\n",
        ),
        (
            vec!["snapshot", "status", "nofile"],
            1,
            "Error: stat nofile: no such file or directory\n",
        ),
        (
            vec!["snapshot", "status", FILE, "-w", "bad"],
            4,
            "Error: unsupported output format\n",
        ),
        (
            vec!["snapshot", "status", FILE, "-w", "protobuf"],
            4,
            "Error: protobuf not supported as output format\n",
        ),
        (
            vec!["snapshot", "status", noise],
            1,
            "Error: invalid database: no meta page\n",
        ),
        (vec!["hashkv"], 1, "Error: accepts 1 arg(s), received 0\n"),
        (
            vec!["hashkv", FILE, "--rev", "5"],
            1,
            "Error: mvcc: required revision has been compacted\n",
        ),
        (restore(&[]), 1, &in_the_way),
        (
            restore(&["--bump-revision=5"]),
            128,
            "Error: --mark-compacted required if --revision-bump > 0\n",
        ),
        (vec!["hashkv", taken], 1, " holds no member\n"),
    ];
    for (args, code, words) in cases {
        let (found, text) = refused(args)?;
        ensure!(
            found == Some(*code) && text.ends_with(words),
            "{args:?}: {found:?} {text}"
        );
    }
    ensure!(refused(&["nonsense"])?.0 == Some(1));
    Ok(())
}

#[test]
fn a_restored_member_is_whole() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let data = data.to_str().context("a plain path")?;
    ok(etcdutl(&["snapshot", "restore", FILE, "--data-dir", data]))?;
    ensure!(ok(etcdutl(&["hashkv", data]))? == "318028816, 10, 6\n");
    ok(etcdutl(&["defrag", "--data-dir", data]))?;
    let verified = ok(etcdutl(&["verify", "--data-dir", data]))?;
    let (member, rest) = verified.split_once("; ").context("member and state")?;
    ensure!(
        member.starts_with("member 8e9e05c52164694d of cluster "),
        "{verified}"
    );
    ensure!(
        rest == "log: 0 entries; state: applied up to 1, revision 10, hash 318028816\n",
        "{verified}"
    );
    ensure!(ok(etcdutl(&["dump", "--data-dir", data]))?.is_empty());
    // What was interrupted is no member, and says what to do.
    std::fs::write(Path::new(data).join("member/restoring"), "")?;
    let (code, text) = refused(&["verify", "--data-dir", data])?;
    ensure!(code == Some(1) && text.contains("did not finish"), "{text}");
    let store = Command::new(testkit::keelson()?)
        .args([
            "store",
            "--data-dir",
            data,
            "--listen-peer-urls=http://127.0.0.1:0",
        ])
        .args([
            "--listen-client-urls=http://127.0.0.1:0",
            "--advertise-client-urls=http://127.0.0.1:1",
        ])
        .output()?;
    let text = String::from_utf8_lossy(&store.stderr);
    ensure!(
        !store.status.success() && text.contains("did not finish"),
        "{text}"
    );
    Ok(())
}

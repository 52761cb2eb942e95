//! Data directories that cannot be used: no folder, no permission, another program's, another
//! member's, damaged. Each is refused with what to do, and is afterwards as it was before.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::process::{Member, Running};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// Every file below `dir` with its bytes, but for locks and what the engine writes of each opening.
fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                open.push(path);
            } else if !name.to_uppercase().starts_with("LO") {
                found.insert(path.clone(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The folder of a member that has held a few keys and ended in order.
fn used(member: &Member) -> Result<()> {
    let running = Member::serve(&mut member.of_ours()?)?;
    for key in ["a", "b", "kept"] {
        member.etcdctl(&["put", key, "yes"])?.says(0, "OK")?;
    }
    running.stop()?.says(0, "")
}

fn still_has_its_keys(member: &Member, command: &mut Command) -> Result<()> {
    let _running = Member::serve(command)?;
    member.etcdctl(&["get", "kept"])?.says(0, "kept\nyes\n")
}

fn at(member: &Member, dir: &Path) -> Member {
    let flag = format!("--data-dir={}", dir.display());
    member.clone().with(&[&flag])
}

#[test]
fn a_file_where_a_folder_should_be() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("file");
    let within = dir.path().join("within");
    fs::create_dir(&within)?;
    for path in [&file, &within.join("member")] {
        fs::write(path, "precious")?;
    }
    for (data, named) in [
        (&file, file.clone()),
        (&within, within.join("member")),
        (&file.join("below"), file.join("below")),
    ] {
        let member = Member::new(data)?;
        let ended = Running::start(&mut member.of_ours()?)?.end()?;
        ended.says(
            1,
            &format!("cannot access data directory {}", named.display()),
        )?;
        let text = ended.text.to_lowercase();
        ensure!(text.contains("not a directory"), "{text}");
        let etcd = Running::start(&mut member.of_etcd()?)?.end()?;
        ensure!(etcd.status != 0, "{}", etcd.text);
    }
    ensure!(fs::read_to_string(&file)? == "precious");
    ensure!(fs::read_to_string(within.join("member"))? == "precious");
    Ok(())
}

/// A copy of the binary under test that anybody may run, in a folder that anybody may enter.
fn public_binary(dir: &Path) -> Result<PathBuf> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    let binary = dir.join("keelson");
    fs::copy(testkit::keelson()?, &binary)?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    Ok(binary)
}

#[test]
fn a_folder_without_permission() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let binary = public_binary(dir.path())?;
    let sealed = dir.path().join("sealed");
    fs::create_dir(&sealed)?;
    // Root may do everything, so as root the store is started as somebody who may not. Anybody else
    // is kept out of their own folder.
    let is_root = rustix::process::geteuid().is_root();
    let mode = if is_root { 0o700 } else { 0 };
    fs::set_permissions(&sealed, fs::Permissions::from_mode(mode))?;
    for data in [sealed.clone(), sealed.join("data")] {
        let mut command = Command::new(&binary);
        command
            .arg("store")
            .args(Member::new(&data)?.args)
            .current_dir("/");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let ended = Running::start(&mut command)?.end()?;
        ended.says(
            1,
            &format!("cannot access data directory {}", data.display()),
        )?;
        ended.says(1, "Permission denied")?;
    }
    // Let the temporary folder be removed, and see that nothing was put into this one.
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o700))?;
    ensure!(fs::read_dir(&sealed)?.next().is_none());
    Ok(())
}

#[test]
fn the_folder_of_the_real_etcd_is_refused_and_goes_on_with_its_etcd() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let member = Member::new(&data)?;
    let etcd = Member::serve(&mut member.of_etcd()?)?;
    member.etcdctl(&["put", "kept", "yes"])?.says(0, "OK")?;
    // It ends itself by the signal that it was asked with.
    etcd.stop()?.says(128 + 15, "")?;
    let before = contents(&data)?;
    ensure!(before.contains_key(&data.join("member/snap/db")));
    let ended = Running::start(&mut member.of_ours()?)?.end()?;
    ended.says(1, "holds the files of etcd itself (member/snap)")?;
    ended.says(1, "give an empty --data-dir")?;
    ensure!(contents(&data)? == before, "the folder was changed");
    still_has_its_keys(&member, &mut member.of_etcd()?)
}

/// Damages a folder.
type Damage = fn(&Path) -> Result<()>;

/// The words of the remedy, whichever room refuses.
const REMEDY: [&str; 2] = ["member from", "add it again with an empty"];

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes).context("overwrite")
}

/// The files of a member's part whose names begin with `name`, the one that is deepest last.
fn files(dir: &Path, part: &str, name: &str) -> Result<Vec<PathBuf>> {
    let is_named = |path: &PathBuf| {
        let found = path.file_name().unwrap_or_default().to_string_lossy();
        found.starts_with(name)
    };
    let mut found: Vec<PathBuf> = contents(&dir.join("member").join(part))?
        .into_keys()
        .filter(is_named)
        .collect();
    found.sort_by_key(|path| path.components().count());
    ensure!(!found.is_empty(), "no {name} in the {part}");
    Ok(found)
}

fn first(dir: &Path, part: &str, name: &str) -> Result<PathBuf> {
    files(dir, part, name)?.into_iter().next().context("a file")
}

fn deepest(dir: &Path, part: &str, name: &str) -> Result<PathBuf> {
    files(dir, part, name)?.pop().context("a file")
}

/// What is damaged, how, and what the store says of it. What is damaged stands first in the name.
const DAMAGES: &[(&str, Damage, &str)] = &[
    (
        "identity of another form",
        |dir| Ok(fs::write(dir.join("member/identity"), "garbage")?),
        "is damaged (member/identity cannot be read: ",
    ),
    (
        "identity gone",
        |dir| Ok(fs::remove_file(dir.join("member/identity"))?),
        "has a log, but there is no member/identity",
    ),
    (
        "log gone",
        |dir| Ok(fs::remove_dir_all(dir.join("member/log"))?),
        "the raft log in ",
    ),
    (
        "log of another form",
        |dir| Ok(fs::write(first(dir, "log", "")?, "garbage".repeat(1000))?),
        "is damaged at byte 0: the segment header",
    ),
    (
        "log cut short",
        |dir| Ok(fs::write(first(dir, "log", "")?, "")?),
        "is damaged at byte 0: the segment header",
    ),
    (
        "log with other bytes in its middle",
        |dir| overwrite(&first(dir, "log", "")?, 700, &[0x55; 64]),
        "is damaged at byte ",
    ),
    (
        "state without its pointer",
        |dir| Ok(fs::write(first(dir, "state", "CURRENT")?, "garbage")?),
        "open the state in ",
    ),
    (
        "state without its engine's start",
        |dir| Ok(fs::write(deepest(dir, "state", "CURRENT")?, "garbage")?),
        "open the state in ",
    ),
    (
        "state with other bytes in its engine's manifest",
        |dir| overwrite(&deepest(dir, "state", "MANIFEST")?, 20, &[0x55; 64]),
        "open the state in ",
    ),
];

fn is_of_state(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "state")
}

#[test]
fn damaged_files_are_refused_with_the_remedy_and_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let good = dir.path().join("good");
    let member = Member::new(&good)?;
    used(&member)?;
    for (name, damage, words) in DAMAGES {
        let damaged = dir.path().join(name);
        copy(&good, &damaged)?;
        damage(&damaged).with_context(|| format!("damage: {name}"))?;
        // A good state is opened before the log is read, and its engine writes a new manifest then.
        let kept = |dir: &Path| -> Result<_> {
            let mut files = contents(dir)?;
            files.retain(|path, _| name.starts_with("state") || !is_of_state(path));
            Ok(files)
        };
        let before = kept(&damaged)?;
        let member = at(&member, &damaged);
        let ended = Running::start(&mut member.of_ours()?)?.end()?;
        for words in [*words, REMEDY[0], REMEDY[1]] {
            ended.says(1, words).with_context(|| name.to_string())?;
        }
        ensure!(kept(&damaged)? == before, "{name}: it was changed");
    }
    still_has_its_keys(&member, &mut member.of_ours()?)
}

#[test]
fn a_file_that_no_log_wrote_is_named_and_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let member = Member::new(&data)?;
    used(&member)?;
    let stray = data.join("member/log/notes.txt");
    fs::write(&stray, "mine")?;
    let ended = Running::start(&mut member.of_ours()?)?.end()?;
    ended.says(1, "notes.txt does not belong to a raft log")?;
    ensure!(fs::read_to_string(&stray)? == "mine");
    fs::remove_file(&stray)?;
    still_has_its_keys(&member, &mut member.of_ours()?)
}

#[test]
fn a_folder_in_use_of_another_member_or_of_another_cluster() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let member = Member::new(&data)?;
    {
        let _running = Member::serve(&mut member.of_ours()?)?;
        member.etcdctl(&["put", "kept", "yes"])?.says(0, "OK")?;
        let second = at(&Member::new(&data)?, &data);
        Running::start(&mut second.of_ours()?)?
            .end()?
            .says(1, "is in use by another process: stop that one")?;
    }
    let before = contents(&data)?;
    let place = Member::new(&data)?;
    let peer = "http://127.0.0.1:9";
    let other = place.clone().with(&[
        "--name=other",
        &format!("--initial-cluster=other={peer}"),
        &format!("--initial-advertise-peer-urls={peer}"),
    ]);
    let ended = Running::start(&mut other.of_ours()?)?.end()?;
    ended.says(
        1,
        "belongs to another member: it is that of \"m\" (member ID ",
    )?;
    ended.says(
        1,
        "the flags describe \"other\": give this member's own --data-dir",
    )?;
    let token = member.clone().with(&["--initial-cluster-token=second"]);
    let ended = Running::start(&mut token.of_ours()?)?.end()?;
    ended.says(
        1,
        "belongs to another cluster: it was made with --initial-cluster-token=\"etcd-cluster\" (cluster ID ",
    )?;
    ended.says(
        1,
        "the flags say \"second\": give this member's own --data-dir",
    )?;
    ensure!(contents(&data)? == before, "the folder was changed");
    still_has_its_keys(&member, &mut member.of_ours()?)
}

/// Two members `a` and `b` of one cluster; `b` is later given the folder that it had as the only
/// member of another one.
struct Two {
    a: Member,
    b: Member,
}

impl Two {
    fn new(dir: &Path) -> Result<Self> {
        let (a, b) = (Member::new(&dir.join("a"))?, Member::new(&dir.join("b"))?);
        let peer = |member: &Member| member.args[2].replace("--listen-peer-urls=", "");
        let cluster = format!("--initial-cluster=a={},b={}", peer(&a), peer(&b));
        Ok(Self {
            a: a.with(&["--name=a", &cluster]),
            b: b.with(&["--name=b", &cluster]),
        })
    }

    fn serve(&self) -> Result<(Running, Running)> {
        let mut a = Running::start(&mut self.a.of_ours()?)?;
        let mut b = Running::start(&mut self.b.of_ours()?)?;
        a.wait_for("ready to serve client requests")?;
        b.wait_for("ready to serve client requests")?;
        Ok((a, b))
    }
}

#[test]
fn members_of_two_clusters_keep_apart_and_say_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let two = Two::new(dir.path())?;
    let (a, b) = two.serve()?;
    two.a.etcdctl(&["put", "kept", "yes"])?.says(0, "OK")?;
    a.stop()?;
    b.stop()?;
    // The same member, by name, token and URL, of a cluster of its own: another cluster ID.
    let foreign = dir.path().join("foreign");
    let peer = two.b.args[2].replace("--listen-peer-urls=", "");
    let alone = at(&two.b, &foreign).with(&[&format!("--initial-cluster=b={peer}")]);
    Member::serve(&mut alone.of_ours()?)?.stop()?;

    let mut stranger = Running::start(&mut at(&two.b, &foreign).of_ours()?)?;
    stranger.wait_for("ready to serve client requests")?;
    let mut a = Running::start(&mut two.a.of_ours()?)?;
    a.wait_for("cluster ID mismatch")?;
    ensure!(
        !a.text().contains("ready to serve client requests"),
        "a serves with a stranger for a quorum: {}",
        a.text()
    );
    a.stop()?;
    stranger.stop()?;

    // With its own folder it comes back, and nothing is lost.
    let _both = two.serve()?;
    two.b.etcdctl(&["get", "kept"])?.says(0, "kept\nyes\n")
}

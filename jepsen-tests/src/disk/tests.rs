//! Proves what is durable and what is not, that faults show, and that a real process can use a disk.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::mount::ours;
use super::tree::{ROOT, Tree};
use super::{Eio, Mounted, remove_stale, why_not};

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn bytes_are_durable_by_a_sync_of_the_file_and_names_by_one_of_the_folder() {
    let mut tree = Tree::new(1 << 20);
    let (kept, lost) = (
        tree.make_file(ROOT, name("kept"), 0o600).unwrap(),
        tree.make_file(ROOT, name("lost"), 0o600).unwrap(),
    );
    tree.sync(lost).unwrap();
    tree.unlink(ROOT, name("lost")).unwrap();
    tree.write(kept, 0, b"durable").unwrap();
    tree.sync(kept).unwrap();
    tree.sync(ROOT).unwrap();
    tree.make_file(ROOT, name("later"), 0o600).unwrap();
    tree.write(kept, 0, b"DURABLE and more").unwrap();
    tree.rename((ROOT, name("kept")), (ROOT, name("moved")), true)
        .unwrap();
    tree.lose();
    let names: Vec<_> = tree.list(ROOT).unwrap().into_iter().collect();
    assert_eq!(names, [("kept".into(), kept)]);
    assert_eq!(tree.read(kept, 0, 100).unwrap(), b"durable");
    // Once more, with the name and not the bytes.
    tree.write(kept, 3, b"X").unwrap();
    tree.rename((ROOT, name("kept")), (ROOT, name("moved")), true)
        .unwrap();
    tree.sync(ROOT).unwrap();
    tree.lose();
    assert_eq!(tree.find(ROOT, name("kept")), Err(Errno::NOENT));
    assert_eq!(tree.find(ROOT, name("moved")), Ok(kept));
    assert_eq!(tree.read(kept, 0, 100).unwrap(), b"durable");
}

#[test]
fn a_rename_between_folders_is_durable_as_one() {
    let mut tree = Tree::new(1 << 20);
    let folder = tree.make_folder(ROOT, name("folder"), 0o700).unwrap();
    let file = tree.make_file(ROOT, name("file"), 0o600).unwrap();
    tree.sync(ROOT).unwrap();
    tree.rename((ROOT, name("file")), (folder, name("file")), false)
        .unwrap();
    tree.sync(ROOT).unwrap();
    tree.lose();
    assert_eq!(tree.find(folder, name("file")), Ok(file));
    assert_eq!(tree.find(ROOT, name("file")), Err(Errno::NOENT));
}

#[test]
fn lengths_holes_and_cuts_survive_as_they_were_synced() {
    let mut tree = Tree::new(1 << 20);
    let file = tree.make_file(ROOT, name("file"), 0o600).unwrap();
    tree.write(file, 9_000, b"end").unwrap();
    tree.sync(file).unwrap();
    tree.sync(ROOT).unwrap();
    tree.resize(file, 100).unwrap();
    tree.resize(file, 9_003).unwrap();
    assert_eq!(tree.read(file, 8_999, 10).unwrap(), [0; 4]);
    tree.lose();
    assert_eq!(tree.read(file, 8_999, 10).unwrap(), b"\0end");
    tree.resize(file, 100).unwrap();
    tree.resize(file, 9_003).unwrap();
    tree.sync(file).unwrap();
    tree.lose();
    assert_eq!(tree.read(file, 8_999, 10).unwrap(), [0; 4]);
}

#[test]
fn what_a_failed_sync_left_is_not_made_durable_by_the_next_one() {
    let mut tree = Tree::new(1 << 20);
    let file = tree.make_file(ROOT, name("file"), 0o600).unwrap();
    tree.write(file, 0, &[1; 5_000]).unwrap();
    tree.sync(file).unwrap();
    tree.sync(ROOT).unwrap();
    tree.write(file, 0, &[2; 10]).unwrap();
    tree.fail_sync(file);
    tree.write(file, 4_500, &[3; 10]).unwrap();
    tree.sync(file).unwrap();
    tree.lose();
    assert_eq!(tree.read(file, 0, 1).unwrap(), [1]);
    assert_eq!(tree.read(file, 4_500, 1).unwrap(), [3]);
}

#[test]
fn space_is_counted_and_given_back() {
    let mut tree = Tree::new(16 << 12);
    let file = tree.make_file(ROOT, name("file"), 0o600).unwrap();
    tree.reserve(file, 0, 10 << 12).unwrap();
    assert_eq!(tree.space(), (16, 6));
    assert_eq!(tree.about(file).unwrap().len, 0);
    tree.write(file, 0, &[1; 9 << 12]).unwrap();
    assert_eq!(tree.write(file, 10 << 12, &[1; 7 << 12]), Err(Errno::NOSPC));
    tree.resize(file, 1).unwrap();
    assert_eq!(tree.space(), (16, 15));
    tree.unlink(ROOT, name("file")).unwrap();
    assert_eq!(tree.space(), (16, 16));
    assert_eq!(tree.about(file), Err(Errno::NOENT));
}

#[test]
fn our_mounts_are_known_by_their_source() {
    let mounts = "30 25 0:26 / /sys rw shared:7 - sysfs sysfs rw\n\
                  41 25 0:40 / /tmp/a\\040b/n1 rw,nosuid - fuse keelson-jepsen-disk rw,user_id=0\n\
                  42 25 0:41 / /mnt rw - fuse other rw\n";
    assert_eq!(ours(mounts), [std::path::Path::new("/tmp/a b/n1")]);
}

/// As the log and RocksDB use a disk. Where a machine gives none, that is refused, and `list` says so too.
#[test]
fn a_mounted_disk_does_what_a_store_asks_and_forgets_what_was_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("disk");
    let mounted = match (Mounted::new(&at), why_not()) {
        (Ok(mounted), None) => mounted,
        (Err(_), Some(_)) => return,
        (mounted, why) => panic!("{:?}, and yet {why:?}", mounted.err()),
    };
    remove_stale();
    let folder = at.join("a/b");
    fs::create_dir_all(&folder).unwrap();
    let sync = |path: &std::path::Path| File::open(path).unwrap().sync_all().unwrap();
    let lock = File::create(folder.join("LOCK")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut file = File::options();
    let file = file.read(true).write(true).create(true);
    let file = file.open(folder.join("1.tmp")).unwrap();
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    file.write_all_at(&bytes, 4_096).unwrap();
    file.sync_all().unwrap();
    fs::rename(folder.join("1.tmp"), folder.join("1.log")).unwrap();
    fs::hard_link(folder.join("1.log"), folder.join("2.log")).unwrap();
    let mut other = File::create(folder.join("later")).unwrap();
    sync(&folder);
    sync(&at.join("a"));
    sync(&at);
    file.write_all_at(b"lost", 4_096).unwrap();
    other.write_all(b"lost").unwrap();
    fs::remove_file(folder.join("1.log")).unwrap();
    mounted.disk.set_faults(|faults| faults.is_full = true);
    let refused = File::create(folder.join("none")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    file.write_all_at(b"within what was reserved", 500_000)
        .unwrap();
    mounted.disk.set_faults(|faults| {
        faults.is_full = false;
        faults.eio = Some(Eio::Sync);
    });
    let failed = file.sync_data().unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(Errno::IO.raw_os_error()));
    mounted.disk.set_faults(|faults| {
        faults.eio = None;
        faults.delay = Duration::from_millis(50);
    });
    let begun = Instant::now();
    file.sync_data().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(mounted.disk.hits(), 3);
    mounted
        .disk
        .set_faults(|faults| faults.delay = Duration::ZERO);
    drop((file, other, lock));
    mounted.disk.lose();
    let names = fs::read_dir(&folder).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1.log", "2.log", "LOCK", "later"]);
    let read = fs::read(folder.join("1.log")).unwrap();
    assert_eq!((read.len(), &read[4_096..204_096]), (1 << 20, &bytes[..]));
    assert_eq!(fs::read(folder.join("later")).unwrap(), b"");
    drop(mounted);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
}

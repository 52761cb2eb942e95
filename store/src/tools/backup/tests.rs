//! Files of changes against every torn tail and every flipped bit, and restores to every revision.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proto_etcd::mvccpb::event::EventType;
use proto_etcd::mvccpb::{Event, KeyValue};

use super::super::follow::{Changes, Seen};
use super::super::{file, folder, restore as whole};
use super::manifest::{self, Base, Manifest};
use super::segment::{Block, HEADER_BYTES, Header, Segment};
use super::{BackupError, RestoreOptions, chain, list, restore, verify};
use crate::tools::print::Format;

/// A base of etcd 3.5 at revision 10; see `tools/tests/restored.rs`.
const BASE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/bolt/testdata/etcd-3.5.snapshot"
);
const BASE_REVISION: i64 = 10;
const LAST_REVISION: i64 = 22;

/// Revision 11 puts `x`, 12 `y` on a lease together with `z`, 13 deletes `x`, then `x` again, and so on.
fn changes(revision: i64) -> Changes {
    let put = |key: &str, create_revision, version, lease| Event {
        r#type: EventType::Put as i32,
        kv: Some(KeyValue {
            key: key.to_owned().into(),
            create_revision,
            mod_revision: revision,
            version,
            value: Bytes::from(vec![b'v'; 40]),
            lease,
        }),
        prev_kv: None,
    };
    let events = match revision % 3 {
        2 => vec![put("x", revision, 1, 0)],
        0 => vec![
            put(&format!("y{revision}"), revision, 1, 77),
            put("z", 12, (revision - 9) / 3, 0),
        ],
        _ => vec![Event {
            r#type: EventType::Delete as i32,
            kv: Some(KeyValue {
                key: "x".into(),
                mod_revision: revision,
                ..Default::default()
            }),
            prev_kv: None,
        }],
    };
    Changes { revision, events }
}

/// A backup with two files of changes: up to 16, and from 17 on, three blocks each.
fn backup() -> (tempfile::TempDir, Manifest) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(BASE, dir.path().join("base-1.db")).unwrap();
    let checksum = file::checksum(Path::new(BASE)).unwrap();
    let mut manifest = Manifest::new(5);
    let mut segments = Vec::new();
    for (number, first_revision) in [(0, 11), (1, 17)] {
        let name = format!("changes-1-{first_revision}-{number}.log");
        let header = Header {
            cluster_id: 5,
            base: 1,
            first_revision,
        };
        let mut segment = Segment::create(&dir.path().join(&name), header).unwrap();
        for pair in 0..3 {
            let granted = Seen {
                id: 77,
                granted_ttl_s: 500,
            };
            let first = first_revision + pair * 2;
            let block = Block {
                granted: if pair == 0 { vec![granted] } else { vec![] },
                gone: vec![],
                changes: vec![changes(first), changes(first + 1)],
            };
            segment.append(&block).unwrap();
        }
        segments.push(manifest::Segment {
            file: name,
            first_revision,
            // As left by a run that died: the second file has more than was noted.
            last_revision: 16,
            bytes: if number == 0 {
                segment.bytes
            } else {
                HEADER_BYTES
            },
        });
    }
    manifest.bases.push(Base {
        number: 1,
        file: "base-1.db".into(),
        taken: "2026-01-01T00:00:00Z".into(),
        bytes: 0,
        sha256: checksum
            .found
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        revision: BASE_REVISION,
        auth_revision: 1,
        segments,
    });
    manifest.store(dir.path()).unwrap();
    (dir, manifest)
}

fn walk(dir: &Path, manifest: &Manifest) -> Result<(i64, u64), BackupError> {
    let mut next = BASE_REVISION;
    let walked = chain::walk(dir, manifest, &manifest.bases[0], |block| {
        for found in block.changes {
            next += 1;
            assert_eq!(found, changes(next), "nothing else than was written");
        }
        Ok::<_, BackupError>(ControlFlow::Continue(()))
    })?;
    assert_eq!(walked.last_revision, next);
    Ok((walked.last_revision, walked.torn_bytes))
}

fn segment_path(dir: &Path, manifest: &Manifest, number: usize) -> PathBuf {
    dir.join(&manifest.bases[0].segments[number].file)
}

#[test]
fn a_torn_tail_costs_the_last_block_alone_and_is_written_over() {
    let (dir, manifest) = backup();
    let path = segment_path(dir.path(), &manifest, 1);
    let good = std::fs::read(&path).unwrap();
    assert_eq!(walk(dir.path(), &manifest).unwrap(), (LAST_REVISION, 0));
    let mut seen = Vec::new();
    for len in (36..good.len()).rev() {
        std::fs::write(&path, &good[..len]).unwrap();
        let (last, torn) = walk(dir.path(), &manifest).unwrap();
        assert!([16, 18, 20].contains(&last), "{len}: {last}");
        seen.push(last);
        let kept = len as u64 - torn;
        let mut again = Segment::resume(&path, kept).unwrap();
        again
            .append(&Block {
                changes: vec![changes(last + 1)],
                ..Block::default()
            })
            .unwrap();
        assert_eq!(walk(dir.path(), &manifest).unwrap(), (last + 1, 0));
    }
    seen.dedup();
    assert_eq!(seen, [20, 18, 16]);
    // What a file system may make of a file that it did not finish.
    let mut blank = good.clone();
    blank.extend([0; 5000]);
    std::fs::write(&path, &blank).unwrap();
    assert_eq!(walk(dir.path(), &manifest).unwrap(), (LAST_REVISION, 5000));
    // But for the header, which is on disk before the file is named.
    std::fs::write(&path, &good[..20]).unwrap();
    let error = walk(dir.path(), &manifest).unwrap_err().to_string();
    assert!(error.contains("header is cut short"), "{error}");
}

#[test]
fn what_was_on_disk_may_not_be_missing() {
    let (dir, manifest) = backup();
    let path = segment_path(dir.path(), &manifest, 0);
    let good = std::fs::read(&path).unwrap();
    for len in [good.len() - 1, good.len() / 2, 36] {
        std::fs::write(&path, &good[..len]).unwrap();
        let error = walk(dir.path(), &manifest).unwrap_err().to_string();
        assert!(error.contains("it is cut short"), "{len}: {error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = walk(dir.path(), &manifest).unwrap_err().to_string();
    assert!(
        error.contains("changes-1-11-0.log is damaged at byte 0 (it is missing): of this base, revisions 10 to 10"),
        "{error}"
    );
}

#[test]
fn every_flipped_bit_is_found_and_named() {
    let (dir, manifest) = backup();
    for number in [0, 1] {
        let path = segment_path(dir.path(), &manifest, number);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            match walk(dir.path(), &manifest) {
                Err(BackupError::Damaged {
                    path: named, last, ..
                }) => {
                    assert_eq!(named, path);
                    let span = if number == 0 { 10..=14 } else { 16..=20 };
                    assert!(span.contains(&last), "{number} {at}: {last}");
                }
                // The end of a file that nobody had noted: as good as not finished.
                Ok((20, torn)) if number == 1 && torn > 0 => {}
                other => panic!("byte {at} of file {number}: {other:?}"),
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
    let path = dir.path().join("MANIFEST");
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bad).unwrap();
        let loaded = Manifest::load(dir.path());
        // A letter of the checksum may be written in another case.
        assert!(
            loaded.is_err() || loaded.unwrap().as_ref() == Some(&manifest),
            "{at}"
        );
    }
}

fn target(root: &Path) -> whole::Options {
    whole::Options {
        file: PathBuf::new(),
        name: "m1".into(),
        data_dir: root.to_owned(),
        wal_dir: None,
        initial_cluster: "m1=http://h1:2380".into(),
        cluster_token: "token".into(),
        peer_urls: "http://h1:2380".into(),
        skips_hash_check: false,
        bump_revision: 0,
    }
}

#[tokio::test]
async fn every_revision_can_be_restored() {
    let (dir, _) = backup();
    let out = tempfile::tempdir().unwrap();
    let options = |revision: i64| RestoreOptions {
        dir: dir.path().to_owned(),
        revision,
        target: target(&out.path().join(revision.to_string())),
    };
    let mut clusters = Vec::new();
    for revision in [10, 11, 12, 13, 18, 19, 21, 22, 0] {
        let options = options(revision);
        let (identity, imported) = restore(&options).await.unwrap();
        let at = if revision == 0 {
            LAST_REVISION
        } else {
            revision
        };
        assert_eq!(imported.head.revision, at);
        clusters.push(identity.cluster_id);
        let folder = folder::open(&options.target.data_dir, None, None).unwrap();
        let kvs = super::super::tests::all_at(&folder.view, 0).unwrap();
        let of = |key: &str| kvs.iter().find(|kv| kv.key == key);
        let x = of("x").map(|kv| (kv.mod_revision, kv.version));
        let expected = (11..=at)
            .rev()
            .find(|at| at % 3 != 0)
            .filter(|at| at % 3 == 2);
        assert_eq!(x, expected.map(|at| (at, 1)), "at {at}");
        let rounds = (at - 9) / 3;
        assert_eq!(of("z").map(|kv| kv.version), (rounds > 0).then_some(rounds));
        let attached = folder.view.lease(77);
        let keys = usize::try_from(rounds).unwrap();
        match attached {
            Some(lease) => assert_eq!((lease.keys.len(), lease.granted_ttl), (keys, 500)),
            None => assert_eq!(at, BASE_REVISION),
        }
    }
    // The newest was restored twice, the second time without being named.
    assert_eq!(clusters.pop(), clusters.last().copied());
    clusters.dedup();
    assert_eq!(clusters.len(), 8);
    for revision in [9, 23] {
        let error = restore(&options(revision)).await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "revision {revision} is not held: held are 10 to {} (base 1)",
                if revision == 9 { 16 } else { 22 }
            )
        );
        assert!(!options(revision).target.data_dir.exists());
    }
}

#[tokio::test]
async fn what_is_before_the_damage_can_be_restored_and_the_rest_is_refused() {
    let (dir, manifest) = backup();
    let path = segment_path(dir.path(), &manifest, 1);
    let mut bad = std::fs::read(&path).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut options = RestoreOptions {
        dir: dir.path().to_owned(),
        revision: 0,
        target: target(&out.path().join("m")),
    };
    let error = restore(&options).await.unwrap_err().to_string();
    let named = format!("{} is damaged at byte ", path.display());
    assert!(error.starts_with(&named), "{error}");
    assert!(
        error.ends_with("revisions 10 to 18 can still be restored"),
        "{error}"
    );
    assert!(!options.target.data_dir.exists());
    let error = verify(dir.path()).unwrap_err().to_string();
    assert!(error.starts_with(&named), "{error}");
    options.revision = 18;
    restore(&options).await.unwrap();

    let base = dir.path().join("base-1.db");
    let mut bad = std::fs::read(&base).unwrap();
    bad[20_000] ^= 1;
    std::fs::write(&base, &bad).unwrap();
    options.target.data_dir = out.path().join("other");
    let error = restore(&options).await.unwrap_err();
    let text = base::report(&error).to_string();
    assert!(
        text.starts_with(&format!("{} is damaged", base.display())),
        "{text}"
    );
    assert!(text.contains("expected sha256"), "{text}");
    assert!(!options.target.data_dir.exists());
}

#[test]
fn a_backup_is_listed_and_verified() {
    let (dir, _) = backup();
    assert_eq!(
        verify(dir.path()).unwrap(),
        "base 1: good, revisions 10 to 22, 16 changes after the snapshot\n"
    );
    let listed = list(dir.path(), Format::Simple).unwrap();
    let start = "base 1, taken 2026-01-01T00:00:00Z: revisions 10 to 22, ";
    assert!(listed.starts_with(start), "{listed}");
    let listed = list(dir.path(), Format::Json).unwrap();
    assert!(listed.contains(r#""last_revision":22"#), "{listed}");
    let empty = tempfile::tempdir().unwrap();
    let error = verify(empty.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("holds no backup: there is no MANIFEST in it"),
        "{error}"
    );
}

//! Files are put aside, pressed and deleted as lumberjack does it.

use std::path::Path;

use super::{Names, Old, Plan, Rotating, plan};
use crate::config::LogRotation;

const NONE: LogRotation = LogRotation {
    max_megabytes: 1,
    max_days: 0,
    max_backups: 0,
    local_time: false,
    compress: false,
};

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_full_file_is_put_aside_and_keeps_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/server.log");
    let file = Rotating::open(&path, NONE).unwrap();
    let half = vec![b'x'; 600 * 1024];
    file.write(&half).unwrap();
    file.write(b"first of the second\n").unwrap();
    file.write(&half).unwrap();
    let found = names(path.parent().unwrap());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("server-2") && found[0].ends_with(".log"),
        "{found:?}"
    );
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 600 * 1024);
    // One line larger than a whole file is written all the same.
    file.write(&vec![b'y'; 2 * 1024 * 1024]).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2 * 1024 * 1024);
}

#[test]
fn old_files_are_pressed_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.log");
    let aside = dir.path().join("server-2020-01-02T03-04-05.678.log");
    std::fs::write(&aside, "old").unwrap();
    std::fs::write(
        dir.path().join("other-2020-01-02T03-04-05.678.log"),
        "other",
    )
    .unwrap();
    let rotation = LogRotation {
        compress: true,
        ..NONE
    };
    let _file = Rotating::open(&path, rotation).unwrap();
    let pressed = dir.path().join("server-2020-01-02T03-04-05.678.log.gz");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // It goes once its pressed form is whole.
    while aside.exists() {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?}",
            names(dir.path())
        );
        std::thread::yield_now();
    }
    assert_eq!(names(dir.path()).len(), 3);
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(std::fs::File::open(&pressed).unwrap());
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    assert_eq!(text, "old");
}

#[test]
fn the_plan_counts_and_ages() {
    let old = |name: &str| {
        let names = Names {
            path: "/d/s.log".into(),
            is_local: false,
        };
        Old {
            name: name.to_owned(),
            at: names.time_of(name).unwrap(),
        }
    };
    let all = vec![
        old("s-2026-11-20T00-00-00.000.log.gz"),
        old("s-2026-11-25T00-00-00.000.log"),
        old("s-2026-11-24T00-00-00.000.log"),
        old("s-2026-11-25T00-00-00.000.log.gz"),
    ];
    let now = "2026-11-26T00:00:00Z".parse().unwrap();
    let of = |rotation| plan(all.clone(), rotation, now);
    assert_eq!(of(NONE), Plan::default());
    let two = of(LogRotation {
        max_backups: 2,
        ..NONE
    });
    assert_eq!(two.delete, ["s-2026-11-20T00-00-00.000.log.gz"]);
    let young = of(LogRotation {
        max_days: 3,
        compress: true,
        ..NONE
    });
    assert_eq!(young.delete, ["s-2026-11-20T00-00-00.000.log.gz"]);
    assert_eq!(
        young.press,
        [
            "s-2026-11-25T00-00-00.000.log",
            "s-2026-11-24T00-00-00.000.log"
        ]
    );
    for strange in [
        "s-.log",
        "s-2026.log",
        "t-2026-11-25T00-00-00.000.log",
        "s.log",
    ] {
        let names = Names {
            path: "/d/s.log".into(),
            is_local: false,
        };
        assert_eq!(names.time_of(strange), None, "{strange}");
    }
}

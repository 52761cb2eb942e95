//! Proves that faults follow from the seed, that every kind is drawn, and what harm to files does.

use std::collections::BTreeSet;
use std::fs;

use clap::ValueEnum;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::plan::{Cut, Jump, What, Who, bridged, next};
use super::{Nemesis, files};

#[test]
fn the_same_seed_gives_the_same_faults() {
    for nemesis in Nemesis::value_variants() {
        let draw = |seed| {
            let mut chance = StdRng::seed_from_u64(seed);
            let faults: Vec<_> = (0..50).map(|_| next(*nemesis, 5, &mut chance)).collect();
            faults
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}

#[test]
fn every_kind_is_drawn_and_none_names_a_member_that_is_not() {
    let mut chance = StdRng::seed_from_u64(7);
    let mut kinds = BTreeSet::new();
    for members in [1, 3, 5] {
        for _ in 0..200 {
            let who = match next(Nemesis::Kill, members, &mut chance).what {
                What::Kill(who) => who,
                other => panic!("{other:?}"),
            };
            if let Who::These(name, these) = who {
                kinds.insert(name);
                assert!(!these.is_empty() && these.iter().all(|at| *at < members));
            } else {
                kinds.insert("the leader");
            }
            let cut = match next(Nemesis::Partition, members, &mut chance).what {
                What::Partition(cut) => cut,
                other => panic!("{other:?}"),
            };
            kinds.insert(match cut {
                Cut::LeaderAlone => "leader alone",
                Cut::Halves(..) => "halves",
                Cut::Ring(_) => "ring",
                Cut::Bridge(_) => "bridge",
                Cut::Mute(_) => "mute",
                Cut::Deaf(_) => "deaf",
                Cut::Flapping(..) => "flapping",
            });
        }
    }
    assert_eq!(kinds.len(), 5 + 7, "{kinds:?}");
}

#[test]
fn a_bridge_sees_both_halves_and_they_do_not_see_each_other() {
    assert_eq!(
        bridged(&[3, 1, 2, 0, 4]),
        (&[3][..], &[1, 2][..], &[0, 4][..])
    );
    assert_eq!(bridged(&[2, 0, 1]), (&[2][..], &[0][..], &[1][..]));
}

#[test]
fn clocks_jump_strobe_and_drift_both_ways() {
    let mut chance = StdRng::seed_from_u64(7);
    let mut kinds = BTreeSet::new();
    for _ in 0..200 {
        let jump = match next(Nemesis::Clock, 3, &mut chance).what {
            What::Clock(_, jump) => jump,
            other => panic!("{other:?}"),
        };
        kinds.insert(match jump {
            Jump::By(_) => "jump",
            Jump::Strobe(..) => "strobe",
            Jump::Drift(0, percent) if (1..=20).contains(&percent) => "fast",
            Jump::Drift(0, percent) if (-20..=-1).contains(&percent) => "slow",
            Jump::Drift(..) => "from elsewhere",
        });
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[test]
fn a_torn_tail_leaves_what_was_written_and_a_flip_turns_one_bit() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("member/wal");
    fs::create_dir_all(&folder).unwrap();
    let log = folder.join("0.wal");
    let mut before = b"written to the log".to_vec();
    before.resize(4096, 0);
    fs::write(&log, &before).unwrap();
    files::tear(dir.path(), 1).unwrap();
    let torn = fs::read(&log).unwrap();
    assert_eq!(torn[..24], before[..24]);
    assert!(torn[24..61].iter().any(|byte| *byte != 0));
    assert!(torn[61..].iter().all(|byte| *byte == 0));
    files::flip(dir.path(), 1).unwrap();
    let flipped = fs::read(&log).unwrap();
    let bits: u32 = torn
        .iter()
        .zip(&flipped)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!(bits, 1);
}

//! Damaged files: an answer or an error, never a panic, a hang or a memory as large as the damage says.

use proptest::prelude::*;

use super::{Buckets, buckets, read, write};
use crate::Error;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn flipped_bytes_harm_nobody(
        buckets in buckets(300),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..12),
    ) {
        let mut file = write(&buckets, 1024);
        for (at, flip) in flips {
            let at = at.index(file.len());
            file[at] ^= flip;
        }
        let _ = read(&file);
    }

    #[test]
    fn damaged_headers_harm_nobody(
        buckets in buckets(300),
        page in any::<prop::sample::Index>(),
        at in 0_usize..64,
        bytes in any::<[u8; 8]>(),
    ) {
        let mut file = write(&buckets, 1024);
        let start = page.index(file.len() / 1024) * 1024 + at;
        file[start..start + 8].copy_from_slice(&bytes);
        let _ = read(&file);
    }

    #[test]
    fn a_file_that_was_cut_short_is_refused(
        buckets in buckets(300),
        len in any::<prop::sample::Index>(),
    ) {
        let file = write(&buckets, 1024);
        let cut = &file[..len.index(file.len())];
        let is_refused = matches!(read(cut), Err(Error::CutShort { .. } | Error::Meta(_)));
        prop_assert!(is_refused);
    }

    #[test]
    fn noise_is_refused(file in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert!(matches!(read(&file), Err(Error::Meta(_))));
    }
}

/// A file with one bucket of several levels.
fn deep() -> Vec<u8> {
    let rows = (0..3_000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![0; 30]));
    write(&Buckets::from([(b"key".to_vec(), rows.collect())]), 1024)
}

/// The pages of a kind.
fn pages(file: &[u8], flags: u8) -> Vec<usize> {
    let pages = file.chunks(1024).enumerate();
    pages
        .filter(|(_, page)| page[8] == flags)
        .map(|(page, _)| page)
        .collect()
}

#[test]
fn pages_that_lead_in_a_circle_end() {
    let mut file = deep();
    let branches = pages(&file, 1);
    let (first, last) = (branches[0], branches[branches.len() - 1]);
    assert!(branches.len() > 2);
    // The root's first child becomes the root itself, and a lower branch's child that branch.
    for branch in [first, last] {
        file[branch * 1024 + 24..branch * 1024 + 32]
            .copy_from_slice(&(branch as u64).to_le_bytes());
    }
    assert!(matches!(read(&file), Err(Error::Page { .. })));
}

#[test]
fn a_subtree_that_is_named_twice_is_noticed() {
    let mut file = deep();
    let branch = pages(&file, 1)[0];
    let child = file[branch * 1024 + 24..branch * 1024 + 32].to_vec();
    file[branch * 1024 + 40..branch * 1024 + 48].copy_from_slice(&child);
    assert!(matches!(
        read(&file),
        Err(Error::Page {
            fault: "keys smaller than the branch above tells",
            ..
        })
    ));
}

#[test]
fn an_overflow_beyond_the_file_takes_no_memory() {
    let mut file = deep();
    let leaf = pages(&file, 2)[0];
    file[leaf * 1024 + 12..leaf * 1024 + 16].fill(0xff);
    assert!(matches!(
        read(&file),
        Err(Error::Page {
            fault: "it goes on beyond the last page",
            ..
        })
    ));
}

#[test]
fn one_damaged_meta_page_leaves_the_other() {
    let file = deep();
    let whole = read(&file).unwrap();
    for page in [0, 1] {
        let mut damaged = file.clone();
        damaged[page * 1024 + 40] ^= 1;
        assert_eq!(read(&damaged).unwrap(), whole, "page {page}");
    }
    let mut damaged = file;
    damaged[40] ^= 1;
    damaged[1024 + 40] ^= 1;
    assert!(matches!(read(&damaged), Err(Error::Meta("checksum error"))));
}

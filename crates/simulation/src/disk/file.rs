//! A file's bytes: as a process reads them, and as they would be found after a loss of power.

use rand::Rng;
use rand::rngs::StdRng;

/// A disk writes so many bytes at once.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Len(usize),
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// What the disk has not been told to keep yet, in order.
    unsynced: Vec<Change>,
}

impl Content {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], at: usize) -> bool {
        let found = at
            .checked_add(buffer.len())
            .and_then(|end| self.live.get(at..end));
        let Some(found) = found else { return false };
        buffer.copy_from_slice(found);
        true
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        put(&mut self.live, bytes, at);
        self.unsynced.push(Change::Write {
            at,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.live.resize(len, 0);
        self.unsynced.push(Change::Len(len));
    }

    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { at, bytes } => put(&mut self.durable, &bytes, at),
                Change::Len(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// A sync that failed: the pages count as clean and are never written.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// The power goes: of each change some sectors reached the disk, or all, or none. True if anything
    /// was lost.
    pub(super) fn lose(&mut self, chance: &mut StdRng) -> bool {
        let share = match chance.random_range(0..4) {
            0 => 0.0,
            1 => 1.0,
            _ => chance.random_range(0.1..0.9),
        };
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { at, bytes } => {
                    for (nth, sector) in bytes.chunks(SECTOR).enumerate() {
                        if chance.random_bool(share) {
                            put(&mut self.durable, sector, at + nth * SECTOR);
                        }
                    }
                }
                Change::Len(len) => {
                    if chance.random_bool(share) {
                        self.durable.resize(len, 0);
                    }
                }
            }
        }
        let lost = self.live != self.durable;
        self.live.clone_from(&self.durable);
        lost
    }
}

fn put(into: &mut Vec<u8>, bytes: &[u8], at: usize) {
    let end = at + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[at..end].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn what_was_synced_stays_and_the_rest_may_go() {
        let (mut lost, mut kept, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let mut content = Content::default();
            content.write(&[1; 2 * SECTOR], 0);
            content.sync();
            content.write(&[2; 4 * SECTOR], 2 * SECTOR);
            let is_lost = content.lose(&mut StdRng::seed_from_u64(seed));
            let mut first = [0; 2 * SECTOR];
            assert!(content.read(&mut first, 0));
            assert_eq!(first, [1; 2 * SECTOR]);
            let twos = content.live.iter().filter(|byte| **byte == 2).count();
            assert_eq!(is_lost, twos < 4 * SECTOR);
            match twos / SECTOR {
                0 => lost += 1,
                4 => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(lost > 20 && kept > 20 && torn > 20, "{lost} {kept} {torn}");
    }

    #[test]
    fn what_a_failed_sync_forgot_is_lost_with_the_power_alone() {
        let mut content = Content::default();
        content.write(&[1; 10], 0);
        content.fail_sync();
        content.write(&[2; 10], 10);
        content.sync();
        let mut all = [0; 20];
        assert!(content.read(&mut all, 0));
        assert_eq!(all[..10], [1; 10]);
        assert!(content.lose(&mut StdRng::seed_from_u64(1)));
        assert!(content.read(&mut all, 0));
        assert_eq!(all[..10], [0; 10]);
        assert_eq!(all[10..], [2; 10]);
    }
}

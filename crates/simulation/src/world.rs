//! What all parts of one run share: the members, what lies between them, and what was noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::consensus::Member;

use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::member::Node;

/// The members of a cluster.
pub(crate) const MEMBERS: usize = 3;

/// How long a message that meets a broken link is waited for by who sent it.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// How often a held message looks whether it may go on.
const HELD_LOOK: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct World {
    pub(crate) disks: Vec<Disk>,
    pub(crate) members: Vec<Member>,
    pub(crate) ledger: Mutex<Ledger>,
    /// Entries after which a member flushes, and which it keeps for others all the same.
    pub(crate) flush_entries: u64,
    pub(crate) catchup_entries: u64,
    nodes: Mutex<Vec<Option<Arc<Node>>>>,
    links: Mutex<Links>,
    chance: Mutex<StdRng>,
    numbers: AtomicU64,
}

#[derive(Default)]
struct Links {
    /// From, to.
    broken: BTreeSet<(usize, usize)>,
    slow: BTreeMap<(usize, usize), Duration>,
    slow_disks: BTreeMap<usize, Duration>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let members = (1..=MEMBERS as u64).map(|id| Member {
            id,
            name: format!("m{id}"),
            peer_urls: vec![format!("http://m{id}:2380")],
            ..Member::default()
        });
        Self {
            disks: (0..MEMBERS).map(|_| Disk::new(chance.random())).collect(),
            members: members.collect(),
            ledger: Mutex::default(),
            flush_entries: chance.random_range(10..80),
            catchup_entries: chance.random_range(0..40),
            nodes: Mutex::new((0..MEMBERS).map(|_| None).collect()),
            links: Mutex::default(),
            chance: Mutex::new(chance),
            numbers: AtomicU64::new(0),
        }
    }

    /// A number that nothing else has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Chance of its own for one part of the run.
    pub(crate) fn fork(&self) -> StdRng {
        StdRng::seed_from_u64(self.chance.lock().random())
    }

    /// Decides something.
    pub(crate) fn decide<T>(&self, how: impl FnOnce(&mut StdRng) -> T) -> T {
        how(&mut self.chance.lock())
    }

    /// The member with that place, if it runs.
    pub(crate) fn node(&self, nth: usize) -> Option<Arc<Node>> {
        let nodes = self.nodes.lock();
        nodes[nth].clone().filter(|node| node.mount.is_alive())
    }

    /// Puts a member that runs in its place.
    pub(crate) fn put(&self, nth: usize, node: Arc<Node>) {
        self.nodes.lock()[nth] = Some(node);
    }

    /// Takes what is in a place.
    pub(crate) fn take(&self, nth: usize) -> Option<Arc<Node>> {
        self.nodes.lock()[nth].take()
    }

    /// The place of the member that leads in the highest term, as far as anybody knows.
    pub(crate) fn leader(&self) -> Option<usize> {
        let known = (0..MEMBERS).filter_map(|nth| {
            let (term, leader) = self.node(nth)?.running.leader();
            (leader? == self.members[nth].id).then_some((term, nth))
        });
        known.max().map(|(_, nth)| nth)
    }

    /// Breaks a link in one direction.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        self.links.lock().broken.insert((from, to));
    }

    /// Makes a link slow in one direction.
    pub(crate) fn slow(&self, from: usize, to: usize, by: Duration) {
        self.links.lock().slow.insert((from, to), by);
    }

    /// Makes a disk slow.
    pub(crate) fn slow_disk(&self, nth: usize, by: Duration) {
        self.links.lock().slow_disks.insert(nth, by);
    }

    /// Mends all links and disks.
    pub(crate) fn mend(&self) {
        *self.links.lock() = Links::default();
        self.disks.iter().for_each(Disk::mend);
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.links.lock().broken.contains(&(from, to))
    }

    /// Carries a message. False if it is lost, which takes as long as its sender waits; a message that a
    /// broken link holds may also arrive when the link is mended.
    pub(crate) async fn transit(&self, from: usize, to: usize) -> bool {
        let (delay, is_held) = self.decide(|chance| {
            let micros = match chance.random_range(0..20) {
                0 => chance.random_range(2_000..40_000),
                _ => chance.random_range(50..2_000),
            };
            (Duration::from_micros(micros), chance.random_bool(0.3))
        });
        let slow = self.links.lock().slow.get(&(from, to)).copied();
        SimRuntime::sleep(delay + slow.unwrap_or_default()).await;
        if !self.is_cut(from, to) {
            return true;
        }
        if !is_held {
            SimRuntime::sleep(LOST_AFTER).await;
            return false;
        }
        while self.is_cut(from, to) {
            SimRuntime::sleep(HELD_LOOK).await;
        }
        true
    }

    /// The time that the disk takes for one write.
    pub(crate) async fn disk_time(&self, nth: usize) {
        let micros = self.decide(|chance| match chance.random_range(0..30) {
            0 => chance.random_range(2_000..30_000),
            _ => chance.random_range(50..2_000),
        });
        let slow = self.links.lock().slow_disks.get(&nth).copied();
        SimRuntime::sleep(Duration::from_micros(micros) + slow.unwrap_or_default()).await;
    }
}

//! What goes wrong in a run, by chance: processes end, power goes, links break, disks are slow or fail.

use std::sync::Arc;
use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use proto_etcd::etcdserverpb::{CompactionRequest, InternalRaftRequest};
use rand::Rng;
use rand::rngs::StdRng;

use crate::ask::Client;
use crate::disk::End;
use crate::member;
use crate::record::Record;
use crate::world::{MEMBERS, World};

/// A process that is to end within a call gets so long to make it.
const WITHIN: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(5);
/// Revisions that a compaction leaves.
const REVISIONS_KEPT: i64 = 20;

/// Breaks things until it is dropped.
pub(crate) struct Faults {
    pub(crate) world: Arc<World>,
    pub(crate) record: Arc<Record>,
    pub(crate) chance: StdRng,
}

fn millis(chance: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(chance.random_range(from..to))
}

impl Faults {
    /// Does one fault after another, and mends each. The first one is a loss of the leader's power.
    pub(crate) async fn run(mut self) {
        SimRuntime::sleep(millis(&mut self.chance, 300, 1500)).await;
        self.lose_power_of_leader().await;
        loop {
            let quiet = millis(&mut self.chance, 100, 1500);
            self.mend_after(quiet).await;
            match self.chance.random_range(0..12) {
                0..=2 => self.lose_power_of_leader().await,
                3 => self.end_some(End::PowerLoss, MEMBERS),
                4 => {
                    let count = self.chance.random_range(1..MEMBERS);
                    self.end_some(End::PowerLoss, count);
                }
                5 => self.end_some(End::Kill, 1),
                6 => self.fail_sync(),
                7 => self.compact().await,
                8 => self.slow(),
                _ => self.partition(),
            }
            let time = millis(&mut self.chance, 200, 3000);
            SimRuntime::sleep(time).await;
        }
    }

    /// Starts what is down and mends what is broken.
    pub(crate) async fn mend(&self) {
        self.world.mend();
        for nth in 0..MEMBERS {
            if self.world.node(nth).is_none() {
                // What is left of a process that ended by itself.
                drop(self.world.take(nth));
                self.record.mended("start", format!("m{}", nth + 1));
                if let Err(error) = member::start(&self.world, nth).await {
                    self.world.ledger.lock().broken.push(format!("{error:#}"));
                }
            }
        }
    }

    async fn mend_after(&mut self, quiet: Duration) {
        self.record.mended("mend", String::new());
        self.mend().await;
        SimRuntime::sleep(quiet).await;
    }

    fn any(&mut self) -> usize {
        self.chance.random_range(0..MEMBERS)
    }

    /// In the midst of a call to its disk, if it makes one.
    async fn lose_power_of_leader(&mut self) {
        let any = self.any();
        let nth = self.world.leader().unwrap_or(any);
        self.world.disks[nth].end_in(self.chance.random_range(0..40));
        let mut waited = Duration::ZERO;
        while self.world.node(nth).is_some() && waited < WITHIN {
            SimRuntime::sleep(LOOK).await;
            waited += LOOK;
        }
        self.end(nth, End::PowerLoss);
    }

    fn end(&self, nth: usize, how: End) {
        let lost = member::end(&self.world, nth, how);
        let text = match (how, lost) {
            (End::Kill, _) => "kill",
            (End::PowerLoss, true) => "power-loss, data lost",
            (End::PowerLoss, false) => "power-loss",
        };
        self.record.fault(text, format!("m{}", nth + 1));
    }

    fn end_some(&mut self, how: End, count: usize) {
        let first = self.any();
        for nth in (first..first + count).map(|nth| nth % MEMBERS) {
            self.end(nth, how);
        }
    }

    fn fail_sync(&mut self) {
        let nth = self.any();
        self.world.disks[nth].fail_sync();
        self.record.fault("sync-fails", format!("m{}", nth + 1));
    }

    fn slow(&mut self) {
        let (nth, by) = (self.any(), millis(&mut self.chance, 5, 400));
        if self.chance.random_bool(0.5) {
            self.world.slow_disk(nth, by);
            self.record.fault("slow-disk", format!("m{}", nth + 1));
            return;
        }
        for other in (0..MEMBERS).filter(|other| *other != nth) {
            self.world.slow(nth, other, by);
            self.world.slow(other, nth, by);
        }
        self.record.fault("slow-links", format!("m{}", nth + 1));
    }

    fn partition(&mut self) {
        let any = self.any();
        let nth = match self.chance.random_bool(0.6) {
            true => self.world.leader().unwrap_or(any),
            false => any,
        };
        let others = (0..MEMBERS).filter(|other| *other != nth);
        // Alone, only heard, only hearing, or away from one other.
        let (name, links): (_, Vec<(usize, usize)>) = match self.chance.random_range(0..5) {
            0 | 1 => (
                "partition",
                others
                    .flat_map(|other| [(nth, other), (other, nth)])
                    .collect(),
            ),
            2 => ("deaf", others.map(|other| (other, nth)).collect()),
            3 => ("mute", others.map(|other| (nth, other)).collect()),
            _ => {
                let other = (nth + 1) % MEMBERS;
                ("pair", vec![(nth, other), (other, nth)])
            }
        };
        for (from, to) in links {
            self.world.cut(from, to);
        }
        self.record.fault(name, format!("m{}", nth + 1));
    }

    async fn compact(&mut self) {
        let at = self.any();
        let Some(node) = self.world.node(at) else {
            return;
        };
        let revision = node.view.revision() - REVISIONS_KEPT;
        if revision <= node.view.compact_revision() {
            return;
        }
        let request = InternalRaftRequest {
            compaction: Some(CompactionRequest {
                revision,
                physical: false,
            }),
            ..InternalRaftRequest::default()
        };
        self.record.fault("compact", revision.to_string());
        let client = Client {
            world: &self.world,
            at,
        };
        // Done or not, it changes nothing that is judged.
        let _ = client.write(&request).await;
    }
}

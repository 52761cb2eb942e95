//! One member: the store's log, state machine and openraft, and the tasks that take their steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use rand::Rng;
use store::apply::{Collecting, Machine, MachineOptions, View};
use store::consensus::stepwise::{self, Applier, RaftLeaderId, Raw, Running};
use store::consensus::{
    AppliedState, Committed, ConsensusConfig, Fatal, LogId, Member, StateMachine,
};
use store::disk::FileSystem;
use store::log::{Log, Options, Writer};
use tokio::sync::Notify;

use crate::disk::{End, Mount, TableOpener};
use crate::network::Network;
use crate::world::World;

/// Small, so that a run fills several.
const SEGMENT_BYTES: u64 = 16 << 10;
/// Less than a run writes, so that older entries are read from the disk.
const CACHE_BYTES: usize = 8 << 10;
const HEARTBEAT_MS: u64 = 50;
const ELECTION_MS: u64 = 500;

openraft::declare_raft_types!(
    /// The store's types on the simulated runtime.
    pub(crate) SimTypes:
        D = Raw,
        R = Raw,
        NodeId = u64,
        Node = Member,
        LeaderId = RaftLeaderId,
        AsyncRuntime = SimRuntime,
);

impl stepwise::Types for SimTypes {}

/// A member that runs.
pub(crate) struct Node {
    pub(crate) running: Running<SimTypes>,
    pub(crate) view: View,
    pub(crate) mount: Mount,
    wake: Arc<Notify>,
}

/// Starts the member in that place. None if its process ended meanwhile.
pub(crate) async fn start(world: &Arc<World>, nth: usize) -> Result<()> {
    let mount = world.disks[nth].mount();
    match start_on(world, nth, &mount).await {
        Ok(node) => {
            tend(world, nth, &node);
            world.put(nth, node);
            Ok(())
        }
        // Whatever it says: the process ended.
        Err(_) if !mount.is_alive() => Ok(()),
        Err(error) => Err(error.context(format!("member {} does not start", nth + 1))),
    }
}

async fn start_on(world: &Arc<World>, nth: usize, mount: &Mount) -> Result<Arc<Node>> {
    let files: Arc<dyn FileSystem> = Arc::new(mount.clone());
    for left in files.list(Path::new("/staging"))? {
        files.remove_dir_all(&left)?;
    }
    let options = MachineOptions {
        files: files.clone(),
        opener: Arc::new(TableOpener(mount.clone())),
        quota_bytes: None,
        collecting: Collecting::AtOnce,
        ..MachineOptions::default()
    };
    let (machine, view) = Machine::open(Path::new("/state"), options)?;
    let member = &world.members[nth];
    let machine = Watched {
        machine,
        world: world.clone(),
        member: member.id,
    };
    let config = ConsensusConfig {
        member_id: member.id,
        cluster_id: 1,
        heartbeat_ms: HEARTBEAT_MS,
        election_ms: ELECTION_MS,
        snapshot_count: world.flush_entries,
        snapshot_catchup_entries: world.catchup_entries,
        ..ConsensusConfig::default()
    };
    let log_options = Options {
        files,
        segment_bytes: SEGMENT_BYTES,
        cache_bytes_max: CACHE_BYTES,
        ..Options::new(PathBuf::from("/log"))
    };
    let (wake, synced) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waker = wake.clone();
    let (opened, writer, applier) = stepwise::open::<SimTypes>(
        &config,
        &log_options,
        Box::new(machine),
        Box::new(move || waker.notify_one()),
    )?;
    let writing = Writing {
        world: world.clone(),
        nth,
        mount: mount.clone(),
        wake: wake.clone(),
        synced: synced.clone(),
    };
    drop(SimRuntime::spawn(apply(
        applier,
        opened.log(),
        writing.clone(),
    )));
    drop(SimRuntime::spawn(write(writer, writing)));
    let network = Network::new(world.clone(), nth, mount.clone());
    let running = opened.start(network).await.context("openraft")?;
    Ok(Arc::new(Node {
        running,
        view,
        mount: mount.clone(),
        wake,
    }))
}

/// Ends the member in that place. True if what was not synced was lost.
pub(crate) fn end(world: &World, nth: usize, how: End) -> bool {
    let lost = world.disks[nth].end(how);
    if let Some(node) = world.take(nth) {
        // Its tasks find their disk gone.
        node.wake.notify_one();
        drop(SimRuntime::spawn(async move {
            // What remains of it touches nothing any more.
            let _ = node.running.raft().shutdown().await;
        }));
    }
    lost
}

/// The tasks beside a member that runs.
fn tend(world: &Arc<World>, nth: usize, node: &Arc<Node>) {
    let flushing = Arc::downgrade(node);
    drop(SimRuntime::spawn(async move {
        while let Some(node) = flushing.upgrade()
            && node.running.flush_when_due().await
        {}
    }));
    let (node, world) = (node.clone(), Arc::downgrade(world));
    drop(SimRuntime::spawn(async move {
        let why = node.running.failed().await;
        let Some(world) = world.upgrade().filter(|_| node.mount.is_alive()) else {
            return;
        };
        if !world.disks[nth].has_failed() {
            let text = format!("member {} cannot go on: {why}", nth + 1);
            world.ledger.lock().broken.push(text);
        }
        // As the store does, the process ends at once.
        end(&world, nth, End::Kill);
    }));
}

/// What the tasks that write need.
#[derive(Clone)]
struct Writing {
    world: Arc<World>,
    nth: usize,
    mount: Mount,
    wake: Arc<Notify>,
    synced: Arc<Notify>,
}

/// The log's thread, in steps.
async fn write(mut writer: Writer, at: Writing) {
    loop {
        at.wake.notified().await;
        loop {
            at.world.disk_time(at.nth).await;
            let wrote = writer.step();
            at.synced.notify_waiters();
            if !wrote {
                break;
            }
        }
        if !at.mount.is_alive() {
            return;
        }
    }
}

/// The state machine's thread, in steps.
async fn apply(mut applier: Applier<SimTypes>, log: Log, at: Writing) {
    loop {
        let next = applier.next().await;
        if let Some(index) = next.needs_durable() {
            loop {
                let synced = at.synced.notified();
                if log.is_durable(index).is_some() {
                    break;
                }
                synced.await;
            }
        }
        let micros = at.world.decide(|chance| chance.random_range(10..500));
        SimRuntime::sleep(Duration::from_micros(micros)).await;
        if !at.mount.is_alive() || !applier.take(next) {
            return;
        }
    }
}

/// The store's state machine, watched: the ledger is told of what it applies.
struct Watched {
    machine: Machine,
    world: Arc<World>,
    member: u64,
}

impl StateMachine for Watched {
    fn applied_state(&mut self) -> Result<AppliedState, Fatal> {
        self.machine.applied_state()
    }

    fn apply(&mut self, entry: Committed) -> Result<Bytes, Fatal> {
        let reply = self.machine.apply(entry.clone())?;
        self.world.ledger.lock().applied(self.member, &entry);
        Ok(reply)
    }

    fn flush(&mut self) -> Result<Option<LogId>, Fatal> {
        self.machine.flush()
    }

    fn checkpoint(&mut self, dir: &Path) -> Result<AppliedState, Fatal> {
        self.machine.checkpoint(dir)
    }

    fn install(&mut self, dir: PathBuf) -> Result<AppliedState, Fatal> {
        let state = self.machine.install(dir)?;
        self.world.ledger.lock().snapshots += 1;
        Ok(state)
    }
}

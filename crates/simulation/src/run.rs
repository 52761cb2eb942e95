//! One run: a cluster, its clients and its faults, from one number.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jepsen_tests::{Event, Kind, Options, Process, Verdict, Workload, judge};
use openraft_rt::{AsyncRuntime, Instant as _};
use openraft_rt_sim::{SimInstant, SimRuntime};
use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::mvccpb::KeyValue;
use rand::Rng;
use rand::rngs::StdRng;
use sha1::{Digest, Sha1};

use crate::ask::{Client, Refusal};
use crate::faults::Faults;
use crate::member;
use crate::panics;
use crate::record::Record;
use crate::workload::{self, Plan};
use crate::world::{MEMBERS, World};

/// Operations that a run acknowledges before its faults end.
const OPERATIONS: u64 = 200;
/// It ends all the same by then, on its own clock.
const LONGEST: Duration = Duration::from_secs(180);
/// After the last fault the members agree by then.
const AGREE_WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
const CLIENTS: usize = 5;

/// What runs add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Operations that clients asked for.
    pub operations: u64,
    /// Those that they were told are done.
    pub acknowledged: u64,
    /// Faults.
    pub faults: u64,
    /// Terms that had a leader.
    pub elections: u64,
    /// Whole states sent from member to member and installed.
    pub snapshots: u64,
    /// Losses of power that took what was not synced.
    pub losses: u64,
    /// Runs with both a second leader and such a loss.
    pub hard_runs: u64,
}

/// What came of one run.
#[derive(Debug)]
pub struct Outcome {
    /// Of its history; the same for the same seed.
    pub digest: [u8; 20],
    /// What happened in it.
    pub totals: Totals,
    /// Promises broken, in words; none in a good run.
    pub broken: Vec<String>,
    /// Its history.
    pub events: Vec<Event>,
}

impl Totals {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.faults += other.faults;
        self.elections += other.elections;
        self.snapshots += other.snapshots;
        self.losses += other.losses;
        self.hard_runs += other.hard_runs;
    }
}

/// Runs the cluster that `seed` describes.
pub fn run_seed(seed: u64) -> Outcome {
    panics::note();
    let mut runtime = SimRuntime::with_seed(seed);
    let (world, workload, record) = runtime.block_on(async move {
        let world = Arc::new(World::new(seed));
        let record = Arc::new(Record::default());
        let workload = match world.decide(|chance| chance.random_bool(0.5)) {
            true => Workload::VersionedRegister,
            false => Workload::Append,
        };
        drive(&world, &record, workload).await;
        (world, workload, record)
    });
    let (events, faults) = record.take();
    let mut outcome = conclude(&world, workload, events, faults);
    drop(runtime);
    outcome.broken.extend(panics::take());
    outcome
}

fn conclude(world: &World, workload: Workload, events: Vec<Event>, faults: u64) -> Outcome {
    let mut broken = std::mem::take(&mut world.ledger.lock().broken);
    broken.dedup();
    let options = Options {
        workload: Some(workload),
        ..Options::default()
    };
    match judge(&events, options).verdict {
        Verdict::Valid => {}
        Verdict::Violated(findings) => broken.push(format!("{findings:?}")),
        Verdict::Unknown(why) => broken.push(format!("could not be judged: {why}")),
    }
    let of_clients = |kind: Kind| {
        let is_one =
            |event: &&Event| matches!(event.process, Process::Client(_)) && event.kind == kind;
        events.iter().filter(is_one).count() as u64
    };
    let ledger = world.ledger.lock();
    let elections = ledger.elections() as u64;
    let losses = world.disks.iter().map(crate::disk::Disk::losses).sum();
    Outcome {
        digest: digest(&events),
        totals: Totals {
            operations: of_clients(Kind::Invoke),
            acknowledged: of_clients(Kind::Ok),
            faults,
            elections,
            snapshots: ledger.snapshots,
            losses,
            hard_runs: u64::from(elections > 1 && losses > 0),
        },
        broken,
        events,
    }
}

/// Over everything that was asked, answered and done, and when.
fn digest(events: &[Event]) -> [u8; 20] {
    let mut hash = Sha1::new();
    for event in events {
        hash.update(line(event));
    }
    hash.finalize().into()
}

/// An event for people, and for the digest.
pub fn line(event: &Event) -> String {
    let process = match &event.process {
        Process::Client(number) => number.to_string(),
        Process::Named(name) => name.clone(),
    };
    let kind = match event.kind {
        Kind::Invoke => "invoke",
        Kind::Ok => "ok",
        Kind::Fail => "fail",
        Kind::Info => "info",
    };
    let time = event.time_ns.unwrap_or_default();
    let error = event.error.as_ref().map(ToString::to_string);
    let error = error.unwrap_or_default();
    format!(
        "{time:>12} {process:<8} {kind:<6} {} {} {error}\n",
        event.f, event.value
    )
}

async fn drive(world: &Arc<World>, record: &Arc<Record>, workload: Workload) {
    let faults = Faults {
        world: world.clone(),
        record: record.clone(),
        chance: world.fork(),
    };
    faults.mend().await;
    if let Some(first) = world.node(0)
        && let Err(error) = first.running.begin(&world.members).await
    {
        world.ledger.lock().broken.push(error.to_string());
    }
    drop(SimRuntime::spawn(watch(Arc::downgrade(world))));
    let keys = world.decide(|chance| chance.random_range(2..7));
    let shared = Arc::new(Shared {
        world: world.clone(),
        record: record.clone(),
        workload,
        keys,
        acknowledged: AtomicU64::new(0),
        values: AtomicI64::new(0),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|nth| SimRuntime::spawn(shared.clone().client(nth % MEMBERS, world.fork())))
        .collect();
    let mending = Faults {
        world: world.clone(),
        record: record.clone(),
        chance: world.fork(),
    };
    let work = async {
        for client in clients {
            // A client that panicked is a fault of the simulation: the judge finds its operation open.
            let _ = client.await;
        }
    };
    tokio::select! { biased;
        () = work => {}
        () = faults.run() => {}
    }
    record.mended("mend", "the end".to_owned());
    mending.mend().await;
    agree(world, &mending).await;
    shared.read_all().await;
}

/// Notes who leads.
async fn watch(world: std::sync::Weak<World>) {
    while let Some(world) = world.upgrade() {
        for nth in 0..MEMBERS {
            if let Some(node) = world.node(nth) {
                let (term, leader) = node.running.leader();
                let id = world.members[nth].id;
                if leader == Some(id) {
                    world.ledger.lock().leads(term, id);
                }
            }
        }
        drop(world);
        SimRuntime::sleep(LOOK).await;
    }
}

/// Waits until all members hold the same.
async fn agree(world: &Arc<World>, mending: &Faults) {
    let begun = SimInstant::now();
    loop {
        match difference(world) {
            None => return,
            Some(text) if SimInstant::now() - begun > AGREE_WITHIN => {
                world.ledger.lock().broken.push(format!(
                    "{} s after the last fault the members differ: {text}",
                    AGREE_WITHIN.as_secs()
                ));
                return;
            }
            Some(_) => {}
        }
        // A member whose disk had failed may have ended only now.
        mending.mend().await;
        SimRuntime::sleep(LOOK).await;
    }
}

/// How the members differ.
fn difference(world: &World) -> Option<String> {
    if world.leader().is_none() {
        return Some("nobody leads".to_owned());
    }
    let mut first: Option<Held> = None;
    for nth in 0..MEMBERS {
        let held = match held(world, nth) {
            Ok(held) => held,
            Err(text) => return Some(text),
        };
        let other = first.get_or_insert_with(|| held.clone());
        if *other != held {
            return Some(format!(
                "member {} has applied {} and holds revision {}, member 1 has applied {} and holds {}",
                nth + 1,
                held.applied,
                held.revision,
                other.applied,
                other.revision
            ));
        }
    }
    None
}

/// What a member holds.
#[derive(Clone, PartialEq)]
struct Held {
    applied: u64,
    revision: i64,
    kvs: Vec<KeyValue>,
}

fn held(world: &World, nth: usize) -> Result<Held, String> {
    let node = world
        .node(nth)
        .ok_or_else(|| format!("member {} is down", nth + 1))?;
    let everything = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        ..RangeRequest::default()
    };
    let answer = node.view.range(&everything);
    Ok(Held {
        applied: node.running.applied(),
        revision: node.view.revision(),
        kvs: answer.map_err(|error| error.to_string())?.kvs,
    })
}

/// What clients share.
struct Shared {
    world: Arc<World>,
    record: Arc<Record>,
    workload: Workload,
    keys: i64,
    acknowledged: AtomicU64,
    values: AtomicI64,
}

impl Shared {
    /// One client at one member, until enough is acknowledged.
    async fn client(self: Arc<Self>, at: usize, mut chance: StdRng) {
        let begun = SimInstant::now();
        let mut process = self.record.process();
        while self.acknowledged.load(Ordering::Relaxed) < OPERATIONS
            && SimInstant::now() - begun < LONGEST
        {
            let mut fresh = || self.values.fetch_add(1, Ordering::Relaxed);
            let plan = workload::plan(self.workload, self.keys, &mut chance, &mut fresh);
            process = self.operate(process, at, &plan).await;
            SimRuntime::sleep(Duration::from_millis(chance.random_range(1..250))).await;
        }
    }

    /// One operation; who the client is afterwards.
    async fn operate(&self, process: i64, at: usize, plan: &Plan) -> i64 {
        let (f, asked) = plan.asked();
        self.record
            .note(process, Kind::Invoke, f, asked.clone(), None);
        let client = Client {
            world: &self.world,
            at,
        };
        match plan.act(&client).await {
            Ok(told) => {
                self.record.note(process, Kind::Ok, f, told, None);
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                process
            }
            Err(Refusal::Info(text)) if !plan.is_read() => {
                self.record.note(process, Kind::Info, f, asked, Some(text));
                self.record.process()
            }
            Err(Refusal::Fail(text) | Refusal::Info(text)) => {
                self.record.note(process, Kind::Fail, f, asked, Some(text));
                process
            }
        }
    }

    /// Reads every key once, at some member.
    async fn read_all(&self) {
        let process = self.record.process();
        for key in 0..self.keys {
            let plan = workload::last_read(self.workload, key);
            let at = self.world.decide(|chance| chance.random_range(0..MEMBERS));
            self.operate(process, at, &plan).await;
        }
        // The members that still run are let go of, so that nothing holds the world.
        for nth in 0..MEMBERS {
            member::end(&self.world, nth, crate::disk::End::Kill);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_keep_every_promise_and_are_what_they_should_be() {
        let mut totals = Totals::default();
        let count = 20;
        for seed in 0..count {
            let outcome = run_seed(seed);
            assert_eq!(outcome.broken, [""; 0], "seed {seed}");
            assert!(outcome.totals.operations >= 200, "seed {seed}");
            totals.add(&outcome.totals);
        }
        assert!(totals.hard_runs * 2 >= count, "{totals:?}");
        assert!(totals.snapshots > 0 && totals.faults > count, "{totals:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_history() {
        for seed in [3, 4] {
            let (first, again) = (run_seed(seed), run_seed(seed));
            assert_eq!(first.digest, again.digest, "seed {seed}");
            assert_ne!(first.digest, run_seed(seed + 10).digest);
        }
    }
}

//! The forty scenarios that a store has to live through, by the numbers they have been given, and how
//! each is run.

use crate::check::Workload;
use crate::nemesis::Nemesis;

use Nemesis::{
    BitFlip, Certificates, Clock, Compact, Cpu, Defrag, Delay, FullDisk, Kill, Lag, LoseUnsynced,
    Membership, Partition, Pause, Restart, SlowDisk, SnapshotCrash, TornTail,
};
use Workload::{
    Append, Auth, Election, Lease, LeaseMass, Lock, Overload, QuorumLoss, Quota, Restore,
    Serializable, Set, Tls, VersionedRegister, Watch, WatchFuture, WatchStarved, Wr,
};

/// One scenario.
pub(crate) struct Entry {
    /// As `--scenario` takes it.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
    /// How it is run.
    pub(crate) how: Run,
}

/// How a scenario is run: by these workloads, each under all of these faults, on so many members.
pub(crate) struct Run(
    pub(crate) &'static [Workload],
    pub(crate) &'static [Nemesis],
    pub(crate) usize,
);

const fn entry(name: &'static str, what: &'static str, how: Run) -> Entry {
    Entry { name, what, how }
}

/// All of them, in their order.
pub(crate) const FORTY: [Entry; 40] = [
    entry(
        "register",
        "versioned registers, linearizable, with revisions that rise",
        Run(&[VersionedRegister], &[Kill, Partition], 3),
    ),
    entry(
        "append",
        "transactions that append to lists and read them, strictly serializable",
        Run(&[Append], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "wr",
        "transactions that read and write registers, nested in part, strictly serializable",
        Run(&[Wr], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "set",
        "elements added and read as a range: none lost, none stale",
        Run(&[Set], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "serializable",
        "reads without consensus equal the state at the revision they name",
        Run(&[Serializable], &[Partition, Kill], 3),
    ),
    entry(
        "pause",
        "members stopped for longer than an election answer nothing stale afterwards",
        Run(&[VersionedRegister], &[Pause], 3),
    ),
    entry(
        "clock",
        "wall clocks of members that jump and strobe",
        Run(&[VersionedRegister, Lease], &[Clock, Pause], 3),
    ),
    entry(
        "deposed-leader",
        "a leader cut off alone ends no lease and acknowledges nothing",
        Run(&[Lease, VersionedRegister], &[Partition, Pause], 3),
    ),
    entry(
        "odd-partitions",
        "one-way, ring, bridge and flapping partitions of five members",
        Run(&[VersionedRegister, Append, Set], &[Partition, Delay], 5),
    ),
    entry(
        "watch",
        "watchers see every change once, whole and in order, across resumes",
        Run(&[Watch], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "watch-snapshot",
        "watchers go on at another member after a partition that a snapshot ended",
        Run(&[Watch], &[Lag], 3),
    ),
    entry(
        "watch-progress",
        "progress is never ahead of what a watcher was told",
        Run(&[Watch], &[Pause, Delay], 3),
    ),
    entry(
        "watch-starved",
        "a watcher that does not read loses nothing, or is told so",
        Run(&[WatchStarved], &[Kill, Partition], 3),
    ),
    entry(
        "watch-compaction",
        "watchers at the edge of compactions",
        Run(&[Watch], &[Compact, Kill], 3),
    ),
    entry(
        "watch-future",
        "watches of revisions that are yet to come stay silent until then",
        Run(&[WatchFuture], &[Kill, Partition], 3),
    ),
    entry(
        "compaction-race",
        "transactions race compactions, and all members hold the same",
        Run(&[Wr, Watch], &[Compact, Pause], 3),
    ),
    entry(
        "compaction-crash",
        "kills while compactions run: revisions never go back",
        Run(&[VersionedRegister, Watch], &[Compact, Kill], 3),
    ),
    entry(
        "crash-in-apply",
        "kills under load, on one member alone: each write applied once",
        Run(&[VersionedRegister, Set], &[Kill], 1),
    ),
    entry(
        "defrag-crash",
        "kills while defragmentations run",
        Run(&[Append], &[Defrag, Kill], 3),
    ),
    entry(
        "unsynced-loss",
        "what was not yet on the disk is lost by all members at once",
        Run(&[Append, VersionedRegister, Set], &[LoseUnsynced], 3),
    ),
    entry(
        "torn-tail",
        "a record of the log that was begun and not ended, on one member",
        Run(&[Append], &[TornTail, Partition], 3),
    ),
    entry(
        "bit-flip",
        "a bit of one member's files is turned: it is found, never read as a value",
        Run(&[VersionedRegister], &[BitFlip], 3),
    ),
    entry(
        "full-disk",
        "no space left, and then again some",
        Run(&[Append], &[FullDisk], 3),
    ),
    entry(
        "slow-disk",
        "syncs that take up to seconds, on the leader or a follower",
        Run(&[VersionedRegister], &[SlowDisk], 3),
    ),
    entry(
        "snapshot-crash",
        "snapshots shortly after each other, sender or receiver killed",
        Run(&[Append, Watch], &[SnapshotCrash], 3),
    ),
    entry(
        "membership",
        "members come, are promoted, replaced and go, under load",
        Run(
            &[Append, VersionedRegister],
            &[Membership, Kill, Partition],
            5,
        ),
    ),
    entry(
        "lock",
        "locks with fencing: no update is lost, no lock is given that has ended",
        Run(&[Lock], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "election",
        "at most one leader by the election service, and observers see each",
        Run(&[Election], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "lease",
        "leases end neither before their time nor long after, keys all at once",
        Run(&[Lease], &[Kill, Pause], 3),
    ),
    entry(
        "lease-mass",
        "up to two hundred thousand leases that end at once, through changes of the leader",
        Run(&[LeaseMass], &[Kill, Pause], 3),
    ),
    entry(
        "admin",
        "compaction, defragmentation and hashes under load and faults",
        Run(&[Append, Watch], &[Compact, Defrag, Kill, Partition], 3),
    ),
    entry(
        "snapshot-restore",
        "a snapshot under load is restored as another cluster",
        Run(&[Restore], &[Kill, Partition], 3),
    ),
    entry(
        "quorum-loss",
        "a majority is lost for ever, and the survivor goes on alone",
        Run(&[QuorumLoss], &[Kill], 3),
    ),
    entry(
        "rolling-restart",
        "members restarted one after the other, in order",
        Run(&[VersionedRegister, Append], &[Restart], 3),
    ),
    entry(
        "auth",
        "users and permissions change under load",
        Run(&[Auth], &[Kill, Partition, Pause], 3),
    ),
    entry(
        "quota",
        "the database is full, and every member says so alike",
        Run(&[Quota], &[Kill, Pause], 3),
    ),
    entry(
        "lost-answers",
        "answers that never come, by kills and pauses: nothing is applied twice",
        Run(&[Append, Set], &[Kill, Pause], 3),
    ),
    entry(
        "overload",
        "more than the members can do: what is refused never happened",
        Run(&[Overload], &[Cpu], 3),
    ),
    entry(
        "tls",
        "certificates that change, end and are revoked, and handshakes that stall",
        Run(&[Tls], &[Certificates], 3),
    ),
    entry(
        "chaos",
        "every fault that harms no files, at once, under each workload in turn",
        Run(
            &[
                VersionedRegister,
                Append,
                Wr,
                Set,
                Watch,
                Lease,
                Serializable,
                Lock,
            ],
            &[Kill, Pause, Partition, Delay, Restart, Compact, Defrag],
            3,
        ),
    ),
];

/// The scenario called so, with its number.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    FORTY.iter().find(|entry| entry.name == name)
}

impl Entry {
    /// What it needs of the machine and the cluster.
    pub(crate) fn needs(&self) -> &'static str {
        let Run(workloads, nemeses, _) = self.how;
        let control = nemeses.iter().any(|nemesis| nemesis.needs_control())
            || workloads.iter().any(|workload| workload.needs_control());
        match (self.needs_disks(), control) {
            (true, _) => "processes and disks of ours",
            (false, true) => "processes of ours",
            (false, false) => "any cluster",
        }
    }

    /// What this machine lacks for its faults.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        self.how.1.iter().find_map(|nemesis| nemesis.lacks())
    }

    /// Whether each member needs a disk of ours.
    pub(crate) fn needs_disks(&self) -> bool {
        self.how.1.iter().any(|nemesis| nemesis.needs_disks())
    }
}

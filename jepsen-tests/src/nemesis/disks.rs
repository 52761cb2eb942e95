//! Disks that forget, are full, are slow, or fail.

use anyhow::{Result, anyhow};

use super::act::{Done, Undo, done, names, resolve};
use super::plan::{What, Who};
use crate::disk::{Eio, Faults};
use crate::target::Cluster;

/// Disks that do something wrong.
pub(super) struct Broken {
    /// Whose, and how much each had suffered before.
    disks: Vec<(usize, u64)>,
    /// What mends them; another fault of them stays.
    mend: fn(&mut Faults),
    /// Whether a member may end because of it.
    excuses: bool,
}

/// Breaks disks as `what` says.
pub(super) async fn begin(cluster: &Cluster, what: &What) -> Result<Done> {
    match what {
        What::LoseUnsynced(who) => lose(cluster, who).await,
        What::FullDisk(who) => {
            let (told, members) = resolve(cluster, who).await?;
            let broken = Broken {
                disks: suffered(cluster, &members)?,
                mend: |faults| faults.is_full = false,
                // A store that cannot write may end, if it goes on when there is space again.
                excuses: true,
            };
            let told = format!("{told} {}", names(cluster, &members));
            hurt(cluster, told, broken, |faults| faults.is_full = true)
        }
        What::SlowDisk(who, delay) => {
            let (told, members) = resolve(cluster, who).await?;
            let broken = Broken {
                disks: suffered(cluster, &members)?,
                mend: |faults| faults.delay = Faults::default().delay,
                excuses: false,
            };
            let (names, ms) = (names(cluster, &members), delay.as_millis());
            let told = format!("{told} {names} by {ms} ms");
            hurt(cluster, told, broken, |faults| faults.delay = *delay)
        }
        What::Eio(one, what) => {
            let broken = Broken {
                disks: suffered(cluster, &[*one])?,
                mend: |faults| faults.eio = None,
                excuses: true,
            };
            let told = format!("{} of {}", what.told(), names(cluster, &[*one]));
            let done = hurt(cluster, told, broken, |faults| faults.eio = Some(*what))?;
            // A store that runs has what it needs in memory: it is at its start that it reads.
            if *what == Eio::Read && cluster.members()[*one].kill() {
                cluster.members()[*one].start()?;
            }
            Ok(done)
        }
        _ => Err(anyhow!("no fault of a disk")),
    }
}

async fn lose(cluster: &Cluster, who: &Who) -> Result<Done> {
    let (told, members) = resolve(cluster, who).await?;
    let mut did = Vec::new();
    for at in members {
        let member = &cluster.members()[at];
        let disk = member.disk()?;
        if member.kill_and(|| disk.lose()) {
            did.push(at);
        }
    }
    done(cluster, told, did, Undo::Start)
}

/// What faults have done to the disks of `members` so far.
fn suffered(cluster: &Cluster, members: &[usize]) -> Result<Vec<(usize, u64)>> {
    let hits = |at: &usize| Ok((*at, cluster.members()[*at].disk()?.hits()));
    members.iter().map(hits).collect()
}

fn hurt(
    cluster: &Cluster,
    told: String,
    broken: Broken,
    change: impl Fn(&mut Faults),
) -> Result<Done> {
    for (at, _) in &broken.disks {
        let member = &cluster.members()[*at];
        if broken.excuses {
            member.excuse();
        }
        member.disk()?.set_faults(&change);
    }
    Ok(Done {
        told,
        undo: Undo::Repair(broken),
    })
}

/// Mends disks. A member that may end by the fault, and was met by it, is started anew: it is no
/// longer what it was, whether it has ended yet or not.
pub(super) fn repair(cluster: &Cluster, broken: &Broken) -> Result<()> {
    for (at, hits_before) in &broken.disks {
        let member = &cluster.members()[*at];
        let disk = member.disk()?;
        disk.set_faults(broken.mend);
        if !broken.excuses {
            continue;
        }
        if disk.hits() > *hits_before {
            member.kill();
        }
        member.expect();
        member.start()?;
    }
    Ok(())
}

//! Faults that are no harm to processes and links alone: members that go and come, fall behind, have
//! clocks and processors of their own, and certificates.

use anyhow::{Result, anyhow};

use super::act::{Done, Undo, done, names, resolve};
use super::cpu::Group;
use super::plan::What;
use super::{certificates, lag, membership};
use crate::target::{Cluster, Wrong};

/// Does it. An error means that nothing was done.
pub(super) async fn begin(cluster: &Cluster, what: &What) -> Result<Done> {
    match what {
        What::Replace { who, via, by } => {
            let (told, members) = resolve(cluster, who).await?;
            let out = membership::shrink(cluster, &members, *via).await?;
            let by = *by;
            let told = format!("{told} {}, then back as {by:?}", names(cluster, &out));
            let undo = Undo::Rejoin(out, by);
            Ok(Done { told, undo })
        }
        What::Lag(one) => {
            let ahead = lag::cut_off(cluster, *one).await?;
            let told = format!("{} behind by {ahead} entries", names(cluster, &[*one]));
            let undo = Undo::Heal;
            Ok(Done { told, undo })
        }
        What::SnapshotCrash(one, victim, after) => {
            let killed = lag::crash(cluster, *one, *victim, *after).await?;
            done(cluster, format!("{victim:?}"), killed, Undo::Start)
        }
        What::Clock(who, jump) => {
            let (told, members) = resolve(cluster, who).await?;
            set_clocks(cluster, &members, jump.wrong())?;
            let told = format!("{told} {}: {jump:?}", names(cluster, &members));
            let undo = Undo::TrueTime(members);
            Ok(Done { told, undo })
        }
        What::Cpu(one, share_ms) => {
            let member = &cluster.members()[*one];
            let group = Group::of(member, *share_ms)?;
            let told = format!("{} {share_ms} %", member.name);
            let undo = Undo::Free { _group: group };
            Ok(Done { told, undo })
        }
        What::Certificates(what) => certificates::begin(cluster, *what).await,
        _ => Err(anyhow!("this is done elsewhere")),
    }
}

/// Says how wrong these members' wall clocks are from now on.
pub(super) fn set_clocks(cluster: &Cluster, members: &[usize], wrong: Wrong) -> Result<()> {
    for at in members {
        cluster.set_clock(*at, wrong)?;
    }
    Ok(())
}

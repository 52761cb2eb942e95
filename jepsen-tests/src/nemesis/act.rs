//! Does a fault, and undoes it.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{CompactionRequest, DefragmentRequest};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::cpu::Group;
use super::disks::{self, Broken};
use super::membership::{self, As};
use super::plan::{Cut, Fault, Jump, What, Who, bridged};
use super::{change, failpoints, files};
use crate::target::{Cluster, Rules, Target, Validity, Wrong};
use crate::wire::{Dial, range, revision};

/// Looks at a member that was restarted, before the next one goes down.
const RESTART_LOOKS: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const ADMIN_TIME_MAX: Duration = Duration::from_secs(10);

/// What was done, and what undoes it.
pub(super) struct Done {
    /// To whom, for people.
    pub(super) told: String,
    pub(super) undo: Undo,
}

pub(super) enum Undo {
    Nothing,
    Start(Vec<usize>),
    Resume(Vec<usize>),
    Heal,
    Hurry,
    Keep,
    Rejoin(Vec<usize>, As),
    TrueTime(Vec<usize>),
    /// Dropped, it sets its member free.
    Free {
        _group: Group,
    },
    /// Members get a good certificate again.
    Renew,
    /// Dropped, they are closed.
    HangUp {
        _stalled: Vec<TcpStream>,
    },
    Repair(Broken),
}

/// Does it. An error means that nothing was done.
pub(super) async fn begin(target: &Target, fault: &Fault) -> Result<Done> {
    match &fault.what {
        What::Compact { keeps, physical } => compact(target, *keeps, *physical).await,
        What::Defrag(member) => defrag(target, *member).await,
        what => {
            let cluster = target.cluster.as_deref();
            let cluster = cluster.context("the processes are not ours to break")?;
            break_cluster(cluster, what).await
        }
    }
}

async fn break_cluster(cluster: &Cluster, what: &What) -> Result<Done> {
    match what {
        What::Kill(who) => {
            let (told, members) = resolve(cluster, who).await?;
            let did: Vec<usize> = members
                .into_iter()
                .filter(|at| cluster.members()[*at].kill())
                .collect();
            done(cluster, told, did, Undo::Start)
        }
        What::Pause(who) => {
            let (told, members) = resolve(cluster, who).await?;
            let did: Vec<usize> = members
                .into_iter()
                .filter(|at| cluster.members()[*at].pause())
                .collect();
            done(cluster, told, did, Undo::Resume)
        }
        What::Partition(cut) => partition(cluster, cut).await,
        What::Delay(who, by) => {
            let (told, members) = resolve(cluster, who).await?;
            let delay = |rules: &mut Rules| {
                for from in &members {
                    (0..cluster.members().len()).for_each(|to| rules.delay(*from, to, *by));
                }
            };
            cluster.change_links(delay).await?;
            let told = format!(
                "{told} {} by {} ms",
                names(cluster, &members),
                by.as_millis()
            );
            Ok(Done {
                told,
                undo: Undo::Hurry,
            })
        }
        What::Loss(who, percent) => loss(cluster, who, *percent).await,
        What::Restart => restart(cluster).await,
        What::TornTail(member, chance) => {
            let data = cluster.members()[*member].data.clone();
            harm(cluster, *member, || files::tear(&data, *chance))
        }
        What::BitFlip(member, chance) => {
            let data = cluster.members()[*member].data.clone();
            harm(cluster, *member, || files::flip(&data, *chance))
        }
        What::Replace { .. }
        | What::Lag(_)
        | What::SnapshotCrash(..)
        | What::Clock(..)
        | What::Cpu(..)
        | What::Certificates(_) => change::begin(cluster, what).await,
        What::LoseUnsynced(_) | What::FullDisk(_) | What::SlowDisk(..) | What::Eio(..) => {
            disks::begin(cluster, what).await
        }
        What::Failpoint(one, choice) => failpoints::begin(cluster, *one, *choice).await,
        What::Compact { .. } | What::Defrag(_) => Err(anyhow!("needs no control of processes")),
    }
}

pub(super) fn done(
    cluster: &Cluster,
    told: String,
    did: Vec<usize>,
    undo: fn(Vec<usize>) -> Undo,
) -> Result<Done> {
    if did.is_empty() {
        return Err(anyhow!("none of them runs"));
    }
    let told = format!("{told} {}", names(cluster, &did));
    Ok(Done {
        told,
        undo: undo(did),
    })
}

pub(super) fn names(cluster: &Cluster, members: &[usize]) -> String {
    let names: Vec<&str> = members
        .iter()
        .map(|at| cluster.members()[*at].name.as_str())
        .collect();
    names.join(",")
}

pub(super) async fn resolve(cluster: &Cluster, who: &Who) -> Result<(String, Vec<usize>)> {
    match who {
        Who::These(name, members) => Ok(((*name).to_owned(), members.clone())),
        Who::Leader => {
            let leader = cluster.leader().await.context("nobody leads now")?;
            Ok(("the leader".to_owned(), vec![leader]))
        }
    }
}

async fn loss(cluster: &Cluster, who: &Who, percent: u32) -> Result<Done> {
    let (told, members) = resolve(cluster, who).await?;
    let lose = |rules: &mut Rules| {
        for one in &members {
            for other in 0..cluster.members().len() {
                rules.lose(*one, other, percent);
                rules.lose(other, *one, percent);
            }
        }
    };
    cluster.change_links(lose).await?;
    let told = format!("{told} {}, {percent} %", names(cluster, &members));
    let undo = Undo::Keep;
    Ok(Done { told, undo })
}

async fn partition(cluster: &Cluster, cut: &Cut) -> Result<Done> {
    let count = cluster.members().len();
    let others =
        |of: &[usize]| -> Vec<usize> { (0..count).filter(|at| !of.contains(at)).collect() };
    let mut rules = Rules::default();
    let told = match cut {
        Cut::LeaderAlone => {
            let leader = [cluster.leader().await.context("nobody leads now")?];
            rules.cut(&leader, &others(&leader));
            format!("the leader {} alone", names(cluster, &leader))
        }
        Cut::Halves(order, first) | Cut::Flapping(order, first, _) => {
            let (one, other) = order.split_at((*first).min(order.len()));
            rules.cut(one, other);
            let how = if matches!(cut, Cut::Halves(..)) {
                ""
            } else {
                ", flapping"
            };
            format!(
                "{} from {}{how}",
                names(cluster, one),
                names(cluster, other)
            )
        }
        Cut::Ring(order) => {
            for (place, member) in order.iter().enumerate() {
                for (other_place, other) in order.iter().enumerate() {
                    let apart = place.abs_diff(other_place);
                    if apart > 1 && apart < count - 1 {
                        rules.hold(*member, *other);
                    }
                }
            }
            format!("ring {}", names(cluster, order))
        }
        Cut::Bridge(order) => {
            let (one, half, other) = bridged(order);
            rules.cut(half, other);
            let (one, half) = (names(cluster, one), names(cluster, half));
            format!("bridge {one}, {half} from {}", names(cluster, other))
        }
        Cut::Mute(one) => {
            others(&[*one])
                .into_iter()
                .for_each(|other| rules.hold(*one, other));
            format!("one way, nothing from {}", names(cluster, &[*one]))
        }
        Cut::Deaf(one) => {
            others(&[*one])
                .into_iter()
                .for_each(|other| rules.hold(other, *one));
            format!("one way, nothing to {}", names(cluster, &[*one]))
        }
    };
    cluster.change_links(|now| now.hold_as(&rules)).await?;
    Ok(Done {
        told,
        undo: Undo::Heal,
    })
}

/// Lets a flapping partition or a strobing clock come and go until it is to end; every other fault
/// just lasts.
pub(super) async fn last(target: &Target, fault: &Fault, done: &Done, stop: &CancellationToken) {
    let until = tokio::time::Instant::now() + fault.lasts;
    let pause = async {
        let Some(cluster) = &target.cluster else {
            return tokio::time::sleep_until(until).await;
        };
        match (&fault.what, &done.undo) {
            (What::Partition(Cut::Flapping(order, first, each)), _) => {
                let (one, other) = order.split_at((*first).min(order.len()));
                // A change that fails is told when it fails to be undone.
                while tokio::time::Instant::now() < until {
                    sleep(*each).await;
                    let _ = cluster.change_links(Rules::heal).await;
                    sleep(*each).await;
                    let _ = cluster.change_links(|rules| rules.cut(one, other)).await;
                }
            }
            (What::Clock(_, Jump::Strobe(ms, each)), Undo::TrueTime(members)) => {
                let mut is_wrong = true;
                while tokio::time::Instant::now() < until {
                    sleep(*each).await;
                    is_wrong = !is_wrong;
                    let wrong = Wrong {
                        by_ms: if is_wrong { *ms } else { 0 },
                        ..Wrong::default()
                    };
                    // The file was there a moment ago.
                    let _ = change::set_clocks(cluster, members, wrong);
                }
            }
            _ => tokio::time::sleep_until(until).await,
        }
    };
    tokio::select! { biased;
        () = stop.cancelled() => {}
        () = pause => {}
    }
}

/// Undoes it.
pub(super) async fn end(target: &Target, done: &Done) -> Result<()> {
    let Some(cluster) = &target.cluster else {
        return Ok(());
    };
    match &done.undo {
        Undo::Nothing | Undo::Free { .. } | Undo::HangUp { .. } => {}
        Undo::Renew => {
            let pki = cluster.pki().context("members have no certificates")?;
            pki.renew(Validity::Good)?;
        }
        Undo::Heal => cluster.change_links(Rules::heal).await?,
        Undo::Hurry => cluster.change_links(Rules::hurry).await?,
        Undo::Keep => cluster.change_links(Rules::keep).await?,
        Undo::Repair(broken) => disks::repair(cluster, broken)?,
        Undo::Start(members) => {
            for at in members {
                cluster.members()[*at].start()?;
            }
        }
        Undo::Resume(members) => {
            for at in members {
                cluster.members()[*at].resume();
            }
        }
        Undo::Rejoin(members, by) => membership::grow(cluster, members, *by).await?,
        Undo::TrueTime(members) => change::set_clocks(cluster, members, Wrong::default())?,
    }
    Ok(())
}

/// One after the other, each only when the one before answers again.
async fn restart(cluster: &Cluster) -> Result<Done> {
    for member in cluster.members() {
        if !member.is_started() {
            continue;
        }
        member.end().await;
        member.start()?;
        // Another nemesis may keep it from answering: then the next one goes down all the same.
        for _ in 0..RESTART_LOOKS {
            if crate::wire::probe(&member.url).await.is_ok() {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(Done {
        told: "each member in turn".to_owned(),
        undo: Undo::Nothing,
    })
}

fn harm(cluster: &Cluster, member: usize, harm: impl FnOnce() -> Result<String>) -> Result<Done> {
    let stopped = &cluster.members()[member];
    if !stopped.kill() {
        return Err(anyhow!("{} does not run", stopped.name));
    }
    match harm() {
        Ok(what) => Ok(Done {
            told: format!("{}: {what}", stopped.name),
            undo: Undo::Start(vec![member]),
        }),
        Err(error) => {
            stopped.start()?;
            Err(error)
        }
    }
}

async fn compact(target: &Target, keeps: i64, physical: bool) -> Result<Done> {
    let asked = async {
        let mut last = anyhow!("no member");
        for url in &target.urls {
            match compact_by(url, keeps, physical).await {
                Ok(told) => return Ok(told),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let told = timeout(ADMIN_TIME_MAX, asked)
        .await
        .context("no answer in time")??;
    Ok(Done {
        told,
        undo: Undo::Nothing,
    })
}

async fn compact_by(url: &str, keeps: i64, physical: bool) -> Result<String> {
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    let mut client = KvClient::new(channel);
    let now = timeout(Duration::from_secs(2), client.range(range("jepsen-probe"))).await??;
    let at = revision(now.into_inner().header.as_ref())
        .saturating_sub(keeps)
        .max(1);
    let request = CompactionRequest {
        revision: at,
        physical,
    };
    client.compact(request).await?;
    Ok(format!("at revision {at}"))
}

async fn defrag(target: &Target, member: usize) -> Result<Done> {
    let url = target
        .urls
        .get(member % target.urls.len())
        .context("no member")?;
    let channel = Dial::new(url).channel().await.context("nobody answers")?;
    let mut client = MaintenanceClient::new(channel);
    timeout(ADMIN_TIME_MAX, client.defragment(DefragmentRequest {})).await??;
    Ok(Done {
        told: format!("member {}", member + 1),
        undo: Undo::Nothing,
    })
}

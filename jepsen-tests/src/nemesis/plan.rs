//! What to do next: from chance alone, without a look at the cluster.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::Nemesis;
use super::certificates::Certificates;
use super::lag::Victim;
use super::membership::As;
use crate::disk::Eio;
use crate::target::{REVOCABLE, Wrong};

/// Between two faults of one nemesis.
const REST_MS: std::ops::Range<u64> = 500..3_000;
/// As long as a fault lasts: from less than an election to several.
const LASTS_MS: std::ops::Range<u64> = 500..5_000;
/// More than any program has.
const PLACES_MAX: usize = 10_000;
const DELAY_MS: std::ops::Range<u64> = 20..400;
/// From a bad line to one that hardly passes anything.
const LOSS_PERCENT: std::ops::Range<u32> = 5..60;
/// From the start of a member that needs a snapshot to the kill that is to meet it.
const AFTER_START_MS: std::ops::Range<u64> = 50..1_500;
/// What a clock that is driven by a bad crystal, or pulled back hard, may do at the worst.
const DRIFT_PERCENT_MAX: i64 = 20;
const STROBE_MS: std::ops::Range<u64> = 5..200;
/// Of each hundred milliseconds of a processor.
const CPU_MS: std::ops::Range<u32> = 2..20;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Before it begins.
    pub(super) rest: Duration,
    /// Until it is undone.
    pub(super) lasts: Duration,
    pub(super) what: What,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Kill(Who),
    Pause(Who),
    Partition(Cut),
    Delay(Who, Duration),
    /// So many percent.
    Loss(Who, u32),
    Restart,
    /// Keeps so many of the latest revisions.
    Compact {
        keeps: i64,
        physical: bool,
    },
    Defrag(usize),
    TornTail(usize, u64),
    BitFlip(usize, u64),
    /// These are removed, as the member `via` is asked to, and new ones take their places.
    Replace {
        who: Who,
        via: usize,
        by: As,
    },
    Lag(usize),
    SnapshotCrash(usize, Victim, Duration),
    Clock(Who, Jump),
    Cpu(usize, u32),
    Certificates(Certificates),
    LoseUnsynced(Who),
    FullDisk(Who),
    SlowDisk(Who, Duration),
    Eio(usize, Eio),
    /// A member, and which of its places.
    Failpoint(usize, usize),
}

/// What a wall clock does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    /// Is wrong by so many milliseconds.
    By(i64),
    /// Is wrong and right again each so long.
    Strobe(i64, Duration),
    /// Is wrong by so many milliseconds, and from there on runs too fast by so many percent.
    Drift(i64, i64),
}

/// To whom; members by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Leader,
    These(&'static str, Vec<usize>),
}

/// Which links are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    LeaderAlone,
    /// The first so many of these are cut off from the rest.
    Halves(Vec<usize>, usize),
    /// Each hears and is heard by its neighbours in this order alone.
    Ring(Vec<usize>),
    /// The first of these sees all, and the others are halves that do not see each other.
    Bridge(Vec<usize>),
    /// What the first sends does not reach the others.
    Mute(usize),
    /// What others send does not reach this one.
    Deaf(usize),
    /// The halves, again and again for so long each.
    Flapping(Vec<usize>, usize, Duration),
}

impl Jump {
    /// What the clock is told first.
    pub(super) fn wrong(&self) -> Wrong {
        let (by_ms, fast_percent) = match self {
            Self::By(ms) | Self::Strobe(ms, _) => (*ms, 0),
            Self::Drift(ms, percent) => (*ms, *percent),
        };
        Wrong {
            by_ms,
            fast_percent,
        }
    }
}

impl What {
    /// To whom, as far as chance says.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Kill(who)
            | Self::Pause(who)
            | Self::Delay(who, _)
            | Self::Loss(who, _)
            | Self::Replace { who, .. }
            | Self::Clock(who, _)
            | Self::LoseUnsynced(who)
            | Self::FullDisk(who)
            | Self::SlowDisk(who, _) => match who {
                Who::Leader => "the leader".to_owned(),
                Who::These(name, members) => format!("{name} {}", numbers(members)),
            },
            Self::Partition(cut) => match cut {
                Cut::LeaderAlone => "the leader alone".to_owned(),
                Cut::Halves(all, first) => halves(all, *first),
                Cut::Ring(all) => format!("ring {}", numbers(all)),
                Cut::Bridge(all) => bridge(all),
                Cut::Mute(one) => format!("one way, nothing from {}", numbers(&[*one])),
                Cut::Deaf(one) => format!("one way, nothing to {}", numbers(&[*one])),
                Cut::Flapping(all, first, each) => {
                    format!(
                        "{}, flapping each {} ms",
                        halves(all, *first),
                        each.as_millis()
                    )
                }
            },
            Self::Restart => "each member in turn".to_owned(),
            Self::Certificates(what) => what.told(),
            Self::Compact { keeps, .. } => format!("all but {keeps} revisions"),
            Self::Eio(one, what) => format!("{} of {}", what.told(), numbers(&[*one])),
            Self::Failpoint(one, _) => format!("a failpoint of {}", numbers(&[*one])),
            Self::Defrag(one)
            | Self::TornTail(one, _)
            | Self::BitFlip(one, _)
            | Self::Lag(one)
            | Self::SnapshotCrash(one, ..)
            | Self::Cpu(one, _) => numbers(&[*one]),
        }
    }
}

fn bridge(all: &[usize]) -> String {
    let (one, half, other) = bridged(all);
    let (one, half, other) = (numbers(one), numbers(half), numbers(other));
    format!("bridge {one}, {half} from {other}")
}

/// The member that sees all, and the two halves.
pub(super) fn bridged(order: &[usize]) -> (&[usize], &[usize], &[usize]) {
    let (one, others) = order.split_at(order.len().min(1));
    let (half, other) = others.split_at(others.len() / 2);
    (one, half, other)
}

fn halves(all: &[usize], first: usize) -> String {
    let (one, other) = all.split_at(first.min(all.len()));
    format!("{} from {}", numbers(one), numbers(other))
}

fn numbers(members: &[usize]) -> String {
    let names: Vec<String> = members
        .iter()
        .map(|member| format!("n{}", member + 1))
        .collect();
    names.join(",")
}

/// The next fault of `nemesis` on a cluster of `members`.
pub(super) fn next(nemesis: Nemesis, members: usize, chance: &mut StdRng) -> Fault {
    let ms = |range: std::ops::Range<u64>, chance: &mut StdRng| {
        Duration::from_millis(chance.random_range(range))
    };
    let one = chance.random_range(0..members);
    // Always the same, so that files of a minority alone are ever harmed.
    let last = members.saturating_sub(1);
    Fault {
        rest: ms(REST_MS, chance),
        lasts: ms(LASTS_MS, chance),
        what: match nemesis {
            Nemesis::Kill => What::Kill(who(members, chance)),
            Nemesis::Pause => What::Pause(who(members, chance)),
            Nemesis::Partition => What::Partition(cut(members, chance)),
            Nemesis::Delay => What::Delay(who(members, chance), ms(DELAY_MS, chance)),
            Nemesis::Loss => What::Loss(who(members, chance), chance.random_range(LOSS_PERCENT)),
            Nemesis::Restart => What::Restart,
            Nemesis::Compact => What::Compact {
                keeps: chance.random_range(0..200),
                physical: chance.random(),
            },
            Nemesis::Defrag => What::Defrag(one),
            Nemesis::TornTail => What::TornTail(last, chance.random()),
            Nemesis::BitFlip => What::BitFlip(last, chance.random()),
            Nemesis::Membership => replace(members, chance),
            Nemesis::Lag => What::Lag(one),
            Nemesis::SnapshotCrash => {
                let victim = if chance.random() {
                    Victim::Receiver
                } else {
                    Victim::Sender
                };
                What::SnapshotCrash(one, victim, ms(AFTER_START_MS, chance))
            }
            Nemesis::Clock => What::Clock(who(members, chance), jump(chance)),
            Nemesis::Cpu => What::Cpu(one, chance.random_range(CPU_MS)),
            Nemesis::Certificates => What::Certificates(match chance.random_range(0..4) {
                0 => Certificates::Renew,
                1 => Certificates::Expire,
                2 => Certificates::Revoke(chance.random_range(0..REVOCABLE)),
                _ => Certificates::Stall,
            }),
            // What one member alone forgets the others know: half of the time all forget at once.
            Nemesis::LoseUnsynced if chance.random() => {
                What::LoseUnsynced(Who::These("all", shuffled(members, chance)))
            }
            Nemesis::LoseUnsynced => What::LoseUnsynced(who(members, chance)),
            Nemesis::FullDisk => What::FullDisk(who(members, chance)),
            Nemesis::SlowDisk => What::SlowDisk(who(members, chance), slowness(chance)),
            Nemesis::Failpoint => What::Failpoint(one, chance.random_range(0..PLACES_MAX)),
            Nemesis::Eio => {
                let kinds = [Eio::Read, Eio::Write, Eio::Sync];
                What::Eio(one, kinds[chance.random_range(0..kinds.len())])
            }
        },
    }
}

/// A minority at most, of which one may be the leader.
fn replace(members: usize, chance: &mut StdRng) -> What {
    let all = shuffled(members, chance);
    let minority = ((members - 1) / 2).max(1);
    let count = chance.random_range(1..=minority);
    let who = match chance.random_range(0..3) {
        0 => Who::Leader,
        _ if count > 1 => Who::These("a minority", all.into_iter().take(count).collect()),
        _ => Who::These("one", all.into_iter().take(1).collect()),
    };
    What::Replace {
        who,
        via: chance.random_range(0..members),
        by: if chance.random() {
            As::Learner
        } else {
            As::Voter
        },
    }
}

/// From less than an election to a day, back or forth.
fn jump(chance: &mut StdRng) -> Jump {
    let most = [900, 10_000, 3_600_000, 86_400_000][chance.random_range(0..4)];
    let by = chance.random_range(-most..=most);
    match chance.random_range(0..3) {
        0 => Jump::By(by),
        1 => Jump::Strobe(by, Duration::from_millis(chance.random_range(STROBE_MS))),
        // Half of them from the true time on.
        _ => {
            let percent = chance.random_range(1..=DRIFT_PERCENT_MAX);
            let percent = if chance.random() { percent } else { -percent };
            Jump::Drift(if chance.random() { by } else { 0 }, percent)
        }
    }
}

/// From a busy disk to one that hangs for longer than an election.
fn slowness(chance: &mut StdRng) -> Duration {
    let range = if chance.random() { 10..200 } else { 200..2_000 };
    Duration::from_millis(chance.random_range(range))
}

fn shuffled(members: usize, chance: &mut StdRng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..members).collect();
    all.shuffle(chance);
    all
}

fn who(members: usize, chance: &mut StdRng) -> Who {
    let all = shuffled(members, chance);
    let minority = (members - 1) / 2;
    let (name, count) = match chance.random_range(0..5) {
        0 => return Who::Leader,
        1 => ("one", 1),
        2 if minority > 1 => ("a minority", minority),
        2 => ("one", 1),
        3 => ("a majority", minority + 1),
        _ => ("all", members),
    };
    Who::These(name, all.into_iter().take(count).collect())
}

fn cut(members: usize, chance: &mut StdRng) -> Cut {
    let all = shuffled(members, chance);
    let one = all.first().copied().unwrap_or(0);
    let minority = (members / 2).max(1);
    match chance.random_range(0..7) {
        0 => Cut::LeaderAlone,
        1 => Cut::Halves(all, minority),
        // Of three members each is a neighbour of each: the smallest ring that cuts has four.
        2 if members > 3 => Cut::Ring(all),
        2 => Cut::Halves(all, minority),
        3 => Cut::Mute(one),
        4 => Cut::Deaf(one),
        5 if members > 2 => Cut::Bridge(all),
        5 => Cut::Halves(all, minority),
        _ => {
            let each = Duration::from_millis(chance.random_range(100..1_500));
            Cut::Flapping(all, minority, each)
        }
    }
}

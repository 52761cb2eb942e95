//! Sizes outside of a rollout's own steps: while paused, and when somebody changed `spec.replicas` in the middle of one. Pure.

use super::Work;

/// What the Deployment asked for when the set was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// That plus the surge.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Whether `spec.replicas` changed since a set that wants pods was sized.
pub(super) fn is_scaling_event(work: &Work<'_>) -> bool {
    work.sets.iter().filter(|set| set.size() > 0).any(|set| {
        let desired = set
            .annotation(DESIRED)
            .and_then(|text| text.parse::<i32>().ok());
        desired.is_some_and(|desired| desired >= 0 && desired != work.sizes.wanted)
    })
}

/// Sizes the one set that matters, or all of them in proportion.
pub(super) fn scale(work: &mut Work<'_>) {
    let active: Vec<usize> = (0..work.sets.len())
        .filter(|place| work.sets[*place].size() > 0)
        .collect();
    let wanted = work.sizes.wanted;
    let single = match active.as_slice() {
        // The newest of the old ones stands in for a newest set that does not exist yet.
        [] => work.newest.or_else(|| work.old().last().copied()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(place) = single {
        work.resize(place, wanted);
        return;
    }
    if active.is_empty() {
        return;
    }
    if is_saturated(work) {
        for place in work.old_active() {
            work.resize(place, 0);
        }
    } else if !super::is_recreate(work.deployment()) {
        proportionally(work, active);
    }
}

/// Whether the newest set has all pods that are wanted, available.
fn is_saturated(work: &Work<'_>) -> bool {
    let Some(newest) = work.newest else {
        return false;
    };
    let (set, wanted) = (&work.sets[newest], work.sizes.wanted);
    let desired = set
        .annotation(DESIRED)
        .and_then(|text| text.parse::<i32>().ok());
    set.size() == wanted && desired == Some(wanted) && set.available() == wanted
}

/// Spreads what is to be added or taken over the active sets by their sizes; the largest gets the rest.
fn proportionally(work: &mut Work<'_>, mut active: Vec<usize>) {
    let sizes = work.sizes;
    let allowed = if sizes.wanted > 0 {
        sizes.wanted + sizes.surge
    } else {
        0
    };
    let total: i32 = active.iter().map(|place| work.sets[*place].size()).sum();
    let to_add = allowed - total;
    // Larger first; of equal ones the newer first when growing and the older first when shrinking.
    let age = |place: usize| i64::try_from(place).unwrap_or(i64::MAX);
    active.sort_by_key(|place| {
        let age = if to_add > 0 {
            -age(*place)
        } else {
            age(*place)
        };
        (-work.sets[*place].size(), age)
    });
    let mut added = 0;
    let mut targets = Vec::with_capacity(active.len());
    for place in &active {
        let part = if to_add == 0 {
            0
        } else {
            share(work, *place, to_add, added)
        };
        added += part;
        targets.push(work.sets[*place].size() + part);
    }
    if let Some(first) = targets.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (place, target) in active.into_iter().zip(targets) {
        // Also where the size stays: the annotations must follow, or this would be a scaling event for ever.
        work.sets[place].resize(target, &sizes);
    }
}

fn share(work: &Work<'_>, place: usize, to_add: i32, added: i32) -> i32 {
    let size = work.sets[place].size();
    if size == 0 || to_add == added {
        return 0;
    }
    let (fraction, allowed) = (fraction(work, place), to_add - added);
    if to_add > 0 {
        fraction.min(allowed)
    } else {
        fraction.max(allowed)
    }
}

/// By how much the set would grow if it kept its part of the whole.
fn fraction(work: &Work<'_>, place: usize) -> i32 {
    let (set, sizes) = (&work.sets[place], work.sizes);
    if sizes.wanted == 0 {
        return -set.size();
    }
    let before = set
        .annotation(MAX)
        .and_then(|text| text.parse::<i32>().ok())
        .filter(|n| *n > 0);
    let status = work
        .deployment()
        .status
        .as_ref()
        .and_then(|status| status.replicas);
    let Some(before) = before.or(status.filter(|n| *n > 0)) else {
        return 0;
    };
    let grown = f64::from(set.size()) * f64::from(sizes.wanted + sizes.surge) / f64::from(before);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast saturates, and sizes are small"
    )]
    let grown = grown.round() as i32;
    grown - set.size()
}

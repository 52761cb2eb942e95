//! Revisions: which set has which number, and which old sets are no longer remembered. Pure.

use super::{Set, Work};

/// The number of a rollout, on sets and on the Deployment.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The longest list of former revisions of one set, in characters.
const HISTORY_LENGTH_MAX: usize = 2000;

/// Annotations of a Deployment that its sets do not get.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    super::scaling::DESIRED,
    super::scaling::MAX,
    "deprecated.deployment.rollback.to",
];

/// Brings the newest set's annotations and readiness time up to date, and the Deployment's revision with them.
pub(super) fn revise(work: &mut Work<'_>) {
    let Some(newest) = work.newest else { return };
    let revision = next_revision(work);
    let deployment = work.deployment();
    let set = &mut work.sets[newest];
    annotate(deployment, set, revision);
    let min_ready = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.min_ready_seconds);
    if let Some(spec) = &mut set.new.spec
        && spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0)
    {
        spec.min_ready_seconds = min_ready;
    }
    work.revision = set.annotation(REVISION).map(str::to_owned);
    work.is_found = true;
}

/// One more than the highest revision of the old sets.
pub(super) fn next_revision(work: &Work<'_>) -> i64 {
    let revisions = work
        .old()
        .into_iter()
        .map(|place| revision(&work.sets[place]).unwrap_or(0));
    revisions.max().unwrap_or(0).saturating_add(1)
}

/// Copies the Deployment's annotations, and raises the set's revision, keeping the former one in its history.
pub(super) fn annotate(
    deployment: &k8s_openapi::api::apps::v1::Deployment,
    set: &mut Set,
    revision: i64,
) {
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) && set.annotation(key) != Some(value) {
            set.annotate(key, value.clone());
        }
    }
    let old = set.annotation(REVISION).map(str::to_owned);
    let old_number = match old.as_deref() {
        None | Some("") => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(number) => number,
            // Somebody's own idea of a revision is left alone.
            Err(_) => return,
        },
    };
    if old_number >= revision {
        return;
    }
    set.annotate(REVISION, revision.to_string());
    if let Some(old) = old {
        let history = set
            .annotation(REVISION_HISTORY)
            .unwrap_or_default()
            .to_owned();
        if let Some(longer) = append(&history, &old) {
            set.annotate(REVISION_HISTORY, longer);
        }
    }
}

/// Adds a revision at the end of a history, dropping the oldest ones for room.
fn append(history: &str, revision: &str) -> Option<String> {
    if history.is_empty() {
        return Some(revision.to_owned());
    }
    let mut rest = history;
    while rest.len() + 1 + revision.len() > HISTORY_LENGTH_MAX {
        rest = rest.split_once(',')?.1;
    }
    Some(format!("{rest},{revision}"))
}

pub(super) fn revision(set: &Set) -> Option<i64> {
    set.annotation(REVISION)?.parse().ok()
}

/// Marks the oldest revisions beyond the limit as surplus, if they have no pods and are up to date.
pub(super) fn clean_up(work: &mut Work<'_>) {
    let limit = work
        .deployment()
        .spec
        .as_ref()
        .and_then(|spec| spec.revision_history_limit);
    let limit = match limit {
        None | Some(i32::MAX) => return,
        Some(limit) => usize::try_from(limit).unwrap_or(0),
    };
    let is_alive = |place: &usize| work.sets[*place].new.metadata.deletion_timestamp.is_none();
    let mut old: Vec<usize> = work.old().into_iter().filter(is_alive).collect();
    let surplus = old.len().saturating_sub(limit);
    old.sort_by_key(|place| revision(&work.sets[*place]).unwrap_or(0));
    for place in old.into_iter().take(surplus) {
        let set = &mut work.sets[place];
        let observed = set
            .new
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        let is_settled = set.new.metadata.generation.unwrap_or(0) <= observed.unwrap_or(0);
        if set.size() == 0 && set.actual() == 0 && is_settled {
            set.is_surplus = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::append;

    #[test]
    fn histories_grow_and_forget() {
        assert_eq!(append("", "1").unwrap(), "1");
        assert_eq!(append("1,2", "3").unwrap(), "1,2,3");
        let long = vec!["12345"; 333].join(",");
        let longer = append(&long, "99999").unwrap();
        assert!(longer.len() <= 2000 && longer.ends_with(",99999"));
    }
}

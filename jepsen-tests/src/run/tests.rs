//! Proves that a run which did nothing, or could not be ended, is never valid.

use std::collections::BTreeMap;

use anyhow::anyhow;

use super::{add, conclude};
use crate::check::{Counts, Findings, Judgement, Model, Verdict, Workload};

fn judgement(verdict: Verdict) -> Judgement {
    Judgement {
        workload: Some(Workload::Set),
        is_inferred: false,
        model: Model::default(),
        counts: Counts::default(),
        verdict,
        allowed: Findings::default(),
    }
}

#[test]
fn a_run_without_its_faults_or_its_last_reads_is_not_valid() {
    let done = BTreeMap::from([("kill", 2), ("pause", 1)]);
    let idle = BTreeMap::from([("kill", 0), ("pause", 1)]);
    let valid = || judgement(Verdict::Valid);
    let none = Findings::default;
    assert_eq!(
        conclude(valid(), none(), &done, Ok(())).verdict,
        Verdict::Valid
    );
    let verdict = conclude(valid(), none(), &idle, Ok(())).verdict;
    assert!(
        matches!(&verdict, Verdict::Unknown(why) if why.contains("by kill:")),
        "{verdict:?}"
    );
    let verdict = conclude(valid(), none(), &done, Err(anyhow!("no answer"))).verdict;
    assert!(matches!(verdict, Verdict::Unknown(_)));
}

#[test]
fn what_the_cluster_itself_shows_counts_whatever_the_history_says() {
    let done = BTreeMap::from([("kill", 2)]);
    for verdict in [Verdict::Valid, Verdict::Unknown("nothing".to_owned())] {
        let mut found = Findings::default();
        add(&mut found, "member-ended", "n1 ended by itself".to_owned());
        let verdict = conclude(judgement(verdict), found, &done, Ok(())).verdict;
        assert!(matches!(verdict, Verdict::Violated(_)), "{verdict:?}");
    }
}

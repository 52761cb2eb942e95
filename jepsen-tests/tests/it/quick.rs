//! The quick set: a few seconds of composed faults under each of the workloads that matter most.
//! Proves that launcher, links, faults, clients and checkers work together on real processes.

use std::collections::BTreeSet;

use anyhow::Result;
use jepsen_tests::{
    Nemesis, Network, Outcome, Spec, Target, Verdict, Workload, run_spec, usual_network,
};

/// What was broken. For how long nobody was served depends on how busy the machine is, and is judged by
/// `keelson jepsen run` alone.
fn broken(verdict: &Verdict) -> Option<String> {
    let is_late = |anomaly: &&str| *anomaly == "unavailable";
    match verdict {
        Verdict::Valid => None,
        Verdict::Violated(findings) if findings.counts().keys().all(is_late) => None,
        Verdict::Violated(_) | Verdict::Unknown(_) => Some(format!("{verdict:?}")),
    }
}

async fn run(workload: Workload, nemesis: &[Nemesis]) -> Result<Outcome> {
    let spec = Spec {
        workload,
        nemesis: nemesis.to_vec(),
        time_s: 12,
        seed: 1,
        target: Target::Ours,
        members: 3,
        endpoints: Vec::new(),
        network: match workload {
            Workload::Append => usual_network(Target::Ours, nemesis).0,
            _ => Network::Proxies,
        },
    };
    let outcome = run_spec(&spec, testkit::keelson()?).await?;
    let verdict = &outcome.judgement.verdict;
    let again = spec.command();
    assert_eq!(broken(verdict), None, "{again}\n{}", outcome.logs);
    let wanted: BTreeSet<&str> = outcome.injected.keys().copied().collect();
    assert_eq!(wanted.len(), nemesis.len(), "{wanted:?}");
    assert!(outcome.injected.values().all(|count| *count > 0));
    Ok(outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_under_kills_and_partitions() {
    run(
        Workload::VersionedRegister,
        &[Nemesis::Kill, Nemesis::Partition],
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_under_kills_and_partitions() {
    run(Workload::Append, &[Nemesis::Kill, Nemesis::Partition])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_under_kills() {
    let outcome = run(Workload::Watch, &[Nemesis::Kill]).await.unwrap();
    let resumed = outcome.events.iter().filter(|event| event.f == "open");
    assert!(resumed.count() > 3, "no watcher went on at another member");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_under_pauses() {
    run(Workload::Lease, &[Nemesis::Pause]).await.unwrap();
}

//! What the members' logs and states hold after members were let go of in the middle of things: one
//! history, whoever led.

use std::collections::HashMap;

use super::cluster::Cluster;
use super::machine::State;
use crate::consensus::codec;
use crate::consensus::types::Vote;
use crate::log::{Log, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_never_contradict_each_other() {
    let mut cluster = Cluster::new(3, |config| {
        config.snapshot_count = 20;
        config.snapshot_catchup_entries = 200;
    })
    .await;
    for round in 0..5 {
        let leader = cluster.leader().await;
        for nth in 0..15 {
            let through = (leader + nth) % 3;
            cluster
                .set(through, &format!("k{nth}"), &format!("{round}"))
                .await
                .unwrap();
        }
        cluster.places[leader].abandon().await;
        let next = cluster.leader().await;
        cluster
            .set(next, "round", &format!("{round}"))
            .await
            .unwrap();
        cluster.start(leader).await;
    }
    cluster.converge().await;
    cluster.stop_all().await;

    let mut seen: HashMap<(u64, u64), (u8, bytes::Bytes)> = HashMap::new();
    for place in &cluster.places {
        let log = Log::open(Options::new(place.path().join("log"))).unwrap();
        let view = log.view();
        let (purged, last) = (view.purged.unwrap_or_default(), view.last.unwrap());
        let entries = log
            .read(purged.index + 1, last.index + 1, usize::MAX)
            .unwrap();
        log.close();
        // Contiguous behind what was purged, in terms that never go back.
        let indexes = entries.iter().map(|entry| entry.log_id.index);
        assert!(indexes.eq(purged.index + 1..=last.index));
        assert!(entries.is_sorted_by_key(|entry| entry.log_id.term));
        // A vote is never older than what it led to.
        let vote: Vote = codec::decode(&view.vote.unwrap()).unwrap();
        assert!(vote.leader_id.term >= last.term, "{vote:?} {last:?}");
        // Nothing is purged that the state on disk does not hold.
        let state = std::fs::read(place.path().join("state/state.json")).unwrap();
        let state: State = serde_json::from_slice(&state).unwrap();
        let applied = state.log_id.unwrap();
        assert!(purged.index <= applied.index && applied.index <= last.index);
        assert_eq!(state.applied, applied.index, "each entry once");
        for entry in entries {
            let key = (entry.log_id.term, entry.log_id.index);
            let held = (entry.kind, entry.payload);
            let first = seen.entry(key).or_insert_with(|| held.clone());
            assert_eq!(
                *first, held,
                "one place in the log holds two things: {key:?}"
            );
        }
    }
    assert!(seen.len() > 80);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_dropped_closes_its_files_and_keeps_everything() {
    let mut cluster = Cluster::new(1, |_| {}).await;
    for nth in 0..20 {
        cluster.set(0, &format!("k{nth}"), "v").await.unwrap();
    }
    let state = cluster.places[0].get().state.lock().clone();
    cluster.places[0].abandon().await;
    // The last flush came before the end.
    let file = std::fs::read(cluster.places[0].path().join("state/state.json")).unwrap();
    let kept: State = serde_json::from_slice(&file).unwrap();
    assert_eq!(kept, state);
    cluster.start(0).await;
    cluster.leader().await;
    assert_eq!(cluster.set(0, "k7", "w").await.unwrap(), "v");
    cluster.stop_all().await;
}

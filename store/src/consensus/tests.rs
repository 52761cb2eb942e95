//! Members over real sockets and real files: failover, restart, snapshots, reads.
//!
//! A fault here is an orderly stop of a member, or a wrong call; sudden death is tried on the log
//! itself, in its own tests.

mod cluster;
mod door;
mod history;
mod machine;
mod membership;
mod suite;

use std::time::{Duration, Instant};

use base::Tasks;
use bytes::Bytes;

use self::cluster::{Cluster, eventually, soon};
use self::machine::TestMachine;
use super::start;
use super::{Consensus, ConsensusConfig, Member, ProposeError, StartError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_keeps_everything_over_a_restart() {
    let mut cluster = Cluster::new(1, |config| config.snapshot_count = 7).await;
    assert_eq!(cluster.set(0, "a", "1").await.unwrap(), "");
    assert_eq!(cluster.set(0, "a", "2").await.unwrap(), "1");
    for nth in 0..40 {
        cluster.set(0, &format!("k{nth}"), "v").await.unwrap();
    }
    let before = cluster.status(0);
    assert!(before.is_leader());
    // The first membership, the leader's blank entry and the commands.
    assert_eq!(
        (before.applied, before.committed, before.last_index),
        (44, 44, 44)
    );
    let values = cluster.places[0].get().state.lock().values.clone();
    cluster.stop(0).await;
    cluster.start(0).await;
    cluster.leader().await;
    assert_eq!(cluster.set(0, "a", "3").await.unwrap(), "2");
    let after = cluster.places[0].get().state.lock().clone();
    assert!(
        values
            .iter()
            .all(|(key, value)| key == "a" || after.values.get(key) == Some(value))
    );
    assert_eq!(
        after.applied,
        after.log_id.unwrap().index,
        "each entry once"
    );
    // A leader that resumed its old term could give a lost entry's place to another one.
    assert!(cluster.status(0).term > before.term);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_member_takes_commands_and_reads_what_was_acknowledged() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    cluster.leader().await;
    for round in 0..20 {
        for nth in 0..3 {
            let value = format!("{round}-{nth}");
            cluster.set(nth, "key", &value).await.unwrap();
            // Read-your-writes on the member that took it.
            assert_eq!(cluster.value(nth, "key").as_ref(), Some(&value));
            let other = (nth + 1) % 3;
            let index = cluster.places[other]
                .get()
                .consensus
                .read_index(soon())
                .await
                .unwrap();
            assert_eq!(cluster.value(other, "key").as_ref(), Some(&value));
            assert!(index <= cluster.status(other).applied);
        }
    }
    let leader = cluster.leader().await;
    let id = cluster.places[leader].member.id;
    for place in &cluster.places {
        let reply = place
            .get()
            .consensus
            .call_leader(Bytes::from_static(b"ping"), soon())
            .await
            .unwrap();
        assert_eq!(reply, format!("ping from {id:x}"));
    }
    cluster.converge().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_and_reads_at_once() {
    let mut cluster = Cluster::new(3, |config| config.snapshot_count = 100).await;
    cluster.leader().await;
    let writes = (0..600).map(|nth| {
        let cluster = &cluster;
        async move {
            cluster.set(nth % 3, &format!("k{nth}"), "v").await.unwrap();
            cluster.places[(nth + 1) % 3]
                .get()
                .consensus
                .read_index(soon())
                .await
                .unwrap();
            assert!(cluster.value((nth + 1) % 3, &format!("k{nth}")).is_some());
        }
    });
    futures::future::join_all(writes).await;
    assert_eq!(cluster.converge().await.values.len(), 600);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_leads_when_the_leader_stops_and_nothing_is_lost() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    let leader = cluster.leader().await;
    let old = cluster.status(leader);
    cluster.set(leader, "before", "1").await.unwrap();
    cluster.stop(leader).await;
    let follower = (leader + 1) % 3;
    // Taken while nobody leads, and done once somebody does.
    cluster.set(follower, "after", "2").await.unwrap();
    assert_eq!(cluster.value(follower, "before").as_deref(), Some("1"));
    let term = cluster.status(follower).term;
    assert!(term > old.term);
    cluster.start(leader).await;
    cluster.set(leader, "again", "3").await.unwrap();
    let state = cluster.converge().await;
    assert_eq!(state.values.len(), 3);
    assert!(cluster.status(leader).term >= term);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_restart_and_hold_the_same() {
    let mut cluster = Cluster::new(3, |config| config.snapshot_count = 10).await;
    let leader = cluster.leader().await;
    for nth in 0..50 {
        cluster.set(leader, &format!("k{nth}"), "v").await.unwrap();
    }
    let before = cluster.converge().await;
    let term = cluster.status(leader).term;
    cluster.stop_all().await;
    for nth in 0..3 {
        cluster.start(nth).await;
    }
    let leader = cluster.leader().await;
    assert!(cluster.status(leader).term > term);
    cluster.set(leader, "more", "1").await.unwrap();
    let after = cluster.converge().await;
    assert_eq!(after.values.len(), before.values.len() + 1);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_gets_a_snapshot() {
    let mut cluster = Cluster::new(3, |config| {
        config.snapshot_count = 20;
        config.snapshot_catchup_entries = 5;
    })
    .await;
    let away = cluster.follower().await;
    cluster.set(away, "old", "1").await.unwrap();
    cluster.stop(away).await;
    let leader = cluster.leader().await;
    for nth in 0..200 {
        cluster.set(leader, &format!("k{nth}"), "v").await.unwrap();
    }
    let purged = || {
        cluster.places[leader]
            .get()
            .consensus
            .node
            .log
            .view()
            .purged
    };
    eventually("the leader's log gets shorter", || {
        purged().filter(|purged| purged.index > 100)
    })
    .await;
    cluster.start(away).await;
    let state = cluster.converge().await;
    assert_eq!(state.values.len(), 201);
    // It never had the entries before the snapshot.
    let log = cluster.places[away].get().consensus.node.log.clone();
    let purged = || log.view().purged.filter(|purged| purged.index > 100);
    eventually("its log starts after the snapshot", purged).await;
    let staging = cluster.places[away].path().join("staging");
    eventually("no snapshot is left behind", || {
        (std::fs::read_dir(&staging).unwrap().count() == 0).then_some(())
    })
    .await;
    cluster.set(away, "new", "2").await.unwrap();
    // And it starts again from what it installed.
    cluster.stop(away).await;
    cluster.start(away).await;
    cluster.set(away, "newer", "3").await.unwrap();
    cluster.converge().await;
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_acknowledged() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    let leader = cluster.leader().await;
    cluster.stop((leader + 1) % 3).await;
    cluster.stop((leader + 2) % 3).await;
    let alone = &cluster.places[leader].get().consensus;
    let short = || Instant::now() + Duration::from_millis(300);
    let proposed = alone.propose(Bytes::from_static(b"set a 1"), short()).await;
    // Whatever is said, it must not be success.
    assert!(
        matches!(
            proposed,
            Err(ProposeError::Timeout | ProposeError::NoLeader)
        ),
        "{proposed:?}"
    );
    eventually("the leader notices", || {
        alone.status().leader.is_none().then_some(())
    })
    .await;
    let proposed = alone.propose(Bytes::from_static(b"set b 1"), short()).await;
    assert_eq!(proposed, Err(ProposeError::NoLeader));
    assert!(alone.read_index(short()).await.is_err());
    assert!(alone.call_leader(Bytes::new(), short()).await.is_err());
    cluster.start((leader + 1) % 3).await;
    cluster.set(leader, "c", "1").await.unwrap();
    // What was certainly not in the log has not come back.
    assert_eq!(cluster.value(leader, "b"), None);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_on_request() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.set(leader, "a", "1").await.unwrap();
        cluster.converge().await;
        let (to, asked) = ((leader + 1) % 3, (leader + 2) % 3);
        let id = cluster.places[to].member.id;
        cluster.places[asked]
            .get()
            .consensus
            .transfer_leader(id, soon())
            .await
            .unwrap();
        assert_eq!(cluster.leader().await, to);
        cluster.set(asked, "a", "2").await.unwrap();
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_machine_that_fails_ends_the_member() {
    let mut cluster = Cluster::new(1, |_| {}).await;
    cluster.leader().await;
    cluster.set(0, "a", "1").await.unwrap();
    let consensus = cluster.places[0].get().consensus.clone();
    let signal = consensus.fatal();
    let proposed = consensus.propose(Bytes::from_static(b"fail"), soon()).await;
    assert!(
        matches!(proposed, Err(ProposeError::Unknown(_))),
        "{proposed:?}"
    );
    let fatal = tokio::time::timeout(cluster::PATIENCE, signal.wait())
        .await
        .unwrap();
    assert_eq!(fatal.step, "test::apply");
    let late = consensus
        .propose(Bytes::from_static(b"set a 2"), soon())
        .await;
    assert_eq!(late, Err(ProposeError::Stopped));
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_folder_was_emptied_ends_and_nobody_else() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    let leader = cluster.leader().await;
    for nth in 0..20 {
        cluster.set(leader, &format!("k{nth}"), "v").await.unwrap();
    }
    cluster.converge().await;
    let emptied = cluster.follower().await;
    cluster.stop(emptied).await;
    let dir = cluster.places[emptied].path().to_owned();
    for folder in ["log", "state", "staging"] {
        std::fs::remove_dir_all(dir.join(folder)).unwrap();
    }
    cluster.start(emptied).await;
    let signal = cluster.places[emptied].get().consensus.fatal();
    let fatal = tokio::time::timeout(cluster::PATIENCE, signal.wait()).await;
    assert_eq!(fatal.unwrap().step, "consensus::acknowledged_entry_lost");
    cluster.set(leader, "more", "1").await.unwrap();
    cluster.stop(emptied).await;
    assert_eq!(cluster.leader().await, leader);
    cluster.set(leader, "more", "2").await.unwrap();
    let fatal = cluster.places[leader].get().consensus.fatal();
    assert!(fatal.get().is_none());
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_takes_nothing_more_ends_the_member() {
    let mut cluster = Cluster::new(1, |_| {}).await;
    cluster.leader().await;
    let consensus = cluster.places[0].get().consensus.clone();
    consensus.node.log.close();
    let proposed = consensus
        .propose(Bytes::from_static(b"set a 1"), soon())
        .await;
    assert!(
        matches!(proposed, Err(ProposeError::Unknown(_))),
        "{proposed:?}"
    );
    tokio::time::timeout(cluster::PATIENCE, consensus.fatal().wait())
        .await
        .unwrap();
    assert_eq!(cluster.value(0, "a"), None);
    let late = consensus
        .propose(Bytes::from_static(b"set a 2"), soon())
        .await;
    assert_eq!(late, Err(ProposeError::Stopped));
    cluster.stop_all().await;
}

#[tokio::test]
async fn a_member_must_be_among_the_first_members() {
    let dir = tempfile::tempdir().unwrap();
    let config = ConsensusConfig {
        member_id: 1,
        initial_members: Some(vec![Member {
            id: 2,
            ..Member::default()
        }]),
        dir: dir.path().join("log"),
        staging_dir: dir.path().join("staging"),
        ..ConsensusConfig::default()
    };
    let machine = Box::new(TestMachine::open(&dir.path().join("state")));
    let started = start(config.clone(), machine, &Tasks::new("test")).await;
    assert!(matches!(started, Err(StartError::NotAMember(1))));
    let machine = Box::new(TestMachine::open(&dir.path().join("state")));
    let contradictory = ConsensusConfig {
        election_ms: 50,
        initial_members: None,
        ..config
    };
    assert!(matches!(
        start(contradictory, machine, &Tasks::new("test")).await,
        Err(StartError::Config(_))
    ));
}

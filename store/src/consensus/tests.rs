//! Members over real sockets and real files: failover, restart, snapshots, reads, membership.
//!
//! A fault here is an orderly stop of a member, or a wrong call; sudden death is tried on the log
//! itself, in its own tests.

mod cluster;
mod door;
mod history;
mod machine;
mod suite;

use std::time::{Duration, Instant};

use base::Tasks;
use bytes::Bytes;

use self::cluster::{Cluster, eventually, soon};
use self::machine::TestMachine;
use super::start;
use super::{
    Consensus, ConsensusConfig, Member, MembershipChange, MembershipError, ProposeError, StartError,
};

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
async fn members_join_and_leave() {
    let mut cluster = Cluster::new(1, |config| config.snapshot_count = 10).await;
    cluster.leader().await;
    for nth in 0..30 {
        cluster.set(0, &format!("k{nth}"), "v").await.unwrap();
    }
    // A single member grows although the new one has not started, and goes on taking commands.
    let second = cluster.add_place().await;
    let first = cluster.places[0].get().consensus.clone();
    let members = first
        .change_membership(MembershipChange::Add(second.clone()), soon())
        .await
        .unwrap();
    assert_eq!(members.len(), 2);
    assert!(members.iter().all(|member| !member.is_learner));
    cluster.set(0, "while", "waiting").await.unwrap();
    cluster.start(1).await;
    let voters = || first.node.view().voters.len();
    eventually("the second member votes", || (voters() == 2).then_some(())).await;
    cluster.set(1, "from", "second").await.unwrap();

    // A learner joins, is promoted through a follower, and counts.
    let third = Member {
        is_learner: true,
        ..cluster.add_place().await
    };
    first
        .change_membership(MembershipChange::Add(third.clone()), soon())
        .await
        .unwrap();
    let promote = MembershipChange::Promote(third.id);
    let refused = first.change_membership(promote.clone(), soon()).await;
    assert_eq!(refused, Err(MembershipError::LearnerNotReady(third.id)));
    cluster.start(2).await;
    assert!(cluster.status(2).members.is_empty() || cluster.status(2).members.len() == 3);
    cluster.converge().await;
    let asked = cluster.places[1].get().consensus.clone();
    let until = soon();
    let members = loop {
        match asked.change_membership(promote.clone(), soon()).await {
            Err(MembershipError::LearnerNotReady(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => break other.unwrap(),
        }
    };
    assert!(members.iter().all(|member| !member.is_learner) && members.len() == 3);
    eventually("three voters", || {
        (first.node.view().voters.len() == 3).then_some(())
    })
    .await;

    // The leader itself leaves; the others go on.
    let leader = cluster.leader().await;
    let id = cluster.places[leader].member.id;
    let members = first
        .change_membership(MembershipChange::Remove(id), soon())
        .await
        .unwrap();
    assert_eq!(members.len(), 2);
    cluster.stop(leader).await;
    let left = cluster.leader().await;
    cluster.set(left, "after", "removal").await.unwrap();
    assert_eq!(cluster.status(left).members.len(), 2);
    assert_eq!(cluster.converge().await.values.len(), 33);
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_changes_are_refused_by_name() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    let follower = cluster.follower().await;
    let consensus = cluster.places[follower].get().consensus.clone();
    let known = cluster.places[0].member.clone();
    let same_urls = Member {
        id: 78,
        peer_urls: known.peer_urls.clone(),
        ..Member::default()
    };
    let cases = [
        (
            MembershipChange::Add(known.clone()),
            MembershipError::IdExists(known.id),
        ),
        (
            MembershipChange::Add(same_urls),
            MembershipError::PeerUrlsExist,
        ),
        (MembershipChange::Remove(5), MembershipError::NotFound(5)),
        (MembershipChange::Promote(5), MembershipError::NotFound(5)),
        (
            MembershipChange::Promote(known.id),
            MembershipError::NotLearner(known.id),
        ),
        (
            MembershipChange::Update {
                id: 5,
                peer_urls: vec![],
            },
            MembershipError::NotFound(5),
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(
            consensus.change_membership(change.clone(), soon()).await,
            Err(expected),
            "{change:?}"
        );
    }
    cluster.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_learner_comes_moves_and_goes() {
    let mut cluster = Cluster::new(3, |_| {}).await;
    let follower = cluster.follower().await;
    let consensus = cluster.places[follower].get().consensus.clone();
    let learner = Member {
        id: 77,
        is_learner: true,
        peer_urls: vec!["http://127.0.0.1:1".to_owned()],
        ..Member::default()
    };
    let second_learner = Member {
        id: 79,
        is_learner: true,
        peer_urls: vec!["http://127.0.0.1:2".to_owned()],
        ..Member::default()
    };
    let added = eventually_added(&cluster, follower, learner).await;
    assert_eq!(added.iter().filter(|member| member.is_learner).count(), 1);
    let refused = consensus
        .change_membership(MembershipChange::Add(second_learner), soon())
        .await;
    assert_eq!(refused, Err(MembershipError::TooManyLearners));
    let urls = vec!["http://127.0.0.1:3".to_owned()];
    let update = MembershipChange::Update {
        id: 77,
        peer_urls: urls.clone(),
    };
    let members = consensus.change_membership(update, soon()).await.unwrap();
    assert_eq!(
        members
            .iter()
            .find(|member| member.id == 77)
            .unwrap()
            .peer_urls,
        urls
    );
    let members = consensus
        .change_membership(MembershipChange::Remove(77), soon())
        .await
        .unwrap();
    assert_eq!(members.len(), 3);
    cluster.stop_all().await;
}

/// A new leader counts its members as healthy only once they have answered it.
async fn eventually_added(cluster: &Cluster, nth: usize, member: Member) -> Vec<Member> {
    let until = soon();
    loop {
        let change = MembershipChange::Add(member.clone());
        match cluster.places[nth]
            .get()
            .consensus
            .change_membership(change, soon())
            .await
        {
            Err(MembershipError::Unhealthy | MembershipError::NotEnoughStarted)
                if Instant::now() < until =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other.unwrap(),
        }
    }
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

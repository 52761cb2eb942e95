//! Changes of the membership over real sockets, and who may not be heard while they are made.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::cluster::{Cluster, eventually, soon};
use crate::consensus::{Consensus, Member, MembershipChange, MembershipError, ProposeError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_and_leave() {
    let mut cluster = Cluster::new(1, |config| config.snapshot_count = 10).await;
    cluster.leader().await;
    for nth in 0..30 {
        cluster.set(0, &format!("k{nth}"), "v").await.unwrap();
    }
    // A single member grows although the new one has not started, and goes on taking commands.
    let second = cluster.add_place();
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
        ..cluster.add_place()
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
async fn without_a_quorum_a_change_that_needs_one_is_refused_at_once() {
    let newcomer = Member {
        id: 77,
        peer_urls: vec!["http://127.0.0.1:1".to_owned()],
        ..Member::default()
    };
    for is_leader in [true, false] {
        let mut cluster = Cluster::new(3, |_| {}).await;
        let leader = cluster.leader().await;
        let left = if is_leader {
            leader
        } else {
            cluster.follower().await
        };
        for nth in (0..3).filter(|nth| *nth != left) {
            cluster.stop(nth).await;
        }
        let consensus = cluster.places[left].get().consensus.clone();
        let this = cluster.places[left].member.id;
        eventually("the others are known to be down", || {
            let view = consensus.node.view();
            let mut others = view.progress.iter().filter(|(id, _)| **id != this);
            others
                .all(|(_, progress)| !progress.is_connected)
                .then_some(())
        })
        .await;
        let learner = Member {
            is_learner: true,
            ..newcomer.clone()
        };
        for change in [
            MembershipChange::Add(newcomer.clone()),
            MembershipChange::Add(learner),
            MembershipChange::Remove(this),
        ] {
            assert_eq!(
                consensus.change_membership(change.clone(), soon()).await,
                Err(MembershipError::Unhealthy),
                "{change:?}, leader: {is_leader}"
            );
        }
        // A member that is down may go, once somebody leads.
        let status = || consensus.status();
        eventually("nobody leads", || status().leader.is_none().then_some(())).await;
        let other = cluster.places[(left + 1) % 3].member.id;
        let deadline = Instant::now() + Duration::from_millis(300);
        assert_eq!(
            consensus
                .change_membership(MembershipChange::Remove(other), deadline)
                .await,
            Err(ProposeError::NoLeader.into())
        );
        cluster.stop_all().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_without_an_answer_are_counted() {
    let mut cluster = Cluster::new(1, |_| {}).await;
    cluster.leader().await;
    // The system takes connections for it, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let learner = Member {
        id: 77,
        is_learner: true,
        peer_urls: vec![format!("http://{}", silent.local_addr().unwrap())],
        ..Member::default()
    };
    let consensus = cluster.places[0].get().consensus.clone();
    let failures = consensus.node.peers.measures.heartbeat_failures.clone();
    assert_eq!(failures.get(), 0);
    consensus
        .change_membership(MembershipChange::Add(learner), soon())
        .await
        .unwrap();
    eventually("failed heartbeats", || (failures.get() > 1).then_some(())).await;
    cluster.stop_all().await;
}

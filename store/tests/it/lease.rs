//! Leases over the wire: they end on time, never early, whoever leads.

use std::time::{Duration, Instant};

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, MoveLeaderRequest, PutRequest,
};
use tonic::Code;
use tonic::transport::Channel;

use super::harness::{Cluster, SOON};

async fn grant(channel: Channel, ttl: i64) -> i64 {
    let mut client = LeaseClient::new(channel);
    client
        .lease_grant(LeaseGrantRequest { ttl, id: 0 })
        .await
        .unwrap()
        .into_inner()
        .id
}

async fn keep_alive(channel: Channel, id: i64) -> i64 {
    let mut client = LeaseClient::new(channel);
    let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
    let mut answers = client
        .lease_keep_alive(requests)
        .await
        .unwrap()
        .into_inner();
    answers.message().await.unwrap().unwrap().ttl
}

async fn put(cluster: &Cluster, key: &str, lease: i64) {
    let mut kv = KvClient::new(cluster.channel(0).await);
    kv.put(PutRequest {
        key: key.to_owned().into(),
        lease,
        ..Default::default()
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_with_its_keys_and_not_early() {
    let cluster = Cluster::start(1).await;
    let started = Instant::now();
    let id = grant(cluster.channel(0).await, 1).await;
    put(&cluster, "a", id).await;
    put(&cluster, "b", id).await;
    let gone = testkit::poll(SOON, "the keys go", async || {
        match cluster.get(0, "a").await {
            None => Ok(()),
            Some(_) => Err("still there".to_owned()),
        }
    });
    gone.await.unwrap();
    // Two seconds are the least that is granted.
    assert!(
        started.elapsed() >= Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(cluster.get(0, "b").await, None);
    assert_eq!(keep_alive(cluster.channel(0).await, id).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_stays_whichever_member_is_asked() {
    let cluster = Cluster::start(3).await;
    let id = grant(cluster.channel(1).await, 2).await;
    put(&cluster, "a", id).await;
    let until = Instant::now() + Duration::from_secs(5);
    let mut member = 0;
    while Instant::now() < until {
        assert_eq!(keep_alive(cluster.channel(member % 3).await, id).await, 2);
        member += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(cluster.get(2, "a").await.is_some());
    for member in 0..3 {
        let mut client = LeaseClient::new(cluster.channel(member).await);
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let left = client
            .lease_time_to_live(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((left.granted_ttl, left.keys.len()), (2, 1));
        assert!((0..=2).contains(&left.ttl), "{left:?}");
        let leases = client
            .lease_leases(LeaseLeasesRequest {})
            .await
            .unwrap()
            .into_inner()
            .leases;
        assert_eq!(leases.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_gives_every_lease_its_time_again() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    let id = grant(cluster.channel(other).await, 3).await;
    let mut kv = KvClient::new(cluster.channel(other).await);
    kv.put(PutRequest {
        key: "a".into(),
        lease: id,
        ..Default::default()
    })
    .await
    .unwrap();
    let changed = Instant::now();
    cluster.stop(leader).await;
    let stopped = changed.elapsed();
    let gone = testkit::poll(SOON, "the key goes", async || {
        match cluster.get(other, "a").await {
            None => Ok(()),
            Some(_) => Err("still there".to_owned()),
        }
    });
    gone.await.unwrap();
    assert!(
        changed.elapsed() >= Duration::from_secs(3),
        "{:?}, of which stopping took {stopped:?}",
        changed.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_etcds_words() {
    let cluster = Cluster::start(1).await;
    let mut client = LeaseClient::new(cluster.channel(0).await);
    let refusal = client
        .lease_grant(LeaseGrantRequest {
            ttl: 9_000_000_001,
            id: 0,
        })
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.message()),
        (Code::OutOfRange, "etcdserver: too large lease TTL")
    );
    client
        .lease_grant(LeaseGrantRequest { ttl: 60, id: 5 })
        .await
        .unwrap();
    let refusal = client
        .lease_grant(LeaseGrantRequest { ttl: 60, id: 5 })
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.message()),
        (Code::FailedPrecondition, "etcdserver: lease already exists")
    );
    let refusal = client
        .lease_revoke(LeaseRevokeRequest { id: 6 })
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.message()),
        (Code::NotFound, "etcdserver: requested lease not found")
    );
    let missing = client
        .lease_time_to_live(LeaseTimeToLiveRequest { id: 6, keys: false })
        .await
        .unwrap();
    assert_eq!(missing.into_inner().ttl, -1);
    assert_eq!(keep_alive(cluster.channel(0).await, 6).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_goes_on_from_a_checkpoint_and_a_renewal_clears_it() {
    let mut cluster = Cluster::start_with(3, &["--feature-gates=LeaseCheckpoint=true"]).await;
    for number in 0..3 {
        cluster.stop(number).await;
    }
    for number in 0..3 {
        let mut config = cluster.config(number, "new", &[]);
        config.lease_checkpoint_interval = Duration::from_secs(1);
        cluster.launch_config(number, config).await;
    }
    for number in 0..3 {
        cluster.wait_ready(number).await;
    }
    let id = grant(cluster.channel(0).await, 60).await;
    let kept = testkit::poll(SOON, "a checkpoint", async || {
        let left = remaining(&cluster, 0, id).await;
        if left <= 55 {
            Ok(())
        } else {
            Err(format!("{left} s left"))
        }
    });
    kept.await.unwrap();
    let first = cluster.leader().await;
    let target = (first + 1) % 3;
    move_leader(&cluster, first, target).await;
    // An election's time is added to what was kept, and no more.
    let left = remaining(&cluster, target, id).await;
    assert!((40..=58).contains(&left), "{left}");
    // After a renewal the time before it must not come back with the next leader.
    assert_eq!(keep_alive(cluster.channel(target).await, id).await, 60);
    move_leader(&cluster, target, first).await;
    let left = remaining(&cluster, first, id).await;
    assert!(left >= 57, "{left}");
}

async fn remaining(cluster: &Cluster, number: usize, id: i64) -> i64 {
    let mut client = LeaseClient::new(cluster.channel(number).await);
    let request = LeaseTimeToLiveRequest { id, keys: false };
    client
        .lease_time_to_live(request)
        .await
        .unwrap()
        .into_inner()
        .ttl
}

async fn move_leader(cluster: &Cluster, from: usize, to: usize) {
    let target_id = cluster.handle(to).status().member_id;
    let mut leader = MaintenanceClient::new(cluster.channel(from).await);
    leader
        .move_leader(MoveLeaderRequest { target_id })
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, to);
}

/// The time runs from the grant, as with the real one, not from the next look at the clocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_has_less_than_its_time_at_once() {
    let cluster = Cluster::start(1).await;
    let mut ends = vec![("ours", cluster.endpoint(0))];
    let real = super::real::real_etcds(&[]).await;
    ends.extend(
        real.iter()
            .map(|(name, real)| (*name, real.endpoint.clone())),
    );
    for (name, endpoint) in ends {
        let channel = super::harness::connect(&endpoint).await;
        let asked = Instant::now();
        let id = grant(channel.clone(), 600).await;
        let request = LeaseTimeToLiveRequest { id, keys: false };
        let answer = LeaseClient::new(channel).lease_time_to_live(request).await;
        let left = answer.unwrap().into_inner().ttl;
        let at_least = 599 - i64::try_from(asked.elapsed().as_secs()).unwrap();
        assert!((at_least..600).contains(&left), "{name}: {left}");
    }
}

/// Its clock is its own, not that of the lease which had the id a moment ago.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_granted_again_begins_anew() {
    let cluster = Cluster::start(1).await;
    let channel = cluster.channel(0).await;
    let mut client = LeaseClient::new(channel.clone());
    let id = 7;
    for ttl in [600, 5, 600] {
        let request = LeaseGrantRequest { ttl, id };
        client.lease_grant(request).await.unwrap();
        let left = remaining(&cluster, 0, id).await;
        assert!((ttl - 3..=ttl).contains(&left), "{left} of {ttl}");
        assert_eq!(keep_alive(channel.clone(), id).await, ttl);
        let request = LeaseRevokeRequest { id };
        client.lease_revoke(request).await.unwrap();
    }
}

//! Three members: any of them answers, one may go, all may go, another may come.

use std::sync::atomic::{AtomicI64, Ordering};

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    HashKvRequest, HashRequest, MoveLeaderRequest, PutRequest, RangeRequest,
};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::harness::{Cluster, SOON, etcdctl};

/// etcd's hash of a member's whole history, at a revision that all have.
async fn hash(cluster: &Cluster, number: usize, revision: i64) -> Result<u32, String> {
    let mut client = MaintenanceClient::new(cluster.channel(number).await);
    let answer = client.hash_kv(HashKvRequest { revision }).await;
    answer
        .map(|answer| answer.into_inner().hash)
        .map_err(|status| status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_any_request() {
    let cluster = Cluster::start(3).await;
    for number in 0..3 {
        cluster.put(number, &format!("by/{number}"), "v").await;
        // A linearizable read sees what was acknowledged by another member a moment ago.
        for reader in 0..3 {
            assert_eq!(
                cluster
                    .get(reader, &format!("by/{number}"))
                    .await
                    .as_deref(),
                Some("v")
            );
        }
    }
    let members = cluster.etcdctl(1, &["member", "list"]).await;
    assert_eq!(members.matches(", started, m").count(), 3, "{members}");
    let version = testkit::poll(SOON, "the cluster's version", async || {
        let text = super::http::get(&cluster.endpoint(2), "/version").await.1;
        if text.contains("\"etcdcluster\":\"3.7.0\"") {
            Ok(text)
        } else {
            Err(text)
        }
    });
    assert!(version.await.unwrap().contains("\"etcdserver\":\"3.7.3\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_may_go_and_come_back() {
    let mut cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    let first = cluster.leader().await;
    cluster.stop(first).await;
    let other = (first + 1) % 3;
    cluster.put(other, "a", "2").await;
    assert_eq!(
        cluster.get((first + 2) % 3, "a").await.as_deref(),
        Some("2")
    );
    cluster.restart(first).await;
    assert_eq!(cluster.get(first, "a").await.as_deref(), Some("2"));
    let revision = cluster.handle(first).revision();
    let hashes = [
        hash(&cluster, 0, revision).await,
        hash(&cluster, 1, revision).await,
        hash(&cluster, 2, revision).await,
    ];
    assert!(
        hashes[0].is_ok() && hashes[0] == hashes[1] && hashes[1] == hashes[2],
        "{hashes:?}"
    );
}

/// Not only keys: leases with what is left of them, alarms, seats, users, and the bytes that count.
#[tokio::test(flavor = "multi_thread")]
async fn members_hold_the_same_rows() {
    let mut cluster = Cluster::start_with(3, &["--quota-backend-bytes=2000000"]).await;
    for number in 0..60 {
        cluster
            .put(number % 3, &format!("key/{}", number % 7), "value")
            .await;
    }
    cluster.etcdctl(0, &["lease", "grant", "600"]).await;
    cluster.etcdctl(1, &["user", "add", "ann:secret"]).await;
    cluster.etcdctl(2, &["compact", "30"]).await;
    let (number, url) = cluster.add_seat();
    let added = format!("--peer-urls={url}");
    cluster
        .etcdctl(0, &["member", "add", "m3", "--learner", &added])
        .await;
    cluster.join(number).await;
    // A member that restarts has rebuilt what the others only remember.
    cluster.stop(1).await;
    cluster.restart(1).await;
    let all = cluster.etcdctl(0, &["alarm", "list"]).await;
    assert_eq!(all, "");
    let large = "x".repeat(700_000);
    let kv = KvClient::new(cluster.channel(0).await);
    let full = testkit::poll(SOON, "the store is full", async || {
        let put = PutRequest {
            key: "large".into(),
            value: large.clone().into(),
            ..Default::default()
        };
        // Whoever led may just have changed: then it is tried again, as clients do.
        match kv.clone().put(put).await {
            Err(status) if status.code() == Code::ResourceExhausted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    full.await.unwrap();
    let equal = testkit::poll(SOON, "equal rows", async || {
        let mut rows = Vec::new();
        // A learner answers no such question.
        for number in 0..3 {
            let mut client = MaintenanceClient::new(cluster.channel(number).await);
            let hash = client.hash(HashRequest {}).await;
            let hash = hash.map_err(|status| status.to_string())?.into_inner();
            let applied = cluster.handle(number).status().applied;
            rows.push((hash.hash, hash.header.unwrap().revision, applied));
        }
        match rows.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(rows[0]),
            false => Err(format!("{rows:?}")),
        }
    });
    equal.await.unwrap();
    let alarms = cluster.etcdctl(0, &["alarm", "list"]).await;
    assert!(alarms.contains("NOSPACE"), "{alarms}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_members_may_go_at_once() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..30 {
        cluster.put(number % 3, &format!("key/{number}"), "v").await;
    }
    for number in 0..3 {
        cluster.stop(number).await;
    }
    cluster.restart_all().await;
    let mut kv = KvClient::new(cluster.channel(0).await);
    let all = RangeRequest {
        key: "key/".into(),
        range_end: "key0".into(),
        count_only: true,
        ..Default::default()
    };
    assert_eq!(kv.range(all).await.unwrap().into_inner().count, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_on_when_asked() {
    let cluster = Cluster::start(3).await;
    let first = cluster.leader().await;
    let target = (first + 1) % 3;
    let target_id = cluster.handle(target).status().member_id;
    let mut leader = MaintenanceClient::new(cluster.channel(first).await);
    let bad = leader
        .move_leader(MoveLeaderRequest { target_id: 1 })
        .await
        .unwrap_err();
    assert_eq!(bad.message(), "etcdserver: bad leader transferee");
    let mut follower = MaintenanceClient::new(cluster.channel(target).await);
    let not_leader = follower
        .move_leader(MoveLeaderRequest { target_id })
        .await
        .unwrap_err();
    assert_eq!(not_leader.message(), "etcdserver: not leader");
    leader
        .move_leader(MoveLeaderRequest { target_id })
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_and_leaves() {
    let mut cluster = Cluster::start(1).await;
    cluster.put(0, "a", "1").await;
    let (number, url) = cluster.add_seat();
    let added = cluster
        .etcdctl(0, &["member", "add", "m1", &format!("--peer-urls={url}")])
        .await;
    assert!(added.contains("added to cluster"), "{added}");
    cluster.join(number).await;
    assert_eq!(cluster.get(number, "a").await.as_deref(), Some("1"));
    // Ids are made of the URLs and the second, so the same URL alone could be the same id.
    let taken = format!("--peer-urls={url},http://127.0.0.1:1");
    let (ok, _, err) = etcdctl(&cluster.endpoint(0), &["member", "add", "x", &taken], "").await;
    assert!(!ok && err.contains("Peer URLs already exists"), "{err}");
    let id = cluster.handle(number).status().member_id;
    let remove = testkit::poll(SOON, "the new member may be removed", async || {
        let (ok, out, err) = etcdctl(
            &cluster.endpoint(0),
            &["member", "remove", &format!("{id:x}")],
            "",
        )
        .await;
        if ok { Ok(out) } else { Err(err) }
    });
    assert!(remove.await.unwrap().contains("removed from cluster"));
    cluster.put(0, "a", "2").await;
    let members = cluster.etcdctl(0, &["member", "list"]).await;
    assert_eq!(members.lines().count(), 1, "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_folder_does_not_found_again() {
    let mut cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    cluster.stop(2).await;
    std::fs::remove_dir_all(cluster.dir().join("m2")).unwrap();
    let config = store::config::Config::parse(&cluster.flags(2, "new"), []).unwrap();
    let error = store::server::Store::build(config).await.err().unwrap();
    assert!(
        error.to_string().contains("has already been bootstrapped"),
        "{error}"
    );
}

fn lazily(cluster: &Cluster, number: usize) -> KvClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.endpoint(number)));
    KvClient::new(endpoint.unwrap().connect_lazy())
}

/// Whoever is asked, and whoever leads meanwhile or has gone. Without leader there is no answer.
#[tokio::test(flavor = "multi_thread")]
async fn linearizable_reads_never_go_back_in_revision() {
    let mut cluster = Cluster::start(3).await;
    let members = [0, 1, 2].map(|number| lazily(&cluster, number));
    let (seen, answers) = (AtomicI64::new(0), AtomicI64::new(0));
    let read = async |first: usize| {
        for number in first.. {
            let before = seen.load(Ordering::SeqCst);
            let request = RangeRequest {
                key: "a".into(),
                ..Default::default()
            };
            let answer = members[number % 3].clone().range(request).await;
            let Ok(Some(header)) = answer.map(|answer| answer.into_inner().header) else {
                tokio::task::yield_now().await;
                continue;
            };
            assert!(header.revision >= before, "{header:?} after {before}");
            seen.fetch_max(header.revision, Ordering::SeqCst);
            answers.fetch_add(1, Ordering::SeqCst);
        }
    };
    let write = async {
        for number in 0_usize.. {
            let request = PutRequest {
                key: "a".into(),
                ..Default::default()
            };
            // Whether it succeeds is not the question.
            let _ = members[number % 3].clone().put(request).await;
        }
    };
    let answered = async || {
        let before = answers.load(Ordering::SeqCst);
        let come = testkit::poll(SOON, "answers", async || {
            match answers.load(Ordering::SeqCst) - before {
                30.. => Ok(()),
                few => Err(format!("{few} answers")),
            }
        });
        come.await.unwrap();
    };
    let trouble = async {
        for _ in 0..3 {
            answered().await;
            let leader = cluster.leader().await;
            let target_id = cluster.handle((leader + 1) % 3).status().member_id;
            let mut client = MaintenanceClient::new(cluster.channel(leader).await);
            let request = MoveLeaderRequest { target_id };
            client.move_leader(request).await.unwrap();
        }
        let leader = cluster.leader().await;
        cluster.stop(leader).await;
        answered().await;
        cluster.restart(leader).await;
        answered().await;
    };
    tokio::select! {
        () = trouble => {}
        () = write => {}
        _ = futures::future::join3(read(0), read(1), read(2)) => {}
    }
    let seen = seen.into_inner();
    assert!(seen > 1, "nothing was written");
}

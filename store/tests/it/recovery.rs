//! What comes after a loss: members that were removed end themselves, and a member whose cluster is
//! lost goes on alone, out of the others' reach.

use proto_etcd::etcdserverpb::RangeRequest;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use store::server::Store;

use super::harness::{Cluster, SOON, etcdctl};

const REMOVED: &str = "the member has been permanently removed from the cluster";

fn id(cluster: &Cluster, number: usize) -> String {
    format!("{:x}", cluster.handle(number).status().member_id)
}

async fn remove(cluster: &Cluster, through: usize, id: &str) {
    let removed = testkit::poll(SOON, "the member may be removed", async || {
        let args = ["member", "remove", id];
        let (ok, out, err) = etcdctl(&cluster.endpoint(through), &args, "").await;
        if ok { Ok(out) } else { Err(err) }
    });
    assert!(removed.await.unwrap().contains("removed from cluster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_ends_itself_and_does_not_come_back() {
    let mut cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    let leader = cluster.leader().await;
    let (gone, through) = ((leader + 1) % 3, (leader + 2) % 3);
    remove(&cluster, through, &id(&cluster, gone)).await;
    assert_eq!(cluster.wait_end(gone).await, Err(REMOVED.to_owned()));
    cluster.stop(gone).await;
    // With its old folder it ends again.
    let config = cluster.config(gone, "new", &[]);
    cluster.launch_config(gone, config).await;
    assert_eq!(cluster.wait_end(gone).await, Err(REMOVED.to_owned()));
    cluster.put(through, "a", "2").await;
    assert_eq!(cluster.get(leader, "a").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_removed_while_it_was_away_learns_of_it_from_the_others() {
    let mut cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    let leader = cluster.leader().await;
    let (gone, through) = ((leader + 1) % 3, (leader + 2) % 3);
    let removed = id(&cluster, gone);
    cluster.stop(gone).await;
    remove(&cluster, through, &removed).await;
    let config = cluster.config(gone, "new", &[]);
    cluster.launch_config(gone, config).await;
    assert_eq!(cluster.wait_end(gone).await, Err(REMOVED.to_owned()));
    cluster.put(through, "a", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_may_remove_itself() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    remove(&cluster, leader, &id(&cluster, leader)).await;
    assert_eq!(cluster.wait_end(leader).await, Err(REMOVED.to_owned()));
    cluster.put((leader + 1) % 3, "a", "1").await;
    let read = cluster.get((leader + 2) % 3, "a").await;
    assert_eq!(read.as_deref(), Some("1"));
}

/// How many keys begin with `key/`, and the revision.
async fn keys(cluster: &Cluster, number: usize) -> (i64, i64) {
    let mut kv = KvClient::new(cluster.channel(number).await);
    let request = RangeRequest {
        key: "key/".into(),
        range_end: "key0".into(),
        count_only: true,
        ..Default::default()
    };
    let answer = kv.range(request).await.unwrap().into_inner();
    (answer.count, answer.header.unwrap().revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_member_goes_on_alone_and_an_old_majority_cannot_touch_it() {
    let mut cluster = Cluster::start(3).await;
    for number in 0..30 {
        cluster.put(number % 3, &format!("key/{number}"), "v").await;
    }
    let survivor = (cluster.leader().await + 1) % 3;
    let others = [(survivor + 1) % 3, (survivor + 2) % 3];
    // Everything acknowledged has come to the survivor before the others are lost.
    let (count, before) = keys(&cluster, survivor).await;
    assert_eq!(count, 30);
    for other in others {
        cluster.stop(other).await;
    }
    cluster.stop(survivor).await;

    let config = cluster.config(survivor, "new", &["--force-new-cluster"]);
    cluster.launch_config(survivor, config).await;
    cluster.wait_ready(survivor).await;
    let (count, after) = keys(&cluster, survivor).await;
    assert!(count == 30 && after >= before, "{count} {before} {after}");
    cluster.put(survivor, "key/30", "v").await;
    let members = cluster.etcdctl(survivor, &["member", "list"]).await;
    assert_eq!(members.lines().count(), 1, "{members}");

    // Without the flag it stays alone.
    cluster.stop(survivor).await;
    cluster.restart(survivor).await;
    assert_eq!(keys(&cluster, survivor).await.0, 31);

    // The others come back with their folders: a majority of the cluster that was.
    for other in others {
        let config = cluster.config(other, "new", &[]);
        cluster.launch_config(other, config).await;
    }
    for other in others {
        assert_eq!(cluster.wait_end(other).await, Err(REMOVED.to_owned()));
        cluster.stop(other).await;
    }
    assert!(cluster.handle(survivor).status().is_leader());
    assert_eq!(keys(&cluster, survivor).await.0, 31);

    // With empty folders they are new members.
    let (joined, url) = cluster.add_seat();
    let name = format!("m{joined}");
    let peer_urls = format!("--peer-urls={url}");
    cluster
        .etcdctl(survivor, &["member", "add", &name, &peer_urls])
        .await;
    let alone = cluster.survivor_and_newcomer(survivor, joined);
    let config = cluster.config(joined, "existing", &[&alone]);
    cluster.launch_config(joined, config).await;
    cluster.wait_ready(joined).await;
    assert_eq!(keys(&cluster, joined).await.0, 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_lost_cannot_be_forced() {
    let mut cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    let victim = (cluster.leader().await + 1) % 3;
    cluster.stop(victim).await;
    cluster.leader().await;
    let config = cluster.config(victim, "new", &["--force-new-cluster"]);
    let error = Store::build(config).await.err().unwrap().to_string();
    assert!(error.contains("still has a leader"), "{error}");
    // Nothing was changed: it is the same member as before.
    cluster.restart(victim).await;
    assert_eq!(cluster.get(victim, "a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forcing_a_member_without_others_changes_nothing() {
    let mut cluster = Cluster::start(1).await;
    cluster.put(0, "a", "1").await;
    let before = cluster.handle(0).status();
    cluster.stop(0).await;
    let config = cluster.config(0, "new", &["--force-new-cluster"]);
    cluster.launch_config(0, config).await;
    cluster.wait_ready(0).await;
    assert_eq!(cluster.get(0, "a").await.as_deref(), Some("1"));
    assert_eq!(cluster.handle(0).status().member_id, before.member_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_never_ran_lets_go_of_its_folder() {
    let cluster = Cluster::start(1).await;
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--name=solo".to_owned(),
        format!("--data-dir={}", dir.path().display()),
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
    ];
    for _ in 0..3 {
        let config = store::config::Config::parse(&flags, []).unwrap();
        let built = testkit::poll(SOON, "the folder is free", async || {
            let built = Store::build(config.clone()).await;
            built.map_err(|error| base::report(&error).to_string())
        });
        drop(built.await.unwrap());
    }
    drop(cluster);
}

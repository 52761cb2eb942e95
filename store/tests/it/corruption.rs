//! One member's disk is changed behind its back; the others notice and say who it is.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use store::engine::rocks::{RocksEngine, RocksOptions};
use store::engine::{Direction, Engine, Family, Reader, Span, WriteBatch};

use super::harness::{Cluster, SOON, etcdctl};

/// Flips a bit of the value that a stopped member stores for `value`, as a bad disk would if its own
/// checksums did not notice.
async fn flip(cluster: &Cluster, number: usize, value: &[u8]) {
    let state = cluster.dir().join(format!("m{number}/member/state"));
    let current = std::fs::read_to_string(state.join("CURRENT")).unwrap();
    let dir: PathBuf = state.join(current.trim());
    // The member's last reader may still be on its way out.
    let engine = testkit::poll(SOON, "the state is closed", async || {
        RocksEngine::open(&dir, &RocksOptions::default())
            .map_err(|error| base::report(&error).to_string())
    });
    let engine = engine.await.unwrap();
    let mut found = None;
    let mut visit = |key: &[u8], row: &[u8]| {
        if let Some(at) = row.windows(value.len()).position(|window| window == value) {
            let mut row = row.to_vec();
            row[at] ^= 1;
            found = Some((key.to_vec(), row));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    engine
        .scan(Family::Rev, Span::ALL, Direction::Forward, &mut visit)
        .unwrap();
    let (key, row) = found.expect("the member stores the value");
    let mut batch = WriteBatch::new();
    batch.put(Family::Rev, key, row);
    engine.write(batch).unwrap();
    engine.flush().unwrap();
}

async fn alarms(cluster: &Cluster, number: usize) -> String {
    cluster.etcdctl(number, &["alarm", "list"]).await
}

/// Waits until a member reports the alarm about `suspect`.
async fn wait_alarm(cluster: &Cluster, number: usize, suspect: u64) {
    let wanted = format!("memberID:{suspect} alarm:CORRUPT");
    let raised = testkit::poll(SOON, "the alarm", async || {
        let listed = alarms(cluster, number).await;
        if listed.contains(&wanted) {
            Ok(())
        } else {
            Err(format!("{listed:?}, not {wanted}"))
        }
    });
    raised.await.unwrap();
}

async fn filled(flags: &[&str]) -> Cluster {
    let cluster = Cluster::start_with(3, flags).await;
    for number in 0..10 {
        let value = format!("precious-{number}");
        cluster.put(0, &format!("key/{number}"), &value).await;
    }
    cluster
}

/// The first member that is not the leader, stopped, flipped and started again.
async fn flip_one(cluster: &mut Cluster) -> usize {
    let victim = (cluster.leader().await + 1) % 3;
    // A linearizable read: it has applied everything.
    assert_eq!(
        cluster.get(victim, "key/9").await.as_deref(),
        Some("precious-9")
    );
    cluster.stop(victim).await;
    flip(cluster, victim, b"precious-3").await;
    victim
}

/// Over a few periods of the checks, which run every 200 ms: that they run is seen by what comes after.
async fn equal_members_raise_nothing(cluster: &Cluster) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(alarms(cluster, 0).await, "", "all are equal");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_periodic_check_names_the_member_that_differs() {
    let mut cluster = filled(&["--corrupt-check-time=200ms"]).await;
    equal_members_raise_nothing(&cluster).await;
    let victim = flip_one(&mut cluster).await;
    cluster.restart(victim).await;
    let suspect = cluster.handle(victim).status().member_id;
    let other = (victim + 1) % 3;
    wait_alarm(&cluster, other, suspect).await;
    let (ok, _, err) = etcdctl(&cluster.endpoint(other), &["put", "a", "b"], "").await;
    assert!(!ok && err.contains("etcdserver: corrupt cluster"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compaction_check_names_the_member_that_differs() {
    let flags = [
        "--feature-gates=CompactHashCheck=true",
        "--compact-hash-check-time=200ms",
    ];
    let mut cluster = filled(&flags).await;
    cluster.etcdctl(0, &["compact", "5"]).await;
    equal_members_raise_nothing(&cluster).await;
    let victim = flip_one(&mut cluster).await;
    cluster.restart(victim).await;
    let suspect = cluster.handle(victim).status().member_id;
    let other = (victim + 1) % 3;
    cluster.etcdctl(other, &["compact", "9"]).await;
    wait_alarm(&cluster, other, suspect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_differs_does_not_begin_to_serve() {
    let flags = ["--feature-gates=InitialCorruptCheck=true"];
    let mut cluster = filled(&flags).await;
    let victim = flip_one(&mut cluster).await;
    let suspect = format!("{:x}", member_id(&cluster, victim).await);
    let config = cluster.config(victim, "new", &[]);
    cluster.launch_config(victim, config).await;
    assert_eq!(
        cluster.wait_end(victim).await,
        Err(format!("{suspect} found data inconsistency with peers"))
    );
    cluster.put((victim + 1) % 3, "a", "b").await;
}

/// The id of a member that does not run, from another one's list.
async fn member_id(cluster: &Cluster, number: usize) -> u64 {
    let other = cluster.handle((number + 1) % 3).status();
    let name = format!("m{number}");
    let listed = cluster.etcdctl((number + 1) % 3, &["member", "list"]).await;
    let line = listed
        .lines()
        .find(|line| line.contains(&format!(", {name}, ")));
    let id = line.unwrap().split(',').next().unwrap().to_owned();
    let id = u64::from_str_radix(&id, 16).unwrap();
    assert!(other.members.contains_key(&id));
    id
}

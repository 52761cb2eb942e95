//! Three members of the store under the real etcdctl: what a newcomer types first.

use anyhow::{Context, Result, ensure};
use testkit::{Cluster, Shape};

use crate::run::{fails, ok};

#[test]
fn etcdctl_works_on_three_members() -> Result<()> {
    let cluster = Cluster::start(Shape::STORE)?;
    let etcdctl = |words: &str| cluster.etcdctl(&words.split(' ').collect::<Vec<_>>());
    ensure!(ok(etcdctl("put a/1 one"))? == "OK\n");
    ok(etcdctl("put a/2 two"))?;
    ensure!(ok(etcdctl("get --prefix a/"))? == "a/1\none\na/2\ntwo\n");
    ensure!(
        ok(etcdctl(
            "get --prefix a/ --keys-only --sort-by=KEY --order=DESCEND"
        ))?
        .starts_with("a/2")
    );
    let lease = ok(etcdctl("lease grant 600"))?;
    let id = lease.split(' ').nth(1).unwrap_or_default().to_owned();
    ok(etcdctl(&format!("put --lease={id} leased x")))?;
    ensure!(ok(etcdctl(&format!("lease timetolive {id} --keys")))?.contains("leased"));
    ok(etcdctl(&format!("lease revoke {id}")))?;
    ensure!(ok(etcdctl("get leased"))?.is_empty());
    ensure!(ok(etcdctl("member list"))?.lines().count() == 3);
    let status = ok(etcdctl("endpoint status --write-out=json"))?;
    ensure!(status.matches("\"leader\"").count() == 3, "{status}");
    ensure!(
        ok(etcdctl("endpoint health"))?.is_empty()
            || !ok(etcdctl("endpoint health"))?.contains("unhealthy")
    );
    ok(etcdctl("put a/1 three"))?;
    ok(etcdctl("compact 3"))?;
    ensure!(fails(etcdctl("get a/1 --rev=2"))?.contains("required revision has been compacted"));
    Ok(())
}

#[test]
fn state_survives_down_and_up() -> Result<()> {
    let cluster = Cluster::start(Shape {
        stores: 1,
        ..Shape::STORE
    })?;
    ok(cluster.etcdctl(&["put", "kept", "yes"]))?;
    cluster.keelson(&["down"])?;
    ensure!(
        cluster
            .status()?
            .iter()
            .all(|component| component.state == "stopped")
    );
    cluster.restart_all()?;
    ensure!(ok(cluster.etcdctl(&["get", "kept", "--print-value-only"]))? == "yes\n");
    Ok(())
}

#[test]
fn a_paused_leader_is_replaced_and_follows_when_it_goes_on() -> Result<()> {
    let cluster = Cluster::start(Shape::STORE)?;
    let leader = cluster
        .leader("store")?
        .map(|leader| leader.name)
        .unwrap_or_default();
    cluster.keelson(&["pause", &leader])?;
    ensure!(
        cluster
            .status()?
            .iter()
            .any(|c| c.name == leader && c.state == "paused")
    );
    let replaced = testkit::poll_blocking(30, || {
        cluster
            .leader("store")
            .ok()
            .flatten()
            .is_some_and(|now| now.name != leader)
    });
    ensure!(replaced, "nobody took over from {leader}");
    cluster.keelson(&["resume", &leader])?;
    let follows = testkit::poll_blocking(30, || {
        let all = cluster.status().unwrap_or_default();
        all.iter()
            .any(|c| c.name == leader && c.leader == Some(false))
    });
    ensure!(follows, "{leader} does not follow");
    Ok(())
}

#[test]
fn a_leader_waits_between_its_calls_of_a_member_that_is_gone() -> Result<()> {
    let cluster = Cluster::start(Shape::STORE)?;
    let components = cluster.status()?;
    let named = |is_leader| components.iter().find(|c| c.leader == Some(is_leader));
    let (leader, follower) = (
        named(true).context("nobody leads")?,
        named(false).context("nobody follows")?,
    );
    cluster.kill(Some(&follower.name))?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    ok(cluster.etcdctl(&["put", "k", "v"]))?;
    let log = cluster.dir().join(format!("logs/{}.log", leader.name));
    let lines = std::fs::read_to_string(log)?.lines().count();
    ensure!(lines < 500, "{lines} lines in the leader's log in 3 s");
    Ok(())
}

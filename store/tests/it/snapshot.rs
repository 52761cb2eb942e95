//! Data moves in from the real etcd and out to it, by snapshot files: afterwards every client sees the
//! same keys, revisions, leases, users and hashes, and the cluster goes on from there.

use std::path::Path;

use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::*;

use super::harness::{Cluster, connect, etcdctl};
use super::real::{RealEtcd, normal};

const CHEAP: &str = "--bcrypt-cost=4";

/// The first revision that is left after [`fill`].
const COMPACTED: i64 = 8;

/// Runs etcdctl; it must succeed.
async fn run(endpoint: &str, command: &str, input: &str) {
    let args: Vec<&str> = command.split(' ').collect();
    let (ok, out, err) = etcdctl(endpoint, &args, input).await;
    assert!(ok, "etcdctl {command}: {out}{err}");
}

/// A history with everything in it that a snapshot has to keep.
async fn fill(endpoint: &str) {
    let mut leases = LeaseClient::new(connect(endpoint).await);
    for id in [7, 0x7fff_ffff_0000_0001] {
        let ttl = 6_000 + id % 10;
        leases
            .lease_grant(LeaseGrantRequest { ttl, id })
            .await
            .unwrap();
    }
    for command in [
        "put a 1",
        "put b 2",
        "put a 3",
        "put leased x --lease=7",
        "del b",
        "put b 4",
        "put other y --lease=7fffffff00000001",
        "put moved 1 --lease=7",
        "put moved 2",
        "del other",
    ] {
        run(endpoint, command, "").await;
    }
    run(endpoint, "txn", "\n\nput t1 x\nput t2 y\ndel a\n\n\n").await;
    for number in 0..300 {
        let value = format!("{number}").repeat(40);
        run_put(endpoint, &format!("many/{number:04}"), &value).await;
    }
    run_put(endpoint, "big", &"b".repeat(100_000)).await;
    run(endpoint, &format!("compact {COMPACTED}"), "").await;
    for command in [
        "del many/01 --prefix",
        "role add r",
        "role grant-permission r readwrite many/ --prefix",
        "user add root:rpw",
        "user add ann:pw",
        "user grant-role ann r",
        "user grant-role root root",
    ] {
        // Roles named root are there from the start in no etcd.
        if command.ends_with("root root") {
            run(endpoint, "role add root", "").await;
        }
        run(endpoint, command, "").await;
    }
}

async fn run_put(endpoint: &str, key: &str, value: &str) {
    let mut kv = KvClient::new(connect(endpoint).await);
    let request = PutRequest {
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        ..Default::default()
    };
    kv.put(request).await.unwrap();
}

/// Everything that a client can ask for, a line an answer.
async fn look(endpoint: &str) -> Vec<String> {
    let channel = connect(endpoint).await;
    let mut kv = KvClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let mut lines = Vec::new();
    let all = |revision| RangeRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        revision,
        ..Default::default()
    };
    let now = kv.range(all(0)).await.unwrap().into_inner();
    let current = now.header.unwrap().revision;
    // Every tenth is enough for the hundreds of equal steps; the first and the last few are all there.
    let revisions = (0..=current + 1).filter(|at| *at < 20 || at % 10 == 0 || *at > current - 5);
    let mut maintenance = MaintenanceClient::new(channel.clone());
    for revision in revisions {
        let answer = normal(kv.range(all(revision)).await);
        lines.push(format!("at {revision}: {answer}"));
        // For the revision of its last compaction etcd tells what it hashed when it compacted, and no
        // more once it has started again.
        if revision > current || revision == COMPACTED {
            continue;
        }
        // 3.5 does not tell up to where it hashed.
        let hash = maintenance.hash_kv(HashKvRequest { revision }).await;
        let hash = hash.map(|hash| (hash.get_ref().hash, hash.get_ref().compact_revision));
        let hash = hash.map_err(|status| status.message().to_owned());
        lines.push(format!("hash at {revision}: {hash:?}"));
    }
    let mut leases = LeaseClient::new(channel.clone());
    let listed = leases.lease_leases(LeaseLeasesRequest {}).await.unwrap();
    let mut ids: Vec<i64> = listed.into_inner().leases.iter().map(|l| l.id).collect();
    ids.sort_unstable();
    for id in ids {
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let found = leases
            .lease_time_to_live(request)
            .await
            .unwrap()
            .into_inner();
        let mut keys = found.keys;
        keys.sort();
        lines.push(format!("lease {id}: {} {keys:?}", found.granted_ttl));
        assert!(
            (1..=found.granted_ttl + 2).contains(&found.ttl),
            "{}",
            found.ttl
        );
    }
    let mut auth = AuthClient::new(channel);
    lines.push(normal(auth.auth_status(AuthStatusRequest {}).await));
    lines.push(normal(auth.user_list(AuthUserListRequest {}).await));
    lines.push(normal(auth.role_list(AuthRoleListRequest {}).await));
    for name in ["root", "ann"] {
        let name = name.to_owned();
        lines.push(normal(auth.user_get(AuthUserGetRequest { name }).await));
    }
    let role = "r".to_owned();
    lines.push(normal(auth.role_get(AuthRoleGetRequest { role }).await));
    lines
}

/// Compares line by line, so that a difference can be read.
fn same(before: &[String], after: &[String]) {
    for (before, after) in before.iter().zip(after) {
        if before != after {
            let short = |line: &str| line.chars().take(3_000).collect::<String>();
            panic!("before {}\n after {}", short(before), short(after));
        }
    }
    assert_eq!(before.len(), after.len());
    assert!(before.len() > 100);
}

async fn save(endpoint: &str, file: &Path) {
    run(endpoint, &format!("snapshot save {}", file.display()), "").await;
}

/// Restores the file into the folder of every member of a cluster that has not started.
async fn restore(cluster: &Cluster, count: usize, file: &Path, extra: &[&str]) {
    for number in 0..count {
        let mut args: Vec<String> = vec![
            "snapshot".into(),
            "restore".into(),
            file.display().to_string(),
        ];
        let flags = cluster.flags(number, "new");
        args.extend(flags.into_iter().filter(|flag| {
            [
                "--name",
                "--data-dir",
                "--initial-cluster=",
                "--initial-advertise",
            ]
            .iter()
            .any(|wanted| flag.starts_with(wanted))
        }));
        args.extend(extra.iter().map(|flag| (*flag).to_owned()));
        let code = tokio::task::spawn_blocking(move || store::tools::main_etcdutl(args));
        let code = code.await.unwrap();
        assert_eq!(code, std::process::ExitCode::SUCCESS);
    }
}

/// A restored cluster works: it takes writes, users and members.
async fn goes_on(cluster: &mut Cluster, before: &[String]) {
    for number in 0..3 {
        same(before, &look(&cluster.endpoint(number)).await);
    }
    // A member that joins has no log to learn the restored state from, and must get it all the same.
    let (number, url) = cluster.add_seat();
    let add = format!("member add m{number} --peer-urls={url}");
    run(&cluster.endpoint(0), &add, "").await;
    cluster.join(number).await;
    same(before, &look(&cluster.endpoint(number)).await);
    // So does a member that was restored, when it starts again.
    cluster.stop(1).await;
    cluster.restart(1).await;
    same(before, &look(&cluster.endpoint(1)).await);
    let revision = cluster.handle(0).revision();
    cluster.put(1, "new", "1").await;
    assert_eq!(cluster.get(number, "new").await.as_deref(), Some("1"));
    assert_eq!(cluster.handle(1).revision(), revision + 1);
    let endpoint = cluster.endpoint(2);
    run(&endpoint, "auth enable", "").await;
    run(&endpoint, "get many/0001 --user=ann:pw", "").await;
    let (ok, ..) = etcdctl(&endpoint, &["get", "t1", "--user=ann:pw"], "").await;
    assert!(!ok, "ann may not read t1");
    let (ok, ..) = etcdctl(&endpoint, &["get", "t1", "--user=ann:wrong"], "").await;
    assert!(!ok, "this is not ann's password");
    run(&endpoint, "lease revoke 7 --user=root:rpw", "").await;
    run(&endpoint, "auth disable --user=root:rpw", "").await;
    assert_eq!(cluster.get(0, "leased").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_tells_how_much_is_to_come_and_ends_with_its_checksum() {
    use aws_lc_rs::digest::{SHA256, digest};
    let cluster = Cluster::start(1).await;
    let endpoint = cluster.endpoint(0);
    for number in 0..100 {
        run_put(&endpoint, &format!("k{number}"), &"v".repeat(20_000)).await;
    }
    let mut maintenance = MaintenanceClient::new(connect(&endpoint).await);
    // More than may be under way at once: those whose clients have gone must make room.
    for _ in 0..8 {
        let stream = maintenance.snapshot(SnapshotRequest {}).await.unwrap();
        let mut stream = stream.into_inner();
        assert!(stream.message().await.unwrap().is_some());
    }
    let stream = maintenance.snapshot(SnapshotRequest {}).await.unwrap();
    let mut stream = stream.into_inner();
    let (mut file, mut total, mut checksum) = (Vec::new(), None, None);
    while let Some(message) = stream.message().await.unwrap() {
        assert_eq!(message.version, "3.7.0");
        assert!(checksum.is_none(), "nothing may follow the checksum");
        let len = message.blob.len() as u64;
        let size = file.len() as u64;
        if total == Some(size) {
            assert_eq!(message.remaining_bytes, 0);
            checksum = Some(message.blob);
            continue;
        }
        assert!(len > 0 && len <= 32 << 10);
        let announced = *total.get_or_insert(len + message.remaining_bytes);
        assert_eq!(message.remaining_bytes, announced - size - len);
        file.extend_from_slice(&message.blob);
    }
    assert!(file.len() > 2_000_000 && file.len() % 4096 == 0);
    assert_eq!(checksum.as_deref(), Some(digest(&SHA256, &file).as_ref()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves_in_from_etcd() {
    for (name, real) in super::real::real_etcds(&[CHEAP]).await {
        let dir = tempfile::tempdir().unwrap();
        fill(&real.endpoint).await;
        let before = look(&real.endpoint).await;
        let file = dir.path().join(name);
        save(&real.endpoint, &file).await;
        let mut cluster = Cluster::seats(3, &[CHEAP]);
        restore(&cluster, 3, &file, &[]).await;
        cluster.restart_all().await;
        goes_on(&mut cluster, &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves_out_to_etcd() {
    let cluster = Cluster::start_with(1, &[CHEAP]).await;
    fill(&cluster.endpoint(0)).await;
    let before = look(&cluster.endpoint(0)).await;
    for (etcd, tool) in [("etcd", "etcdctl"), ("etcd-3.7", "etcdutl-3.7")] {
        let Ok(tool) = testkit::peer(tool) else {
            assert_ne!(etcd, "etcd", "there must be one to compare with");
            continue;
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        save(&cluster.endpoint(0), &file).await;
        let restored = tokio::process::Command::new(tool)
            .args(["snapshot", "restore"])
            .arg(&file)
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .output()
            .await
            .unwrap();
        let complaints = String::from_utf8_lossy(&restored.stderr);
        assert!(restored.status.success(), "{complaints}");
        let real = RealEtcd::start_in(etcd, dir, &[CHEAP]).await;
        same(&before, &look(&real.endpoint).await);
        run_put(&real.endpoint, "new", "1").await;
        run(&real.endpoint, "auth enable", "").await;
        run(&real.endpoint, "get many/0001 --user=ann:pw", "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves_to_a_cluster_of_its_own_kind() {
    let first = Cluster::start_with(1, &[CHEAP]).await;
    fill(&first.endpoint(0)).await;
    let before = look(&first.endpoint(0)).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    save(&first.endpoint(0), &file).await;
    let mut second = Cluster::seats(3, &[CHEAP]);
    restore(&second, 3, &file, &[]).await;
    second.restart_all().await;
    goes_on(&mut second, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bumped_revision_ends_old_watches_and_keeps_the_keys() {
    let first = Cluster::start(1).await;
    first.put(0, "a", "1").await;
    first.put(0, "a", "2").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    save(&first.endpoint(0), &file).await;
    let mut second = Cluster::seats(1, &[]);
    let bump = ["--bump-revision=1000000", "--mark-compacted"];
    restore(&second, 1, &file, &bump).await;
    second.restart_all().await;
    assert_eq!(second.handle(0).revision(), 1_000_003);
    assert_eq!(second.get(0, "a").await.as_deref(), Some("2"));
    let endpoint = second.endpoint(0);
    let (ok, _, err) = etcdctl(&endpoint, &["get", "a", "--rev=3"], "").await;
    assert!(
        !ok && err.contains("required revision has been compacted"),
        "{err}"
    );
}

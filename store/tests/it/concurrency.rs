//! Locks and elections: the same stories with the real etcd and with ours, and what a cluster of
//! members must do with those who wait.

use std::time::Duration;

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::*;
use proto_etcd::v3electionpb::election_client::ElectionClient;
use proto_etcd::v3electionpb::*;
use proto_etcd::v3lockpb::lock_client::LockClient;
use proto_etcd::v3lockpb::*;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::harness::{Cluster, SOON, connect};
use super::real::{compare_lines, normal, real_etcds};

type Waiting = JoinSet<String>;

/// A server, and what was seen of it.
struct Story {
    channel: Channel,
    lines: Vec<String>,
}

impl Story {
    async fn of(endpoint: &str) -> Self {
        Self {
            channel: connect(endpoint).await,
            lines: Vec::new(),
        }
    }

    fn note(&mut self, what: &str, answer: String) {
        self.lines.push(format!("{what} => {answer}"));
    }

    async fn grant(&self, id: i64, ttl: i64) {
        let mut client = LeaseClient::new(self.channel.clone());
        let request = LeaseGrantRequest { ttl, id };
        client.lease_grant(request).await.unwrap();
    }

    async fn revoke(&self, id: i64) {
        let mut client = LeaseClient::new(self.channel.clone());
        client
            .lease_revoke(LeaseRevokeRequest { id })
            .await
            .unwrap();
    }

    /// The lock is asked for; the answer may take its time.
    fn lock(&self, name: &str, lease: i64) -> Waiting {
        let mut client = LockClient::new(self.channel.clone());
        let name = name.to_owned().into();
        let mut waiting = Waiting::new();
        waiting.spawn(async move { normal(client.lock(LockRequest { name, lease }).await) });
        waiting
    }

    fn campaign(&self, name: &str, lease: i64, value: &str) -> Waiting {
        let mut client = ElectionClient::new(self.channel.clone());
        let request = CampaignRequest {
            name: name.to_owned().into(),
            lease,
            value: value.to_owned().into(),
        };
        let mut waiting = Waiting::new();
        waiting.spawn(async move { normal(client.campaign(request).await) });
        waiting
    }

    async fn unlock(&mut self, key: &str) {
        let mut client = LockClient::new(self.channel.clone());
        let request = UnlockRequest {
            key: key.to_owned().into(),
        };
        let answer = normal(client.unlock(request).await);
        self.note(&format!("unlock {key}"), answer);
    }

    async fn proclaim(&mut self, leader: Option<LeaderKey>, value: &str) {
        let mut client = ElectionClient::new(self.channel.clone());
        let what = format!("proclaim {leader:?} {value}");
        let value = value.to_owned().into();
        let answer = client.proclaim(ProclaimRequest { leader, value }).await;
        self.note(&what, normal(answer));
    }

    async fn resign(&mut self, leader: Option<LeaderKey>) {
        let mut client = ElectionClient::new(self.channel.clone());
        let what = format!("resign {leader:?}");
        self.note(&what, normal(client.resign(ResignRequest { leader }).await));
    }

    async fn leader(&mut self, name: &'static str) -> Option<i64> {
        let mut client = ElectionClient::new(self.channel.clone());
        let answer = client.leader(LeaderRequest { name: name.into() }).await;
        let found = answer.as_ref().ok().and_then(|answer| {
            let kv = answer.get_ref().kv.as_ref()?;
            Some(kv.create_revision)
        });
        self.note(&format!("leader of {name}"), normal(answer));
        found
    }

    /// The real one answers nothing at all before somebody leads.
    fn observe(&self, name: &'static str) -> JoinSet<Streaming<LeaderResponse>> {
        let mut client = ElectionClient::new(self.channel.clone());
        let mut opening = JoinSet::new();
        opening.spawn(async move {
            let answer = client.observe(LeaderRequest { name: name.into() }).await;
            answer.unwrap().into_inner()
        });
        opening
    }

    async fn note_next(&mut self, what: &str, stream: &mut Streaming<LeaderResponse>) {
        let next = tokio::time::timeout(Duration::from_secs(SOON), stream.message());
        let next = next.await.expect("a leader is told soon");
        self.note(what, normal(next.map(Response::new)));
    }

    async fn note_end(&mut self, what: &str, waiting: Waiting) {
        let answer = end(waiting).await;
        self.note(what, answer);
    }

    /// Waits until a key is there or is gone.
    async fn until(&self, key: &str, is_there: bool) {
        let reached = testkit::poll(SOON, "a key comes or goes", async || {
            let mut client = KvClient::new(self.channel.clone());
            let request = RangeRequest {
                key: key.to_owned().into(),
                ..Default::default()
            };
            let count = client.range(request).await.unwrap().into_inner().count;
            if (count == 1) == is_there {
                Ok(())
            } else {
                Err(format!("{key} is there {count} times"))
            }
        });
        reached.await.unwrap();
    }
}

async fn opened<T: 'static>(mut opening: JoinSet<T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(SOON), opening.join_next());
    answer.await.expect("the wait ends soon").unwrap().unwrap()
}

async fn end(waiting: Waiting) -> String {
    opened(waiting).await
}

async fn locks(endpoint: &str) -> Vec<String> {
    let mut s = Story::of(endpoint).await;
    for id in [1, 2, 3, -5] {
        s.grant(id, 1_000).await;
    }
    let first = s.lock("L", 1);
    s.note_end("the first", first).await;
    let again = s.lock("L", 1);
    s.note_end("the first again", again).await;
    let second = s.lock("L", 2);
    s.until("L/2", true).await;
    let third = s.lock("L", 3);
    s.until("L/3", true).await;
    // Who gives up in the middle of the queue leaves it.
    drop(third);
    s.until("L/3", false).await;
    let third = s.lock("L", 3);
    s.until("L/3", true).await;
    // Whose lease ends does not get the lock.
    s.revoke(2).await;
    s.unlock("L/1").await;
    s.note_end("the second", second).await;
    s.note_end("the third", third).await;
    s.unlock("L/3").await;
    let odd = s.lock("L", -5);
    s.note_end("a negative lease", odd).await;
    s.unlock("L/-5").await;
    let odd = s.lock("", 1);
    s.note_end("no name", odd).await;
    let odd = s.lock("L", 99);
    s.note_end("no such lease", odd).await;
    s.unlock("").await;
    s.unlock("nothing").await;
    s.lines
}

async fn elections(endpoint: &str) -> Vec<String> {
    let mut s = Story::of(endpoint).await;
    for id in [1, 2, 3] {
        s.grant(id, 1_000).await;
    }
    let from_the_start = s.observe("E");
    s.leader("E").await;
    let first = s.campaign("E", 1, "a");
    s.note_end("the first", first).await;
    let mut from_the_start = opened(from_the_start).await;
    s.note_next("observed", &mut from_the_start).await;
    let rev = s.leader("E").await.unwrap();
    let leader = LeaderKey {
        name: "E".into(),
        key: "E/1".into(),
        rev,
        lease: 1,
    };
    let again = s.campaign("E", 1, "b");
    s.note_end("the first again", again).await;
    s.note_next("observed", &mut from_the_start).await;
    let second = s.campaign("E", 2, "c");
    s.until("E/2", true).await;
    let third = s.campaign("E", 3, "d");
    s.until("E/3", true).await;
    drop(third);
    s.until("E/3", false).await;
    s.proclaim(Some(leader.clone()), "e").await;
    s.note_next("observed", &mut from_the_start).await;
    s.resign(Some(leader.clone())).await;
    s.note_end("the second", second).await;
    s.note_next("observed", &mut from_the_start).await;
    let mut later = opened(s.observe("E")).await;
    s.note_next("observed later", &mut later).await;
    s.proclaim(Some(leader.clone()), "f").await;
    s.resign(Some(leader.clone())).await;
    s.proclaim(None, "f").await;
    s.resign(None).await;
    // Two revisions that one look skips.
    s.revoke(2).await;
    let next = s.campaign("E", 3, "g");
    s.note_end("the third", next).await;
    s.note_next("observed", &mut from_the_start).await;
    let odd = s.campaign("E", 99, "h");
    s.note_end("no such lease", odd).await;
    s.lines
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_go_as_with_the_real_etcd() {
    let cluster = Cluster::start(1).await;
    let ours = locks(&cluster.endpoint(0)).await;
    assert!(ours.iter().any(|line| line.contains("session is expired")));
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &locks(&real.endpoint).await, &ours, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elections_go_as_with_the_real_etcd() {
    let cluster = Cluster::start(1).await;
    let ours = elections(&cluster.endpoint(0)).await;
    assert!(
        ours.iter()
            .any(|line| line.contains("election: not leader"))
    );
    for (name, real) in real_etcds(&[]).await {
        compare_lines(name, &elections(&real.endpoint).await, &ours, &[]);
    }
}

/// A lease of its own, for a minute, as the real one.
#[tokio::test(flavor = "multi_thread")]
async fn who_brings_no_lease_gets_one() {
    let cluster = Cluster::start(1).await;
    let mut ttls = Vec::new();
    let mut ends = vec![cluster.endpoint(0)];
    let real = real_etcds(&[]).await;
    ends.extend(real.iter().map(|(_, real)| real.endpoint.clone()));
    for endpoint in ends {
        let channel = connect(&endpoint).await;
        let request = LockRequest {
            name: "L".into(),
            lease: 0,
        };
        let locked = LockClient::new(channel.clone()).lock(request).await;
        let key = String::from_utf8(locked.unwrap().into_inner().key.to_vec()).unwrap();
        let id = i64::from_str_radix(key.strip_prefix("L/").unwrap(), 16).unwrap();
        let request = LeaseTimeToLiveRequest { id, keys: true };
        let mut client = LeaseClient::new(channel);
        let answer = client
            .lease_time_to_live(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.keys, [bytes::Bytes::from(key)]);
        ttls.push(answer.granted_ttl);
    }
    assert!(ttls.iter().all(|ttl| *ttl == 60), "{ttls:?}");
}

/// Ours says so at once; the real one only once the lock is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_the_lease_of_who_waits() {
    let cluster = Cluster::start(1).await;
    let s = Story::of(&cluster.endpoint(0)).await;
    s.grant(1, 1_000).await;
    s.grant(2, 1_000).await;
    s.grant(3, 1_000).await;
    end(s.lock("L", 1)).await;
    end(s.campaign("E", 1, "a")).await;
    let (lock, campaign) = (s.lock("L", 2), s.campaign("E", 3, "b"));
    s.until("L/2", true).await;
    s.until("E/3", true).await;
    s.revoke(2).await;
    s.revoke(3).await;
    assert_eq!(end(lock).await, "Unknown: mutex: session is expired");
    assert_eq!(end(campaign).await, "Unknown: election: not leader");
    s.until("L/1", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_serves_those_who_wait() {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let (one, two) = ((leader + 1) % 3, (leader + 2) % 3);
    let on_leader = Story::of(&cluster.endpoint(leader)).await;
    let on_one = Story::of(&cluster.endpoint(one)).await;
    let on_two = Story::of(&cluster.endpoint(two)).await;
    for id in 1..=3 {
        on_leader.grant(id, 1_000).await;
    }
    end(on_one.lock("L", 1)).await;
    let second = on_two.lock("L", 2);
    on_leader.until("L/2", true).await;
    let third = on_leader.lock("L", 3);
    on_leader.until("L/3", true).await;
    // A member that ends sends its waiters away and takes their keys out.
    cluster.stop(two).await;
    let told = end(second).await;
    assert!(told.starts_with("Un"), "{told}");
    on_leader.until("L/2", false).await;
    LockClient::new(on_one.channel.clone())
        .unlock(UnlockRequest { key: "L/1".into() })
        .await
        .unwrap();
    let third = end(third).await;
    assert!(third.starts_with("LockResponse"), "{third}");
}

/// With the rights of who asked: the real one asks as nobody, and is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_gives_up_leaves_the_queue() {
    let cluster = Cluster::start_with(1, &["--bcrypt-cost=4"]).await;
    for command in [
        "user add root:pw",
        "user add ann:pw",
        "role add r",
        "role grant-permission r readwrite L/ --prefix",
        "user grant-role ann r",
        "lease grant 1000",
        "auth enable",
    ] {
        let args: Vec<&str> = command.split(' ').collect();
        cluster.etcdctl(0, &args).await;
    }
    let channel = cluster.channel(0).await;
    let mut auth = auth_client::AuthClient::new(channel.clone());
    let request = AuthenticateRequest {
        name: "ann".into(),
        password: "pw".into(),
    };
    let token = auth.authenticate(request).await.unwrap().into_inner().token;
    let lock = |lease| {
        let mut request = tonic::Request::new(LockRequest {
            name: "L".into(),
            lease,
        });
        request
            .metadata_mut()
            .insert("token", token.parse().unwrap());
        let mut client = LockClient::new(channel.clone());
        async move { client.lock(request).await.map(Response::into_inner) }
    };
    let count = async || {
        let user = ["--user=ann:pw", "get", "L/", "--prefix", "--keys-only"];
        let text = cluster.etcdctl(0, &user).await;
        text.lines().filter(|line| !line.is_empty()).count()
    };
    let first: Result<LockResponse, Status> = lock(0).await;
    first.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(500), lock(0));
    assert!(waits.await.is_err(), "the lock is taken");
    let gone = testkit::poll(SOON, "one key is left", async || match count().await {
        1 => Ok(()),
        count => Err(format!("{count} keys")),
    });
    gone.await.unwrap();
}

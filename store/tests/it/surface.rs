//! Flags of etcd that change how members find and trust each other: certificates that they make
//! themselves, names that they must have, a meeting place, and a domain that names them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base::{OnError, Tasks};
use store::config::Config;
use store::server::{Handle, Store};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::harness::{SOON, etcdctl, free_port};
use super::real::RealEtcd;
use super::tls::{Authority, file};

/// Members that run until it is dropped.
struct Members {
    stop: CancellationToken,
    tasks: Tasks,
}

impl Members {
    fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: Tasks::new("test"),
        }
    }

    fn run(&self, store: Store) -> Handle {
        let handle = store.handle();
        self.tasks
            .spawn("member", OnError::Log, store.run(self.stop.clone()));
        handle
    }

    async fn end(self) {
        self.stop.cancel();
        assert!(self.tasks.shutdown(Duration::from_secs(SOON)).await);
    }
}

async fn wait(handle: &Handle) -> bool {
    let ready = tokio::time::timeout(Duration::from_secs(SOON), handle.wait_ready()).await;
    ready == Ok(true)
}

/// A member with one peer and one client port; `scheme` is that of members.
fn flags(dir: &Path, name: &str, scheme: &str, ports: [u16; 2], more: &[&str]) -> Vec<String> {
    let [peer, client] = ports;
    let mut flags = vec![
        format!("--name={name}"),
        format!("--data-dir={}", file(dir, name)),
        format!("--listen-peer-urls={scheme}://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls={scheme}://127.0.0.1:{peer}"),
        format!("--listen-client-urls=http://127.0.0.1:{client}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client}"),
    ];
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    flags
}

async fn build(flags: &[String]) -> Result<Store, String> {
    let config = Config::parse(flags, []).unwrap();
    let built = Store::build(config).await;
    built.map_err(|error| base::report(&error).to_string())
}

/// Two members in `dir` with these flags, each with certificates named in `certs`.
async fn pair(dir: &Path, certs: [&str; 2], more: &[&str]) -> (Members, [Handle; 2], u16) {
    let ports = [[free_port(), free_port()], [free_port(), free_port()]];
    let cluster = format!(
        "--initial-cluster=a=https://127.0.0.1:{},b=https://127.0.0.1:{}",
        ports[0][0], ports[1][0]
    );
    let members = Members::new();
    let mut handles = Vec::new();
    for ((name, ports), cert) in ["a", "b"].into_iter().zip(ports).zip(certs) {
        let (crt, key) = (
            format!("--peer-cert-file={}", file(dir, &format!("{cert}.crt"))),
            format!("--peer-key-file={}", file(dir, &format!("{cert}.key"))),
        );
        let mut all = vec![cluster.as_str()];
        if !cert.is_empty() {
            all.extend([crt.as_str(), key.as_str()]);
        }
        all.extend(more);
        let store = build(&flags(dir, name, "https", ports, &all)).await;
        handles.push(members.run(store.unwrap()));
    }
    let [a, b] = <[Handle; 2]>::try_from(handles).ok().unwrap();
    (members, [a, b], ports[0][1])
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_make_their_own_certificates_find_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (members, handles, client) = pair(dir.path(), ["", ""], &["--peer-auto-tls"]).await;
    for handle in &handles {
        assert!(wait(handle).await, "{:?}", handle.status());
    }
    let put = etcdctl(&format!("127.0.0.1:{client}"), &["put", "a", "1"], "").await;
    assert!(put.0, "{}", put.2);
    assert!(dir.path().join("a/fixtures/peer/cert.pem").exists());
    members.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_must_have_an_allowed_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let authority = Authority::new();
    authority.write(dir, "friend", &["127.0.0.1"]);
    authority.write(dir, "stranger", &["127.0.0.1"]);
    let ca = format!("--peer-trusted-ca-file={}", file(dir, "ca.crt"));
    let more = [
        ca.as_str(),
        "--peer-client-cert-auth",
        "--peer-cert-allowed-cn=other,friend",
    ];
    let (members, handles, _) = pair(dir, ["friend", "friend"], &more).await;
    assert!(wait(&handles[0]).await && wait(&handles[1]).await);
    members.end().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let dir = elsewhere.path();
    authority.write(dir, "friend", &["127.0.0.1"]);
    authority.write(dir, "stranger", &["127.0.0.1"]);
    let ca = format!("--peer-trusted-ca-file={}", file(dir, "ca.crt"));
    let more = [ca.as_str(), more[1], more[2]];
    // One of two is turned away: there is no quorum.
    let (members, handles, _) = pair(dir, ["friend", "stranger"], &more).await;
    let met = tokio::time::timeout(Duration::from_secs(3), handles[0].wait_ready()).await;
    assert!(
        met.is_err(),
        "a stranger's certificate must not do: {met:?}"
    );
    members.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn founding_members_meet_at_a_running_etcd() {
    let place = RealEtcd::start_with("etcd", &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let meet = |token: &str| {
        [
            format!("--discovery-token={token}"),
            format!("--discovery-endpoints=127.0.0.1:1,{}", place.endpoint),
        ]
    };
    let member = async |name: &str, token: &str| {
        let [token, endpoints] = meet(token);
        let ports = [free_port(), free_port()];
        let flags = flags(dir, name, "http", ports, &[&token, &endpoints]);
        (build(&flags).await, ports[1])
    };
    let (unknown, _) = member("x", "unknown").await;
    assert_eq!(
        unknown.err().unwrap(),
        "failed to join discovery cluster: discovery: size key not found: put the number of members to \
         /_etcd/registry/unknown/_config/size of the discovery service"
    );
    let size = ["put", "/_etcd/registry/t/_config/size", "2"];
    assert!(etcdctl(&place.endpoint, &size, "").await.0);
    let (a, b) = tokio::join!(member("a", "t"), member("b", "t"));
    let members = Members::new();
    let handles = [members.run(a.0.unwrap()), members.run(b.0.unwrap())];
    assert!(wait(&handles[0]).await && wait(&handles[1]).await);
    let (ok, out, err) = etcdctl(&format!("127.0.0.1:{}", a.1), &["member", "list"], "").await;
    assert!(ok && out.lines().count() == 2, "{out}{err}");
    let (late, _) = member("c", "t").await;
    let error = late.err().unwrap();
    assert_eq!(
        error,
        "failed to join discovery cluster: discovery: cluster is full"
    );
    members.end().await;
}

/// Answers questions for the SRV records of one service with 127.0.0.1 at each port, and says of any
/// other name that there is none.
async fn serve_dns(socket: UdpSocket, service: &str, ports: &[u16]) {
    let service: Vec<u8> = service.split('.').fold(Vec::new(), |mut name, label| {
        name.push(u8::try_from(label.len()).unwrap());
        name.extend(label.as_bytes());
        name
    });
    loop {
        let mut question = [0; 512];
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        let mut answer = question[..length].to_vec();
        answer[2] = 0x84;
        if answer[12..].starts_with(&service) {
            answer[7] = u8::try_from(ports.len()).unwrap();
            for port in ports {
                answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 1, 0, 17, 0, 0, 0, 0]);
                answer.extend(port.to_be_bytes());
                answer.extend(b"\x03127\x010\x010\x011\0");
            }
        } else {
            answer[3] = 3;
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn founding_members_are_the_records_of_a_domain() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server: SocketAddr = socket.local_addr().unwrap();
    let [a, b, c] = [0; 3].map(|_| [free_port(), free_port()]);
    let members = Members::new();
    let stop = members.tasks.stop().clone();
    members.tasks.spawn_infallible("dns", async move {
        let ports = [a[0], b[0]];
        let serve = serve_dns(socket, "_etcd-server-blue._tcp.a.test", &ports);
        stop.run_until_cancelled(serve).await;
    });
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let member = async |name: &str, ports: [u16; 2], more: &[&str]| {
        let flags = flags(dir, name, "http", ports, more);
        let mut config = Config::parse(&flags, []).unwrap();
        config.discovery_srv.as_mut().unwrap().servers = vec![server];
        let built = Store::build(config).await;
        built.map_err(|error| base::report(&error).to_string())
    };
    let blue = ["--discovery-srv=a.test", "--discovery-srv-name=blue"];
    let (first, second) = tokio::join!(member("a", a, &blue), member("b", b, &blue));
    let handles = [members.run(first.unwrap()), members.run(second.unwrap())];
    assert!(wait(&handles[0]).await && wait(&handles[1]).await);
    let (ok, out, err) = etcdctl(&format!("127.0.0.1:{}", a[1]), &["member", "list"], "").await;
    let mut names: Vec<&str> = out
        .lines()
        .filter_map(|line| line.split(", ").nth(2))
        .collect();
    names.sort_unstable();
    assert!(ok && names == ["a", "b"], "{out}{err}");
    let stranger = member("c", c, &blue).await.err().unwrap();
    assert_eq!(
        stranger,
        "error setting up initial cluster: cannot find local etcd member \"c\" in SRV records"
    );
    let unknown = member("d", c, &["--discovery-srv=a.test"]).await;
    let no_host = |service: &str| {
        format!(
            "error querying DNS SRV records for _{service} lookup _{service}._tcp.a.test on {server}: no such host"
        )
    };
    assert_eq!(
        unknown.err().unwrap(),
        format!(
            "error setting up initial cluster: {}; {}",
            no_host("etcd-server-ssl"),
            no_host("etcd-server")
        )
    );
    members.end().await;
}

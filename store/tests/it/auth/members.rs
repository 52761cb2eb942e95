//! Several members: a token holds at all of them, a right that was taken is gone at all of them, and
//! signed tokens are the same at ours and at the real etcd.

use std::path::Path;

use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::*;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::super::harness::{Cluster, connect, etcdctl};
use super::super::real::RealEtcd;
use super::CHEAP;

/// Users root and ann; ann may read what begins with `a/`.
pub(super) async fn set_up(endpoint: &str) {
    let commands = [
        "user add root:pw",
        "user add ann:pw",
        "role add r",
        "role grant-permission r read a/ --prefix",
        "user grant-role ann r",
        "put a/1 x",
        "put b/1 y",
        "auth enable",
    ];
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        let (ok, out, err) = etcdctl(endpoint, &args, "").await;
        assert!(ok, "{command}: {out}{err}");
    }
}

async fn token(channel: &Channel, user: &str) -> String {
    let mut auth = AuthClient::new(channel.clone());
    let request = AuthenticateRequest {
        name: user.into(),
        password: "pw".into(),
    };
    auth.authenticate(request).await.unwrap().into_inner().token
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("token", token.parse().unwrap());
    request
}

async fn read(channel: &Channel, token: &str, key: &str) -> Result<usize, Status> {
    let range = RangeRequest {
        key: key.to_owned().into(),
        ..Default::default()
    };
    let mut kv = KvClient::new(channel.clone());
    let answer = kv.range(with(token, range)).await?;
    Ok(answer.into_inner().kvs.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_holds_at_every_member_until_its_user_changes() {
    let mut cluster = Cluster::start_with(3, &[CHEAP]).await;
    set_up(&cluster.endpoint(0)).await;
    let mut channels = Vec::new();
    for number in 0..3 {
        channels.push(cluster.channel(number).await);
    }
    for giver in &channels {
        let token = token(giver, "ann").await;
        // At once, also where its entry may not have come yet.
        for taker in &channels {
            assert_eq!(read(taker, &token, "a/1").await.unwrap(), 1);
            let denied = read(taker, &token, "b/1").await.unwrap_err();
            assert_eq!(denied.code(), Code::PermissionDenied);
        }
    }
    let (root, ann) = (
        token(&channels[1], "root").await,
        token(&channels[2], "ann").await,
    );
    let mut auth = AuthClient::new(channels[0].clone());
    let revoke = AuthUserRevokeRoleRequest {
        name: "ann".into(),
        role: "r".into(),
    };
    auth.user_revoke_role(with(&root, revoke)).await.unwrap();
    for channel in &channels {
        let denied = read(channel, &ann, "a/1").await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
    }
    let delete = AuthUserDeleteRequest { name: "ann".into() };
    auth.user_delete(with(&root, delete)).await.unwrap();
    for channel in &channels {
        let nobody = read(channel, &ann, "a/1").await.unwrap_err();
        assert_eq!(nobody.message(), "etcdserver: invalid auth token");
    }
    assert_hashes_are_equal(&channels, &root).await;

    // A member that starts anew knows no token, and a client that is told so gets another.
    cluster.stop(2).await;
    cluster.restart(2).await;
    let again = cluster.channel(2).await;
    let forgotten = read(&again, &root, "b/1").await.unwrap_err();
    assert_eq!(forgotten.code(), Code::Unauthenticated);
    let fresh = token(&again, "root").await;
    assert_eq!(read(&again, &fresh, "b/1").await.unwrap(), 1);
    assert_eq!(read(&channels[0], &fresh, "b/1").await.unwrap(), 1);
}

async fn assert_hashes_are_equal(channels: &[Channel], root: &str) {
    let mut hashes = Vec::new();
    for channel in channels {
        let mut maintenance = MaintenanceClient::new(channel.clone());
        let request = HashKvRequest { revision: 3 };
        let answer = maintenance.hash_kv(with(root, request)).await.unwrap();
        hashes.push(answer.into_inner().hash);
        let refused = maintenance.hash_kv(HashKvRequest::default()).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_joins_knows_the_users() {
    let mut cluster = Cluster::start_with(1, &[CHEAP]).await;
    set_up(&cluster.endpoint(0)).await;
    let (number, url) = cluster.add_seat();
    let add = [
        "member",
        "add",
        "m1",
        &format!("--peer-urls={url}"),
        "--user=root:pw",
    ];
    cluster.etcdctl(0, &add).await;
    cluster.join(number).await;
    let ann = ["--user=ann:pw", "get", "a/1", "--print-value-only"];
    assert_eq!(cluster.etcdctl(number, &ann).await, "x\n");
    let denied = ["--user=ann:pw", "get", "b/1"];
    let (ok, _, err) = etcdctl(&cluster.endpoint(number), &denied, "").await;
    assert!(
        !ok && err.contains("etcdserver: permission denied"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_end_whoevers_keys_hang_on_them() {
    let cluster = Cluster::start_with(1, &[CHEAP]).await;
    let granted = cluster.etcdctl(0, &["lease", "grant", "2"]).await;
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    cluster
        .etcdctl(0, &["put", "b/leased", "v", &format!("--lease={id}")])
        .await;
    set_up(&cluster.endpoint(0)).await;
    let root = token(&cluster.channel(0).await, "root").await;
    let channel = cluster.channel(0).await;
    let gone = testkit::poll(
        super::super::harness::SOON,
        "the key goes",
        async || match read(&channel, &root, "b/leased").await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
    gone.await.unwrap();
}

fn jwt_flag(key: &Path) -> String {
    format!(
        "--auth-token=jwt,sign-method=ES256,priv-key={},ttl=1m",
        key.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_are_those_of_the_real_etcd() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let flag = jwt_flag(&key);
    let cluster = Cluster::start_with(3, &[CHEAP, &flag]).await;
    let real = RealEtcd::start_with("etcd", &[CHEAP, &flag]).await;
    set_up(&cluster.endpoint(0)).await;
    set_up(&real.endpoint).await;
    let (ours, theirs) = (cluster.channel(1).await, connect(&real.endpoint).await);
    for (maker, reader) in [(&ours, &theirs), (&theirs, &ours), (&ours, &ours)] {
        let token = token(maker, "ann").await;
        assert_eq!(token.matches('.').count(), 2, "{token}");
        assert_eq!(read(reader, &token, "a/1").await.unwrap(), 1);
        let denied = read(reader, &token, "b/1").await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
    let (root, ann) = (token(&ours, "root").await, token(&ours, "ann").await);
    for channel in [&ours, &theirs] {
        let mut auth = AuthClient::new(channel.clone());
        let add = AuthRoleAddRequest { name: "s".into() };
        auth.role_add(with(&root, add)).await.unwrap();
        let old = read(channel, &ann, "a/1").await.unwrap_err();
        assert_eq!(old.code(), Code::InvalidArgument);
        assert_eq!(old.message(), "etcdserver: revision of auth store is old");
        let forged = format!("{ann}x");
        let invalid = read(channel, &forged, "a/1").await.unwrap_err();
        assert_eq!(invalid.code(), Code::Unauthenticated);
    }
    // The real client gets itself a new token and tries again.
    let out = cluster.etcdctl(2, &["--user=ann:pw", "get", "a/1"]).await;
    assert_eq!(out, "a/1\nx\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_none_keeps_a_member_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pem");
    std::fs::write(&key, "nonsense").unwrap();
    let data = format!("--data-dir={}", dir.path().join("data").display());
    let flags = [
        "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:1".to_owned(),
        data,
        jwt_flag(&key),
    ];
    let config = store::config::Config::parse(&flags, []).unwrap();
    let error = store::server::Store::build(config).await.err().unwrap();
    let error = base::report(&error).to_string();
    assert!(error.contains("failed to create token provider"), "{error}");
    assert!(error.contains("holds no private key for ES256"), "{error}");
}

//! Every service by gRPC, asked by everybody: nobody, one with a token that is none, a user with few
//! rights and the root user. The same codes and words as the real etcd.

mod keys;
mod services;

use std::collections::BTreeMap;

use proto_etcd::authpb::permission::Type;
use proto_etcd::authpb::{Permission, UserAddOptions};
use proto_etcd::etcdserverpb::auth_client::AuthClient;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::lease_client::LeaseClient;
use proto_etcd::etcdserverpb::*;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::super::harness::connect;
use super::super::real::normal;
use super::{CHEAP, compare_lines, one_member, real_etcds};

/// bcrypt's hash of "given" at cost 4, in base64.
const HASH_OF_GIVEN: &str =
    "JDJhJDA0JGZVS2dDY1lMN3cvd1V2YThISWRCWi41WXNSMjhrUzlGS211TGNhTkdpRzVFLkJibGhDVXku";

/// What 3.5 answers differently: it has no streamed ranges, uses other words for some refusals, wants
/// administrators where 3.7 does not, takes the right to one key for the right to watch all from there
/// on, and shows no permissions of the root role.
const NEWER: &[&str] = &[
    " streams",
    " defragments",
    " hashes",
    " asks for a snapshot",
    " asks for the status",
    r#" watches "b" "\0""#,
    r#" looks at role "root""#,
];

/// Words of which one is in every answer to somebody unknown.
const REFUSALS: &[&str] = &[
    "etcdserver: user name is empty",
    "etcdserver: invalid auth token",
    // What is said before it matters who asks.
    "etcdserver: key is not provided",
    "etcdserver: given member URLs are invalid",
    "etcdserver: mvcc: required revision has been compacted",
    // Who has no name may ask for the user without one.
    "etcdserver: user name not found",
];

/// One server, the tokens that it gave, and what it answered.
struct Session {
    channel: Channel,
    tokens: BTreeMap<&'static str, String>,
    lines: Vec<String>,
}

/// Whether it succeeded, where what is answered differs for other reasons.
fn brief<T>(answer: Result<Response<T>, Status>) -> String {
    match answer {
        Ok(_) => "granted".into(),
        Err(status) => format!("{:?}: {}", status.code(), status.message()),
    }
}

/// The first message of a stream, as far as it goes.
async fn first<T>(
    answer: Result<Response<Streaming<T>>, Status>,
) -> Result<Response<Option<T>>, Status> {
    let mut stream = answer?.into_inner();
    Ok(Response::new(stream.message().await?))
}

impl Session {
    fn by<T>(&self, user: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = self.tokens.get(user) {
            request
                .metadata_mut()
                .insert("token", token.parse().unwrap());
        }
        request
    }

    fn note(&mut self, what: &str, answer: String) {
        self.lines.push(format!("{what} => {answer}"));
    }

    async fn log_in(&mut self, user: &'static str, password: &str) {
        let mut auth = AuthClient::new(self.channel.clone());
        let request = AuthenticateRequest {
            name: user.into(),
            password: password.into(),
        };
        let answer = auth.authenticate(request).await;
        if let Ok(answer) = &answer {
            self.tokens.insert(user, answer.get_ref().token.clone());
        }
        self.note(&format!("{user} logs in with {password:?}"), brief(answer));
    }

    async fn add(&mut self, request: AuthUserAddRequest) {
        let mut auth = AuthClient::new(self.channel.clone());
        let what = format!("add {request:?}");
        let answer = auth.user_add(request).await;
        self.note(&what, normal(answer));
    }

    async fn grant(&mut self, role: &str, perm: Option<Permission>) {
        let mut auth = AuthClient::new(self.channel.clone());
        let name = role.into();
        let request = AuthRoleGrantPermissionRequest { name, perm };
        let what = format!("grant {request:?}");
        let answer = auth.role_grant_permission(request).await;
        self.note(&what, normal(answer));
    }
}

fn user(name: &str, password: &str) -> AuthUserAddRequest {
    AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        ..Default::default()
    }
}

fn perm(kind: i32, key: &'static str, range_end: &'static str) -> Option<Permission> {
    Some(Permission {
        perm_type: kind,
        key: key.into(),
        range_end: range_end.into(),
    })
}

/// Users and roles in the corners of what etcdctl can say, before the checks are on.
async fn corners(s: &mut Session) {
    s.log_in("root", "pw").await;
    s.add(user("", "pw")).await;
    s.add(user("root", "pw")).await;
    s.add(user("long", &"x".repeat(73))).await;
    s.add(user("longest", &"x".repeat(72))).await;
    s.add(user("empty", "")).await;
    s.add(AuthUserAddRequest {
        hashed_password: HASH_OF_GIVEN.into(),
        ..user("hashed", "")
    })
    .await;
    s.add(AuthUserAddRequest {
        hashed_password: "no base64".into(),
        options: Some(UserAddOptions { no_password: true }),
        ..user("fay", "pw")
    })
    .await;
    s.add(user("ann", "pw")).await;
    let mut auth = AuthClient::new(s.channel.clone());
    for name in ["", "r", "root"] {
        let answer = auth
            .role_add(AuthRoleAddRequest { name: name.into() })
            .await;
        s.note(&format!("role {name:?}"), normal(answer));
    }
    let (read, write) = (Type::Read as i32, Type::Write as i32);
    s.grant("r", None).await;
    for (key, end) in [("", ""), ("", "\0"), ("b", "b"), ("b", "a")] {
        s.grant("r", perm(read, key, end)).await;
    }
    for (kind, key, end) in [
        (7, "q", ""),
        (read, "a", "c"),
        (write, "b", "d"),
        (read, "m", ""),
        (write, "m", "\0"),
    ] {
        s.grant("r", perm(kind, key, end)).await;
    }
    for (user, role) in [("root", "root"), ("ann", "r"), ("fay", "root")] {
        let request = AuthUserGrantRoleRequest {
            user: user.into(),
            role: role.into(),
        };
        let answer = auth.user_grant_role(request).await;
        s.note(&format!("{user} gets {role}"), normal(answer));
    }
    let role = auth.role_get(AuthRoleGetRequest { role: "r".into() }).await;
    s.note("role r", normal(role));
    let answer = auth.auth_enable(AuthEnableRequest {}).await;
    s.note("enable", normal(answer));
}

/// Passwords, once the checks are on.
async fn passwords(s: &mut Session) {
    let long: String = "x".repeat(72) + "and more";
    for (user, password) in [
        ("root", "pw"),
        ("ann", "pw"),
        ("ann", "pw2"),
        ("longest", &long),
        ("empty", ""),
        ("empty", "x"),
        ("hashed", "given"),
        ("hashed", ""),
        ("fay", "pw"),
        ("nobody", "pw"),
        ("", ""),
    ] {
        s.log_in(user, password).await;
    }
    let mut auth = AuthClient::new(s.channel.clone());
    for (name, password, hash) in [
        ("hashed", "", HASH_OF_GIVEN),
        ("hashed", "", "no base64"),
        ("hashed", "taken", HASH_OF_GIVEN),
        ("empty", "", ""),
        ("fay", "x", ""),
        ("nobody", "x", ""),
    ] {
        let request = AuthUserChangePasswordRequest {
            name: name.into(),
            password: password.into(),
            hashed_password: hash.into(),
        };
        let answer = auth.user_change_password(s.by("root", request)).await;
        s.note(
            &format!("{name} gets {password:?} or {hash:?}"),
            normal(answer),
        );
        s.log_in("hashed", "given").await;
        s.log_in("hashed", "taken").await;
    }
    s.log_in("empty", "").await;
    s.log_in("fay", "x").await;
}

async fn transcript(endpoint: &str) -> Vec<String> {
    let mut s = Session {
        channel: connect(endpoint).await,
        tokens: BTreeMap::from([("stranger", "nonsense.1".to_owned())]),
        lines: Vec::new(),
    };
    corners(&mut s).await;
    passwords(&mut s).await;
    let mut kv = KvClient::new(s.channel.clone());
    let mut lease = LeaseClient::new(s.channel.clone());
    for (id, key) in [(7, "b"), (8, "c0")] {
        let grant = LeaseGrantRequest { ttl: 900, id };
        lease.lease_grant(s.by("root", grant)).await.unwrap();
        let put = PutRequest {
            lease: id,
            key: key.into(),
            ..Default::default()
        };
        kv.put(s.by("root", put)).await.unwrap();
    }
    for who in ["unnamed", "stranger", "ann", "root"] {
        keys::everything(&mut s, who).await;
        services::everything(&mut s, who).await;
    }
    s.lines
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_as_by_the_real_etcd() {
    let cluster = one_member().await;
    let ours = transcript(&cluster.endpoint(0)).await;
    assert!(ours.len() > 400, "{}", ours.len());
    for line in &ours {
        let is_unknown = line.starts_with("unnamed ") || line.starts_with("stranger ");
        let is_refused = REFUSALS.iter().any(|words| line.contains(words));
        let is_open = line.starts_with("unnamed asks for the status of users");
        assert!(!is_unknown || is_refused || is_open, "{line}");
        let is_leak = line.starts_with(r#"ann watches "b" "\0""#);
        assert!(!is_leak || line.contains("permission denied"), "{line}");
    }
    for (name, real) in real_etcds(&[CHEAP]).await {
        compare_lines(name, &transcript(&real.endpoint).await, &ours, NEWER);
    }
}

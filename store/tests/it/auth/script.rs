//! An operator's day by the real etcdctl, on each server: the same words on the screen.

use super::super::harness::etcdctl;
use super::{CHEAP, compare_lines, one_member, real_etcds};

/// A user and its password, a command, and what is typed in.
type Line = (&'static str, &'static str, &'static str);

const TXN_OF_BOB: &str = "mod(\"b\") > \"0\"\n\nput c 1\nget c\n\nget b\n\n";
const TXN_THAT_COMPARES: &str = "mod(\"a\") > \"0\"\n\nput c 2\n\n\n";
const TXN_THAT_HIDES_A_PUT: &str = "\n\nget a\n\nput z 1\n\n";

/// Before anybody has to say who they are.
const OPEN: &[Line] = &[
    ("", "auth status", ""),
    ("", "user list", ""),
    ("", "role list", ""),
    ("", "user get root", ""),
    ("", "role get r", ""),
    ("", "user delete root", ""),
    ("", "role delete r", ""),
    ("", "auth enable", ""),
    ("", "auth disable", ""),
    ("", "user add root:pw", ""),
    ("", "user add root:pw", ""),
    ("", "user add ann:pw", ""),
    ("", "user add bob:pw", ""),
    ("", "user add fay --no-password", ""),
    ("", "user passwd nobody --interactive=false", "pw\n"),
    ("", "role add r", ""),
    ("", "role add r", ""),
    ("", "role add w", ""),
    ("", "role add gone", ""),
    ("", "role grant-permission r read a c", ""),
    ("", "role grant-permission r readwrite d", ""),
    ("", "role grant-permission r read d", ""),
    ("", "role grant-permission r write e/ --prefix", ""),
    ("", "role grant-permission w readwrite b --from-key", ""),
    ("", "role grant-permission w read b a", ""),
    ("", "role grant-permission nope read a", ""),
    ("", "role get r", ""),
    ("", "role get w", ""),
    ("", "user grant-role ann r", ""),
    ("", "user grant-role ann r", ""),
    ("", "user grant-role ann nope", ""),
    ("", "user grant-role nobody r", ""),
    ("", "user grant-role bob w", ""),
    ("", "user grant-role bob gone", ""),
    ("", "user get ann", ""),
    ("", "user get bob --detail", ""),
    ("", "user list", ""),
    ("", "role list", ""),
    ("", "put a 1", ""),
    ("", "put d 2", ""),
    ("", "put z 3", ""),
    ("ann:pw", "get z", ""),
    ("", "auth status", ""),
    ("", "auth enable", ""),
];

/// While everybody has to.
const GUARDED: &[Line] = &[
    ("root:pw", "auth status", ""),
    ("", "get a", ""),
    ("", "put a 2", ""),
    ("", "user list", ""),
    ("ann:wrong", "get a", ""),
    ("nobody:pw", "get a", ""),
    ("fay:pw", "get a", ""),
    ("ann:pw", "get a", ""),
    ("ann:pw", "get a c", ""),
    ("ann:pw", "get a d", ""),
    ("ann:pw", "get a --from-key", ""),
    ("ann:pw", "get z", ""),
    ("ann:pw", "get z --consistency=s", ""),
    ("ann:pw", "put d 5", ""),
    ("ann:pw", "get d", ""),
    ("ann:pw", "put e/1 x", ""),
    ("ann:pw", "put e/1 y --prev-kv", ""),
    ("ann:pw", "get e/1", ""),
    ("ann:pw", "del e/ --prefix --prev-kv", ""),
    ("ann:pw", "del e/ --prefix", ""),
    ("ann:pw", "del a", ""),
    ("bob:pw", "put b 1", ""),
    ("bob:pw", "put b 2 --prev-kv", ""),
    ("bob:pw", "get b --from-key", ""),
    ("bob:pw", "get a --from-key", ""),
    ("bob:pw", "txn", TXN_OF_BOB),
    ("bob:pw", "txn", TXN_THAT_COMPARES),
    ("ann:pw", "txn", TXN_THAT_HIDES_A_PUT),
    ("ann:pw", "user get ann", ""),
    ("ann:pw", "user get bob", ""),
    ("ann:pw", "user list", ""),
    ("ann:pw", "role get r", ""),
    ("ann:pw", "role get w", ""),
    ("ann:pw", "role list", ""),
    ("ann:pw", "user add eve:pw", ""),
    ("ann:pw", "user passwd ann --interactive=false", "x\n"),
    ("ann:pw", "user grant-role ann root", ""),
    ("ann:pw", "role add s", ""),
    ("ann:pw", "auth disable", ""),
    ("ann:pw", "member add x --peer-urls=http://127.0.0.1:1", ""),
    ("ann:pw", "member remove 1234", ""),
    ("ann:pw", "compaction 3", ""),
    ("ann:pw", "alarm disarm", ""),
    ("root:pw", "user delete root", ""),
    ("root:pw", "role delete root", ""),
    ("root:pw", "user revoke-role root root", ""),
    ("root:pw", "role get root", ""),
    ("root:pw", "role revoke-permission r a c", ""),
    ("root:pw", "role revoke-permission r a c", ""),
    ("ann:pw", "get a", ""),
    ("root:pw", "role delete gone", ""),
    ("root:pw", "role delete gone", ""),
    ("root:pw", "user get bob", ""),
    ("root:pw", "user revoke-role bob w", ""),
    ("root:pw", "user revoke-role bob w", ""),
    ("bob:pw", "get b", ""),
    ("root:pw", "user passwd ann --interactive=false", "new\n"),
    ("ann:pw", "get d", ""),
    ("ann:new", "get d", ""),
    ("root:pw", "user delete bob", ""),
    ("root:pw", "user delete bob", ""),
    ("bob:pw", "get b", ""),
    ("root:pw", "get z", ""),
    ("root:pw", "compaction 3", ""),
    ("root:pw", "auth status", ""),
    ("root:pw", "auth disable", ""),
    ("", "auth status", ""),
    ("", "user list", ""),
    ("ann:new", "get z", ""),
];

/// Where 3.5 has other answers than 3.7: the root role's own permissions.
const NEWER: &[&str] = &["root:pw role get root"];

/// Whether it succeeded, what it printed, and its complaint without the client's own log.
async fn run(endpoint: &str, (user, command, input): Line) -> String {
    let user_flag = format!("--user={user}");
    let mut args: Vec<&str> = command.split(' ').collect();
    if !user.is_empty() {
        args.push(&user_flag);
    }
    let (ok, out, err) = etcdctl(endpoint, &args, input).await;
    let complaints = err.lines().filter(|line| line.starts_with("Error: "));
    let complaints: Vec<&str> = complaints.collect();
    format!("{user} {command} => {ok} {out:?} {complaints:?}")
}

async fn transcript(endpoint: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in OPEN.iter().chain(GUARDED) {
        lines.push(run(endpoint, *line).await);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_the_real_etcd_shows() {
    let cluster = one_member().await;
    let ours = transcript(&cluster.endpoint(0)).await;
    assert!(ours.len() > 100);
    for (name, real) in real_etcds(&[CHEAP]).await {
        compare_lines(name, &transcript(&real.endpoint).await, &ours, NEWER);
    }
}

//! Proves that a link knows who sends, that each direction is held by itself, and that what was
//! held is delivered.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Proxy, Rules};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);

struct Pair {
    rules: watch::Sender<Rules>,
    /// Member 0, which opened the connection.
    opener: TcpStream,
    /// Member 1, behind the proxy.
    member: TcpStream,
    _tasks: Tasks,
}

/// A connection from member 0, which is the process `pid`, to member 1.
async fn open(pid: u32, rules: Rules) -> Option<Pair> {
    let behind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let listener = Proxy::bind(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let rules = watch::Sender::new(rules);
    let tasks = Tasks::new("test");
    let proxy = Proxy {
        member: 1,
        listener,
        to: behind.local_addr().unwrap().port(),
        pids: Arc::new(move || vec![(7, 1), (0, pid)]),
        rules: rules.subscribe(),
    };
    tasks.spawn_infallible("proxy", proxy.run(tasks.clone()));
    let opener = TcpStream::connect(address).await.unwrap();
    let accepted = timeout(SHORT, behind.accept()).await.ok()?;
    Some(Pair {
        rules,
        opener,
        member: accepted.unwrap().0,
        _tasks: tasks,
    })
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream, within: Duration) -> bool {
    from.write_all(b"x").await.unwrap();
    arrives(to, within).await
}

async fn arrives(to: &mut TcpStream, within: Duration) -> bool {
    let mut byte = [0];
    matches!(timeout(within, to.read_exact(&mut byte)).await, Ok(Ok(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_is_held_by_itself_and_delivered_when_it_is_let_go() {
    let mut pair = open(std::process::id(), Rules::default()).await.unwrap();
    let (opener, member) = (&mut pair.opener, &mut pair.member);
    assert!(passes(opener, member, LONG).await);
    assert!(passes(member, opener, LONG).await);
    pair.rules.send_modify(|rules| rules.hold(0, 1));
    assert!(!passes(opener, member, SHORT).await);
    assert!(passes(member, opener, LONG).await);
    pair.rules.send_modify(|rules| {
        rules.heal();
        rules.hold(1, 0);
    });
    assert!(arrives(member, LONG).await, "what was held is delivered");
    assert!(passes(opener, member, LONG).await);
    assert!(!passes(member, opener, SHORT).await);
    // Another member's links are not this one's.
    pair.rules.send_modify(|rules| {
        rules.heal();
        rules.cut(&[7], &[1]);
    });
    assert!(arrives(opener, LONG).await);
    assert!(passes(opener, member, LONG).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_waits_too() {
    let mut rules = Rules::default();
    rules.cut(&[0], &[1]);
    assert!(open(std::process::id(), rules).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_no_member_does_not_pass() {
    // The first process of the machine has no connection of ours.
    assert!(open(1, Rules::default()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_link_delivers_late_and_in_order() {
    let mut rules = Rules::default();
    rules.delay(0, 1, Duration::from_millis(200));
    let mut pair = open(std::process::id(), rules).await.unwrap();
    let sent = Instant::now();
    pair.opener.write_all(b"ab").await.unwrap();
    let mut two = [0; 2];
    pair.member.read_exact(&mut two).await.unwrap();
    assert_eq!(&two, b"ab");
    assert!(sent.elapsed() >= Duration::from_millis(200));
}

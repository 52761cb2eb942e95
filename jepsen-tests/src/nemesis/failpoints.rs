//! Kills at a place in the code: a member is told to die where a crash would leave a step half done,
//! and load brings it there. It speaks gofail's HTTP, which a real etcd built for it has too.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::act::{Done, Undo};
use crate::target::{Cluster, Member};

/// A place that load does not reach in this time is left for another: few are on the way of every write.
const REACHED_WITHIN: Duration = Duration::from_millis(700);
/// Then nothing is done.
const PLACES_MAX: usize = 12;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const ORDER_TIME_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Tells one member to die at a place that `choice` draws from those it has, and waits for it; at the next
/// one if it does not come there.
pub(super) async fn begin(cluster: &Cluster, member: usize, choice: usize) -> Result<Done> {
    let member_number = member;
    let member = &cluster.members()[member];
    let places = order(member, "GET", "", "").await.with_context(|| {
        format!(
            "{} has no failpoints: its program must be built with the feature `failpoints`",
            member.name
        )
    })?;
    let mut places: Vec<&str> = places
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .collect();
    ensure!(!places.is_empty(), "{} names no failpoint", member.name);
    places.shuffle(&mut StdRng::seed_from_u64(choice as u64));
    places.truncate(PLACES_MAX);
    for place in &places {
        member.excuse();
        let reached = reach(member, place).await;
        member.expect();
        if reached? {
            return Ok(Done {
                told: format!("{} at {place}", member.name),
                undo: Undo::Start(vec![member_number]),
            });
        }
    }
    bail!("{} came to none of {}", member.name, places.join(", "))
}

/// Whether it came there in time, and died.
async fn reach(member: &Member, place: &str) -> Result<bool> {
    order(member, "PUT", place, "panic").await?;
    let end = Instant::now() + REACHED_WITHIN;
    while Instant::now() < end {
        member.look();
        if !member.is_started() {
            return Ok(true);
        }
        sleep(LOOK_AGAIN).await;
    }
    // It may be on its way all the same, and then it is excused until it has been looked at.
    let cleared = order(member, "DELETE", place, "").await;
    member.look();
    if !member.is_started() {
        return Ok(true);
    }
    cleared?;
    Ok(false)
}

/// One order, and what it was answered.
async fn order(member: &Member, method: &str, place: &str, terms: &str) -> Result<String> {
    let asked = async {
        let address = member.orders;
        let mut stream = TcpStream::connect(address).await?;
        let length = terms.len();
        let text = format!(
            "{method} /{place} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{terms}"
        );
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        let mut stream = stream.take(ANSWER_BYTES_MAX);
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(ORDER_TIME_MAX, asked)
        .await
        .context("no answer to an order in time")??;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without an end of its head")?;
    let is_done = head.starts_with("HTTP/1.1 20");
    ensure!(is_done, "{method} /{place} was refused: {}", body.trim());
    Ok(body.to_owned())
}

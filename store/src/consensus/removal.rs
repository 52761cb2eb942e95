//! A member that was removed finds it out and says so; the others refuse its calls with that word.
//!
//! Its removal often never reaches it: the leader stops sending once the new membership is in force.
//! So a member that hears of no leader asks the others, and any refusal with the word counts. Words of
//! errors are etcd's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::node::{Leader, Node};
use super::peer_proto::GreetRequest;

/// Marks a refusal; texts are for people.
const REMOVED_HEADER: &str = "x-keelson-removed";

/// What a removed member is told, whatever it calls for.
pub(super) fn removed_status() -> Status {
    let mut status =
        Status::failed_precondition("the member has been permanently removed from the cluster");
    status
        .metadata_mut()
        .insert(REMOVED_HEADER, MetadataValue::from_static("1"));
    status
}

/// True for [`removed_status`] as a caller receives it.
pub(super) fn says_removed(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition && status.metadata().contains_key(REMOVED_HEADER)
}

/// Runs until the member ends or knows that it was removed.
pub(super) async fn run(node: Arc<Node>) {
    let election = Duration::from_millis(node.config.election_ms.max(10));
    let mut tick = tokio::time::interval(election);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! { biased;
            () = node.stop.cancelled() => return,
            () = node.removed.cancelled() => return,
            _ = tick.tick() => {}
        }
        if node.is_removed(node.config.member_id) {
            node.removed.cancel();
            return;
        }
        if node.leader() == Leader::Unknown {
            ask(&node, election).await;
        }
    }
}

/// Greets every other member that this one knows. Only a refusal matters here.
async fn ask(node: &Node, patience: Duration) {
    let this = node.config.member_id;
    let members = node.status_now().members;
    let others = members.into_keys().filter(|id| *id != this);
    let greetings = others.map(|id| async move {
        let Some(mut client) = node.peer(id) else {
            return;
        };
        if let Ok(Err(status)) = timeout(patience, client.greet(GreetRequest {})).await {
            node.peers.heed(&status);
        }
    });
    futures::future::join_all(greetings).await;
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::{removed_status, says_removed};

    #[test]
    fn only_the_mark_counts() {
        assert!(says_removed(&removed_status()));
        assert!(!says_removed(&Status::failed_precondition(
            removed_status().message()
        )));
    }
}

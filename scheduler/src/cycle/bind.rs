//! Binds a placed pod: PreBind, Bind, PostBind, in a task of its own while the loop goes on.

use std::time::Duration;

use super::scheduler::Shared;
use super::term::{Cut, Term};
use crate::framework::{Code, CycleState, PodInfo, Status};

/// A binding that takes longer has failed; the pod is tried again.
const BINDING_TIME_MAX: Duration = Duration::from_secs(100);

/// Binds `pod` to `node`; on failure, and at the end of the term, everything assumed of it is undone.
pub(super) async fn bind(
    shared: &Shared,
    term: &Term,
    mut state: CycleState,
    pod: &PodInfo,
    node: &str,
) -> Result<(), Status> {
    let written = term.bound(BINDING_TIME_MAX, write(shared, pod, node)).await;
    let status = match written {
        Ok(Ok(())) => {
            shared
                .profile
                .post_bind
                .iter()
                .for_each(|plugin| plugin.post_bind(pod, node));
            return Ok(());
        }
        Ok(Err(status)) => status,
        Err(Cut::TooLate) => Status::error("the binding took too long"),
        Err(cut @ Cut::TermEnded) => Status::error(cut.to_string()),
    };
    shared.profile.run_unreserve(&mut state, pod, node);
    shared.forget(&pod.uid);
    Err(status)
}

async fn write(shared: &Shared, pod: &PodInfo, node: &str) -> Result<(), Status> {
    for plugin in &shared.profile.pre_bind {
        let status = plugin.pre_bind(pod, node).await;
        if !status.is_success() {
            return Err(status.from_plugin(plugin.name()));
        }
    }
    for plugin in &shared.profile.bind {
        let status = plugin.bind(pod, node).await;
        match status.code {
            Code::Success => return Ok(()),
            Code::Skip => {}
            _ => return Err(status.from_plugin(plugin.name())),
        }
    }
    Err(Status::error("no plugin bound the pod"))
}

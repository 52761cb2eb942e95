//! Going back one minor release, as etcd's `Downgrade` has it: the cluster agrees on the version
//! before its own, answers with that one, and its snapshots say that they are of that release. A
//! downgrade that is under way is cancelled, never finished here: every member of ours is of one
//! release.

use proto_etcd::etcdserverpb::downgrade_request::DowngradeAction;
use proto_etcd::etcdserverpb::{
    DowngradeInfo, DowngradeRequest, EmptyResponse, InternalRaftRequest,
};
use proto_etcd::membershippb::DowngradeInfoSetRequest;

use super::context::Context;
use super::status::Error;
use crate::config::Release;

/// What members say of a downgrade.
pub(super) fn info(context: &Context) -> DowngradeInfo {
    let target = context.view.downgrade();
    DowngradeInfo {
        enabled: target.is_some(),
        target_version: target.unwrap_or_default(),
    }
}

/// Does what was asked for; the cluster's version before that, without its patch.
pub(super) async fn run(context: &Context, request: &DowngradeRequest) -> Result<String, Error> {
    let action = DowngradeAction::try_from(request.action).map_err(|_| Error::UnknownMethod)?;
    if action == DowngradeAction::Cancel {
        return cancel(context).await;
    }
    let target = Release::parse(&request.version).ok_or(Error::DowngradeFormat)?;
    context.linearize().await?;
    let cluster = cluster_release(context)?;
    check(target, cluster, context.view.downgrade().is_some()).inspect_err(|error| {
        tracing::warn!(%error, "reject downgrade request");
    })?;
    if action == DowngradeAction::Enable {
        set(context, true, target).await?;
    }
    Ok(cluster.minor())
}

/// One that is not under way is as good as cancelled.
async fn cancel(context: &Context) -> Result<String, Error> {
    context.linearize().await?;
    let cluster = cluster_release(context)?;
    match context.view.downgrade() {
        Some(_) => set(context, false, cluster).await?,
        None => tracing::warn!("failed to cancel downgrade: no inflight downgrade job"),
    }
    Ok(cluster.minor())
}

async fn set(context: &Context, enabled: bool, target: Release) -> Result<(), Error> {
    let ver = if enabled {
        target.to_string()
    } else {
        String::new()
    };
    let request = InternalRaftRequest {
        downgrade_info_set: Some(DowngradeInfoSetRequest { enabled, ver }),
        ..Default::default()
    };
    let _: EmptyResponse = context.propose(request).await?;
    Ok(())
}

fn cluster_release(context: &Context) -> Result<Release, Error> {
    let version = context.view.cluster_version();
    version
        .as_deref()
        .and_then(Release::parse)
        .ok_or(Error::ClusterVersionUnknown)
}

/// Only the release before the cluster's, and only one downgrade at a time.
fn check(target: Release, cluster: Release, is_under_way: bool) -> Result<(), Error> {
    if cluster.previous() != Some(target) {
        return Err(Error::DowngradeTarget);
    }
    if is_under_way {
        return Err(Error::DowngradeInProgress);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_before_is_gone_back_to() {
        let at = |text| Release::parse(text).unwrap();
        let checked = |target, under_way| check(at(target), at("3.7.0"), under_way);
        assert_eq!(checked("3.6.2", false), Ok(()));
        for target in ["3.5.0", "3.7.0", "3.8.0", "2.6.0", "4.6.0"] {
            assert_eq!(checked(target, false), Err(Error::DowngradeTarget));
        }
        assert_eq!(checked("3.6", true), Err(Error::DowngradeInProgress));
        let lowest = check(at("4.0.0"), at("4.0.0"), false);
        assert_eq!(lowest, Err(Error::DowngradeTarget));
    }
}

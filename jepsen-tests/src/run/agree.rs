//! Whether all members hold the same at the end, by their own hashes, and no alarm is raised.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AlarmType, HashKvRequest, StatusRequest, alarm_request::AlarmAction,
};

use super::add;
use crate::check::Findings;
use crate::nemesis;
use crate::target::Target;
use crate::wire::{Dial, revision};

/// A member may be behind, or still be compacting.
const SECONDS_MAX: u64 = 30;

/// Adds what is wrong.
pub(super) async fn check(target: &Target, urls: &[String], found: &mut Findings) {
    if target.cluster.is_some() {
        let agreed = testkit::poll(SECONDS_MAX, "the same members", async || {
            same_members(urls)
                .await
                .map_err(|error| format!("{error:#}"))
        });
        if let Err(error) = agreed.await {
            add(found, "members-differ", format!("{error:#}"));
        }
    }
    let agreed = testkit::poll(SECONDS_MAX, "equal hashes", async || {
        equal(urls).await.map_err(|error| format!("{error:#}"))
    });
    if let Err(error) = agreed.await {
        add(found, "hash-mismatch", format!("{error:#}"));
    }
    for url in urls {
        if let Ok(alarms) = alarms(url).await
            && !alarms.is_empty()
        {
            add(
                found,
                "alarm",
                format!("{url} has raised {}", alarms.join(", ")),
            );
        }
    }
}

/// Every member tells the same members, all of which vote.
async fn same_members(urls: &[String]) -> Result<()> {
    let mut first: Option<(&String, BTreeSet<(u64, String)>)> = None;
    for url in urls {
        let listed = nemesis::list_members(url).await?;
        if let Some(learner) = listed.iter().find(|member| member.is_learner) {
            bail!("at {url} {} is a learner", learner.name);
        }
        let members: BTreeSet<(u64, String)> = listed
            .into_iter()
            .map(|member| (member.id, member.name))
            .collect();
        match &first {
            Some((other, theirs)) if *theirs != members => {
                bail!("{url} has the members {members:?}, {other} has {theirs:?}")
            }
            Some(_) => {}
            None => first = Some((url, members)),
        }
    }
    Ok(())
}

async fn client(url: &str) -> Result<MaintenanceClient<tonic::transport::Channel>> {
    let channel = Dial::new(url).channel().await;
    Ok(MaintenanceClient::new(
        channel.with_context(|| format!("nobody answers at {url}"))?,
    ))
}

async fn equal(urls: &[String]) -> Result<()> {
    let first = urls.first().context("no member")?;
    let status = client(first)
        .await?
        .status(StatusRequest {})
        .await?
        .into_inner();
    let at = revision(status.header.as_ref());
    let mut seen: Option<(u32, i64)> = None;
    for url in urls {
        let request = HashKvRequest { revision: at };
        let answer = client(url).await?.hash_kv(request).await?.into_inner();
        let hash = (answer.hash, answer.compact_revision);
        if seen.is_some_and(|seen| seen != hash) {
            bail!(
                "at revision {at} {url} has hash and compacted revision {hash:?}, {first} has {seen:?}"
            );
        }
        seen = Some(hash);
    }
    Ok(())
}

async fn alarms(url: &str) -> Result<Vec<String>> {
    let request = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    let answer = client(url).await?.alarm(request).await?.into_inner();
    let name = |alarm: &proto_etcd::etcdserverpb::AlarmMember| {
        let name =
            AlarmType::try_from(alarm.alarm).map_or("an unknown alarm", |name| name.as_str_name());
        format!("{name} for member {:x}", alarm.member_id)
    };
    Ok(answer.alarms.iter().map(name).collect())
}

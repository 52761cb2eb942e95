//! Writers of large values, until the database is full; and one who makes room again, once somebody
//! was told so: by a deletion while the alarm still stands, a compaction, defragmentations, and the
//! alarm's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto_etcd::etcdserverpb::alarm_request::AlarmAction;
use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use proto_etcd::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DeleteRangeRequest,
};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::clients::{Asked, Job};
use super::rotation::Rotation;
use crate::check::SPACE_EXCEEDED;
use crate::edn::Value;
use crate::wire::{Dial, Failure, end_of, put, range, revision};

/// What is full after some hundred writes.
pub(crate) const QUOTA_BYTES: i64 = 8 << 20;
/// Of each value; less than a request may have by far.
const PADDING: usize = 24 << 10;
const KEYS: i64 = 400;
const RELIEF_TIME_MAX: Duration = Duration::from_secs(20);
const DEFRAG_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Filler {
    pub(crate) prefix: String,
    /// Gives unique values.
    pub(crate) values: Rotation,
    /// Whether anybody was told that the database is full.
    pub(crate) is_full: Arc<AtomicBool>,
    /// Every member, for the one who makes room.
    pub(crate) janitor: Option<Vec<String>>,
    /// Whether the janitor has deleted already.
    pub(crate) has_deleted: bool,
}

pub(crate) enum Plan {
    Fill(String, i64),
    Delete,
    Relieve(Vec<String>),
}

impl Filler {
    fn all(&self) -> String {
        format!("{}fill/", self.prefix)
    }

    async fn fill(&self, channel: Channel, key: &str, value: i64) -> Result<Value, Failure> {
        let padded = format!("{value}:{}", "x".repeat(PADDING));
        let answer = match KvClient::new(channel).put(put(key, &padded)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                if status.message().contains(SPACE_EXCEEDED) {
                    self.is_full.store(true, Ordering::Relaxed);
                }
                return Err(status.into());
            }
        };
        let at = revision(answer.header.as_ref());
        Ok(Value::Vector(vec![
            Value::text(key),
            Value::text(value.to_string()),
            at.into(),
        ]))
    }

    async fn delete(&mut self, channel: Channel) -> Result<Value, Failure> {
        let request = DeleteRangeRequest {
            key: self.all().into(),
            range_end: end_of(&self.all()).into(),
            ..DeleteRangeRequest::default()
        };
        let answer = KvClient::new(channel).delete_range(request).await?;
        self.has_deleted = true;
        let answer = answer.into_inner();
        let at = revision(answer.header.as_ref());
        Ok(Value::Vector(vec![answer.deleted.into(), at.into()]))
    }

    /// Gives the space back, and ends the alarm.
    async fn relieve(&mut self, channel: Channel, urls: &[String]) -> Result<Value, Failure> {
        let told = relieve(channel, urls).await?;
        self.has_deleted = false;
        self.is_full.store(false, Ordering::Relaxed);
        Ok(told)
    }
}

/// Ends the alarm if it stands, with all that takes: whoever comes at the end of a run.
pub(super) async fn make_room(
    channel: Channel,
    prefix: &str,
    urls: &[String],
) -> Result<(), Failure> {
    let raised = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    let mut client = MaintenanceClient::new(channel.clone());
    if client.alarm(raised).await?.into_inner().alarms.is_empty() {
        return Ok(());
    }
    let all = format!("{prefix}fill/");
    let request = DeleteRangeRequest {
        range_end: end_of(&all).into(),
        key: all.into(),
        ..DeleteRangeRequest::default()
    };
    KvClient::new(channel.clone()).delete_range(request).await?;
    relieve(channel, urls).await?;
    Ok(())
}

/// Compacts, defragments every member that answers, and ends the alarm.
async fn relieve(channel: Channel, urls: &[String]) -> Result<Value, Failure> {
    let mut kv = KvClient::new(channel.clone());
    let now = kv.range(range("jepsen-probe")).await?.into_inner();
    let at = revision(now.header.as_ref());
    let request = CompactionRequest {
        revision: at,
        physical: true,
    };
    // Whoever came before has compacted as much.
    let _ = kv.compact(request).await;
    for url in urls {
        if let Some(channel) = Dial::new(url).channel().await {
            let mut client = MaintenanceClient::new(channel);
            let _ = timeout(DEFRAG_TIME_MAX, client.defragment(DefragmentRequest {})).await;
        }
    }
    let mut client = MaintenanceClient::new(channel);
    let raised = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    let mut ended = 0;
    for alarm in client.alarm(raised).await?.into_inner().alarms {
        if alarm.alarm == i32::from(AlarmType::Nospace) {
            let request = AlarmRequest {
                action: AlarmAction::Deactivate.into(),
                member_id: alarm.member_id,
                alarm: alarm.alarm,
            };
            client.alarm(request).await?;
            ended += 1;
        }
    }
    Ok(Value::Vector(vec![at.into(), ended.into()]))
}

impl Job for Filler {
    type Plan = Plan;

    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Plan>> {
        let is_full = self.is_full.load(Ordering::Relaxed);
        if let (true, Some(urls)) = (is_full, &self.janitor) {
            if !self.has_deleted {
                return Some(Asked::write("delete", Value::Nil, Plan::Delete));
            }
            let asked = Asked::write("relieve", Value::Nil, Plan::Relieve(urls.clone()));
            return Some(Asked {
                time_max: RELIEF_TIME_MAX,
                ..asked
            });
        }
        let key = format!("{}{:04}", self.all(), chance.random_range(0..KEYS));
        let value = self.values.value();
        let asked = Value::Vector(vec![Value::text(&key), Value::text(value.to_string())]);
        Some(Asked::write("fill", asked, Plan::Fill(key, value)))
    }

    async fn act(&mut self, channel: Channel, plan: &Plan) -> Result<Value, Failure> {
        match plan {
            Plan::Fill(key, value) => self.fill(channel, key, *value).await,
            Plan::Delete => self.delete(channel).await,
            Plan::Relieve(urls) => self.relieve(channel, urls).await,
        }
    }
}

//! One client: asks one member, one operation after another, and records each.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::edn::Value;
use crate::history::{History, Kind};
use crate::wire::{ANSWER_TIME_MAX, Dial, Failure};

/// Between two operations of one client, at most.
pub(super) const PACE_MS_MAX: u64 = 30;
/// Before a member that did not answer is asked again.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// What a client asks.
#[derive(Clone, Debug)]
pub(crate) struct Asked<P> {
    /// The operation's name.
    pub(crate) f: &'static str,
    /// What the history says of it.
    pub(crate) value: Value,
    /// What to do.
    pub(crate) plan: P,
    /// Whether it changes nothing: then it has no effect that could come later.
    pub(crate) is_read: bool,
    /// How long an answer is waited for.
    pub(crate) time_max: Duration,
}

impl<P> Asked<P> {
    /// One that changes something.
    pub(crate) fn write(f: &'static str, value: Value, plan: P) -> Self {
        Self {
            f,
            value,
            plan,
            is_read: false,
            time_max: ANSWER_TIME_MAX,
        }
    }

    /// One that changes nothing.
    pub(crate) fn read(f: &'static str, value: Value, plan: P) -> Self {
        Self {
            is_read: true,
            ..Self::write(f, value, plan)
        }
    }
}

/// What one client does.
pub(crate) trait Job: Send + 'static {
    /// What it is to do next.
    type Plan: Send + Sync;

    /// The next operation; nothing if there is none now.
    fn next(&mut self, chance: &mut StdRng) -> Option<Asked<Self::Plan>>;

    /// Does it, once. The answer as the history says it.
    fn act(
        &mut self,
        channel: Channel,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Learns how it ended; `plan` was not acknowledged.
    fn failed(&mut self, _plan: &Self::Plan) {}
}

/// A client: where it asks, and what its chance follows from.
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) seed: u64,
    /// Between two operations, at most.
    pub(crate) pace_ms_max: u64,
    pub(crate) history: History,
    pub(crate) stop: CancellationToken,
}

impl Client {
    /// Does `job` until it is to stop, or has nothing left to do if it `ends` then.
    pub(crate) async fn run<J: Job>(self, mut job: J, ends: bool) {
        let mut chance = StdRng::seed_from_u64(self.seed);
        let mut dial = Dial::new(&self.url);
        let mut process = self.history.new_process();
        while !self.stop.is_cancelled() {
            let Some(channel) = dial.channel().await else {
                sleep(AFTER_ERROR).await;
                continue;
            };
            let Some(asked) = job.next(&mut chance) else {
                if ends {
                    return;
                }
                sleep(AFTER_ERROR).await;
                continue;
            };
            let (kind, told) = self.ask(&mut job, channel, &asked, &mut process).await;
            if kind != Kind::Ok {
                job.failed(&asked.plan);
            }
            if !told {
                dial.hang_up();
                sleep(AFTER_ERROR).await;
            }
            sleep(Duration::from_millis(
                chance.random_range(0..self.pace_ms_max),
            ))
            .await;
        }
    }

    /// Asks once. How it ended, and whether the member said so itself.
    async fn ask<J: Job>(
        &self,
        job: &mut J,
        channel: Channel,
        asked: &Asked<J::Plan>,
        process: &mut i64,
    ) -> (Kind, bool) {
        let op = self.history.invoke(*process, asked.f, asked.value.clone());
        let answer = timeout(asked.time_max, job.act(channel, &asked.plan)).await;
        let (kind, value, error, told) = match answer {
            Ok(Ok(value)) => (Kind::Ok, value, None, true),
            Ok(Err(Failure::Refused(why))) => (Kind::Fail, asked.value.clone(), Some(why), true),
            Ok(Err(Failure::Unknown(why))) => {
                (unknown(asked), asked.value.clone(), Some(why), false)
            }
            Err(_) => {
                let why = Some("no answer in time".to_owned());
                (unknown(asked), asked.value.clone(), why, false)
            }
        };
        *process = self.history.complete(op, kind, value, error);
        (kind, told)
    }
}

/// A read that was not answered certainly changed nothing.
fn unknown<P>(asked: &Asked<P>) -> Kind {
    if asked.is_read {
        Kind::Fail
    } else {
        Kind::Info
    }
}

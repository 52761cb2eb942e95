//! Follows a source: every change of every key after a revision, in order and without a gap, by a watch
//! over all keys that is opened again wherever it ends.
//!
//! Holds what has come of one revision, and hands out whole ones. Leases cannot be watched; see
//! [`Leases`].

mod assemble;
mod leases;

use std::time::{Duration, Instant};

use base::backoff::Backoff;
use futures::FutureExt;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use self::assemble::Assembler;
pub(crate) use self::assemble::{Changes, Gap, is_deletion};
pub(crate) use self::leases::{Leases, Seen};
use super::source::{MESSAGE_BYTES_MAX, PATIENCE, Source, SourceError};

/// Bytes of changes handed out at once, but for the last revision.
const HANDED_BYTES: usize = 4 << 20;

/// How long the source may be ahead without a word before the watch counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why the source cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// It does not answer, or refuses.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It has removed what would come next.
    #[error(
        "the source has compacted up to revision {compact_revision}, and revision {wanted} was wanted next"
    )]
    Overtaken {
        /// The source's compaction.
        compact_revision: i64,
        /// The next revision.
        wanted: i64,
    },
    /// It sent something else than the next change.
    #[error(transparent)]
    Gap(#[from] Gap),
}

/// See the module.
pub(crate) struct Follower {
    watch: Option<Watch>,
    assembler: Assembler,
    /// When anything came last, or the watch was opened.
    heard: Instant,
    /// Since when it goes wrong; none while it goes well.
    failing: Option<(Instant, Backoff)>,
}

struct Watch {
    parts: Streaming<WatchResponse>,
    /// The source ends the watch when this is dropped.
    _requests: mpsc::Sender<WatchRequest>,
}

impl Follower {
    /// Will hand out revision `next` first.
    pub(crate) fn new(next: i64) -> Self {
        Self {
            watch: None,
            assembler: Assembler::new(next),
            heard: Instant::now(),
            failing: None,
        }
    }

    /// The whole revisions that have come, after waiting for up to `wait`; perhaps none.
    // Cancel-safe: what has come stays here until it is handed out.
    pub(crate) async fn next(
        &mut self,
        source: &mut Source,
        wait: Duration,
    ) -> Result<Vec<Changes>, FollowError> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            let Some(watch) = &mut self.watch else {
                // A source that is away is waited for no longer than was asked.
                match tokio::time::timeout_at(until, self.open(source)).await {
                    Ok(opened) => opened?,
                    Err(_) => return Ok(Vec::new()),
                }
                continue;
            };
            let part = match tokio::time::timeout_at(until, watch.parts.message()).await {
                Err(_) => return Ok(Vec::new()),
                Ok(part) => part,
            };
            self.take(source, part)?;
            // What else is there already comes along.
            while self.assembler.bytes() < HANDED_BYTES
                && let Some(watch) = &mut self.watch
                && let Some(part) = watch.parts.message().now_or_never()
            {
                self.take(source, part)?;
            }
            let whole = self.assembler.hand_out();
            if !whole.is_empty() {
                return Ok(whole);
            }
        }
    }

    /// Tells where the source stands: if it is ahead and nothing comes, the watch is opened anew.
    pub(crate) fn notice(&mut self, source: &mut Source, revision: i64) {
        if revision >= self.assembler.next() && self.heard.elapsed() > SILENCE_MAX {
            let status = Status::unavailable("the watch is silent");
            self.lose(source, &status);
        }
    }

    async fn open(&mut self, source: &mut Source) -> Result<(), FollowError> {
        if let Some((_, pause)) = &mut self.failing {
            let pause = pause.next_wait();
            tokio::time::sleep(pause).await;
        }
        let start_revision = self.assembler.next();
        let watch = source.ask("a watch", async |line| {
            let (requests, sent) = mpsc::channel(1);
            let create = WatchCreateRequest {
                key: b"\0".as_slice().into(),
                range_end: b"\0".as_slice().into(),
                start_revision,
                progress_notify: true,
                fragment: true,
                ..Default::default()
            };
            let create = WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create)),
            };
            // There is room for the first.
            let _ = requests.try_send(create);
            let client = WatchClient::new(line.channel.clone());
            let mut client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
            let parts = client
                .watch(line.request(ReceiverStream::new(sent)))
                .await?;
            Ok(Watch {
                parts: parts.into_inner(),
                _requests: requests,
            })
        });
        self.watch = Some(watch.await?);
        self.heard = Instant::now();
        Ok(())
    }

    fn take(
        &mut self,
        source: &mut Source,
        part: Result<Option<WatchResponse>, Status>,
    ) -> Result<(), FollowError> {
        let part = match part {
            Ok(Some(part)) => part,
            Ok(None) => return self.fail(source, Status::unavailable("the watch ended")),
            Err(status) => return self.fail(source, status),
        };
        self.heard = Instant::now();
        if part.compact_revision > 0 {
            return Err(FollowError::Overtaken {
                compact_revision: part.compact_revision,
                wanted: self.assembler.next(),
            });
        }
        if part.canceled {
            let reason = part.cancel_reason;
            let status = match reason.contains("auth token") || reason.contains("no leader") {
                true => Status::unauthenticated(reason),
                false => Status::permission_denied(reason),
            };
            return self.fail(source, status);
        }
        self.failing = None;
        Ok(self.assembler.take(part.events, !part.fragment)?)
    }

    /// The watch is opened again, unless that has been tried for long.
    fn fail(&mut self, source: &mut Source, status: Status) -> Result<(), FollowError> {
        let is_worth_it = self.lose(source, &status);
        let since = self.failing.as_ref().map(|(since, _)| since.elapsed());
        if !is_worth_it || since.is_some_and(|since| since > PATIENCE) {
            return Err(source.failed("a watch", status).into());
        }
        Ok(())
    }

    fn lose(&mut self, source: &mut Source, status: &Status) -> bool {
        tracing::warn!(
            endpoint = source.endpoint(),
            error = status.message(),
            "lost the watch, opens it again"
        );
        self.watch = None;
        self.assembler.forget_parts();
        self.heard = Instant::now();
        let pause = || Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        self.failing
            .get_or_insert_with(|| (Instant::now(), pause()));
        source.turn(status)
    }
}

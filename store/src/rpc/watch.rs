//! The Watch service: one stream carries many watches.
//!
//! The answers are made only when the transport asks for them, so that a client that does not read
//! holds up its own stream and nothing else. Nothing is dropped: what a slow client has not been
//! told waits in the hub and behind it on the disk.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use prost::Message;
use proto_etcd::etcdserverpb::watch_create_request::FilterType;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::watch_server::Watch as Service;
use proto_etcd::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::time::{Interval, MissedTickBehavior};
use tonic::{Request, Response, Status, Streaming};

use super::context::Context;
use super::gate::requires_leader;
use super::identity::Caller;
use super::status::Error;
use crate::watch::{Item, WatchSpec, WatchStream};

/// The id of answers that belong to no watch.
const NO_WATCH: i64 = -1;

/// See the module.
pub(super) struct Watch(pub(super) Arc<Context>);

#[tonic::async_trait]
impl Service for Watch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let requires_leader = requires_leader(&request.metadata().clone().into_headers());
        let session = Session {
            hub: self.0.view.watch_hub().open(),
            caller: Caller::of(&request),
            requests: Some(request.into_inner()),
            requires_leader,
            fragmented: BTreeSet::new(),
            answers: VecDeque::new(),
            progress: progress_timer(&self.0),
            is_done: false,
            context: self.0.clone(),
        };
        let answers = futures::stream::unfold(session, |mut session| async move {
            let answer = session.next().await?;
            Some((answer, session))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Fires at the interval plus up to a tenth of it, so that clients that came together are not all
/// told at once.
fn progress_timer(context: &Context) -> Interval {
    let interval = context.limits.watch_progress_interval;
    // Any spread will do, and the request's number gives one.
    let share = u32::try_from(context.new_id() % 100).unwrap_or(0);
    let period = interval + interval * share / 1_000;
    let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// One client's stream.
struct Session {
    context: Arc<Context>,
    hub: WatchStream,
    /// Who opened the stream; looked at anew for each watch.
    caller: Caller,
    /// None once the client has closed its side; its watches go on.
    requests: Option<Streaming<WatchRequest>>,
    requires_leader: bool,
    /// Watches whose answers may be cut.
    fragmented: BTreeSet<i64>,
    /// Made, and not yet asked for. Bounded: filled only when it is empty, by one request or item.
    answers: VecDeque<WatchResponse>,
    progress: Interval,
    is_done: bool,
}

/// What wakes a session.
enum Wake {
    Request(Option<WatchRequest>),
    Item(Item),
    ProgressDue,
    End(Error),
}

impl Session {
    async fn next(&mut self) -> Option<Result<WatchResponse, Status>> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Some(Ok(answer));
            }
            if self.is_done {
                return None;
            }
            match self.wake().await {
                Ok(Wake::Request(Some(request))) => self.request(request).await,
                Ok(Wake::Request(None)) => self.requests = None,
                Ok(Wake::Item(item)) => self.item(item),
                Ok(Wake::ProgressDue) => self.hub.notify_progress(),
                Ok(Wake::End(error)) => return self.end(error.into()),
                Err(status) => return self.end(status),
            }
        }
    }

    fn end(&mut self, status: Status) -> Option<Result<WatchResponse, Status>> {
        self.is_done = true;
        Some(Err(status))
    }

    async fn wake(&mut self) -> Result<Wake, Status> {
        let requests = self.requests.as_mut();
        let message = async {
            match requests {
                Some(requests) => requests.message().await,
                None => std::future::pending().await,
            }
        };
        let leaderless = &mut self.context.leaderless.clone();
        // Shutdown and the loss of the leader end the stream whatever waits. Requests come before
        // events, because a flood of events must not keep a client from cancelling its watch; a
        // flood of requests harms only the stream that it comes by. Each branch is cancel-safe.
        tokio::select! { biased;
            () = self.context.stop.cancelled() => Ok(Wake::End(Error::Stopped)),
            Ok(_) = leaderless.wait_for(|lost| *lost), if self.requires_leader => Ok(Wake::End(Error::NoLeader)),
            request = message => request.map(Wake::Request),
            item = self.hub.next() => Ok(Wake::Item(item)),
            _ = self.progress.tick() => Ok(Wake::ProgressDue),
        }
    }

    async fn request(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => {
                crate::failpoint::pause("beforeProgressIfSync").await;
                self.hub.request_progress();
            }
            // A request that says nothing does not end the stream.
            None => {}
        }
    }

    /// An unknown watch has no answer, as in etcd.
    fn cancel(&mut self, watch_id: i64) {
        if self.hub.cancel(watch_id) {
            self.fragmented.remove(&watch_id);
            let revision = self.context.view.revision();
            let answer = WatchResponse {
                watch_id,
                canceled: true,
                ..self.blank(revision)
            };
            self.answers.push_back(answer);
        }
    }

    async fn create(&mut self, create: WatchCreateRequest) {
        if create.start_revision < 0 {
            return self.refuse(Error::Compacted.message());
        }
        let (fragment, spec) = (create.fragment, spec(create));
        if let Err(error) = check(&self.context, &self.caller, &spec).await {
            return self.refuse(error);
        }
        let revision = self.context.view.revision();
        match self.hub.create(spec) {
            Ok(watch_id) => {
                if fragment {
                    self.fragmented.insert(watch_id);
                }
                self.answers.push_back(WatchResponse {
                    watch_id,
                    created: true,
                    ..self.blank(revision)
                });
            }
            Err(error) => self.refuse(error.to_string()),
        }
    }

    fn refuse(&mut self, cancel_reason: String) {
        let revision = self.context.view.revision();
        self.answers.push_back(WatchResponse {
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason,
            ..self.blank(revision)
        });
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Events {
                watch_id,
                revision,
                events,
            } => {
                let answer = WatchResponse {
                    watch_id,
                    events,
                    ..self.blank(revision)
                };
                if self.fragmented.contains(&watch_id) {
                    let bytes_max =
                        self.context.limits.max_request_bytes + crate::limits::GRPC_OVERHEAD_BYTES;
                    self.answers.extend(fragments(answer, bytes_max));
                } else {
                    self.answers.push_back(answer);
                }
            }
            Item::Progress { watch_id, revision } => {
                self.answers.push_back(WatchResponse {
                    watch_id,
                    ..self.blank(revision)
                });
            }
            Item::Compacted {
                watch_id,
                compact_revision,
            } => {
                self.fragmented.remove(&watch_id);
                self.answers.push_back(WatchResponse {
                    watch_id,
                    canceled: true,
                    compact_revision,
                    // As etcd: this answer speaks for no revision.
                    ..self.blank(0)
                });
            }
            Item::Closed => {
                self.requests = None;
                self.is_done = true;
            }
        }
    }

    fn blank(&self, revision: i64) -> WatchResponse {
        WatchResponse {
            header: Some(self.context.header_at(revision)),
            ..Default::default()
        }
    }
}

/// Whether the keys may be read. A watch that is open stays open, as in etcd, whatever its user may do
/// later.
async fn check(context: &Context, caller: &Caller, spec: &WatchSpec) -> Result<(), String> {
    let identity = context.identify(caller).await;
    let checked = identity.and_then(|identity| {
        let view = &context.view;
        Ok(view.check_watch(&identity, &spec.key, &spec.range_end)?)
    });
    checked.map_err(|error| go_words(&error))
}

/// An error as Go's gRPC library prints it, which is how etcd puts one into an answer.
fn go_words(error: &Error) -> String {
    let code = crate::metrics::code_name(error.code());
    format!("rpc error: code = {code} desc = {}", error.message())
}

fn spec(create: WatchCreateRequest) -> WatchSpec {
    let filters = |wanted: FilterType| create.filters.contains(&(wanted as i32));
    WatchSpec {
        id: (create.watch_id != 0).then_some(create.watch_id),
        filter_put: filters(FilterType::Noput),
        filter_delete: filters(FilterType::Nodelete),
        // The empty key stands for the smallest one.
        key: if create.key.is_empty() {
            Bytes::from_static(&[0])
        } else {
            create.key
        },
        range_end: create.range_end,
        start_revision: create.start_revision,
        prev_kv: create.prev_kv,
        progress_notify: create.progress_notify,
        fragment: create.fragment,
    }
}

/// Cuts an answer into parts below `bytes_max`; all but the last are marked. A single event is
/// never cut.
fn fragments(answer: WatchResponse, bytes_max: usize) -> Vec<WatchResponse> {
    if answer.encoded_len() < bytes_max || answer.events.len() < 2 {
        return vec![answer];
    }
    let empty = WatchResponse {
        events: Vec::new(),
        ..answer.clone()
    };
    let overhead = empty.encoded_len();
    let mut parts = Vec::new();
    let (mut events, mut bytes) = (Vec::new(), overhead);
    for event in answer.events {
        // The event's own bytes, its tag and its length.
        let size = event.encoded_len() + prost::length_delimiter_len(event.encoded_len()) + 1;
        if !events.is_empty() && bytes + size >= bytes_max {
            let events = std::mem::take(&mut events);
            parts.push(WatchResponse {
                events,
                fragment: true,
                ..empty.clone()
            });
            bytes = overhead;
        }
        bytes += size;
        events.push(event);
    }
    parts.push(WatchResponse { events, ..empty });
    parts
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto_etcd::etcdserverpb::WatchResponse;
    use proto_etcd::mvccpb::{Event, KeyValue};

    use super::fragments;

    fn answer(events: usize, bytes: usize) -> WatchResponse {
        let kv = KeyValue {
            key: "k".into(),
            value: vec![0; bytes].into(),
            ..Default::default()
        };
        let event = Event {
            kv: Some(kv),
            ..Default::default()
        };
        WatchResponse {
            watch_id: 7,
            events: vec![event; events],
            ..Default::default()
        }
    }

    #[test]
    fn a_large_answer_is_cut_between_events() {
        let whole = answer(10, 100);
        let parts = fragments(whole.clone(), 350);
        assert!(parts.len() > 2);
        assert!(
            parts
                .iter()
                .all(|part| part.encoded_len() < 350 && part.watch_id == 7)
        );
        let (last, before) = parts.split_last().unwrap();
        assert!(before.iter().all(|part| part.fragment) && !last.fragment);
        let events: Vec<Event> = parts.into_iter().flat_map(|part| part.events).collect();
        assert_eq!(events, whole.events);
    }

    #[test]
    fn small_answers_and_single_events_stay_whole() {
        assert_eq!(fragments(answer(3, 10), 1_000).len(), 1);
        assert_eq!(fragments(answer(1, 1_000), 100).len(), 1);
        assert_eq!(fragments(answer(2, 1_000), 100).len(), 2);
    }
}

//! Watches over the wire: what is told, in which order, and what is refused.

use proto_etcd::etcdserverpb::kv_client::KvClient;
use proto_etcd::etcdserverpb::watch_client::WatchClient;
use proto_etcd::etcdserverpb::watch_create_request::FilterType;
use proto_etcd::etcdserverpb::watch_request::RequestUnion;
use proto_etcd::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, WatchCancelRequest, WatchCreateRequest,
    WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto_etcd::mvccpb::Event;
use proto_etcd::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::harness::Cluster;

/// One stream, both ways.
struct Watches {
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

impl Watches {
    async fn open(channel: Channel, require_leader: bool) -> Self {
        let (requests, queue) = mpsc::channel(64);
        let mut request = tonic::Request::new(ReceiverStream::new(queue));
        if require_leader {
            request
                .metadata_mut()
                .insert("hasleader", "true".parse().unwrap());
        }
        // Answers may be large.
        let mut client = WatchClient::new(channel).max_decoding_message_size(64 << 20);
        let answers = client.watch(request).await.unwrap().into_inner();
        Self { requests, answers }
    }

    async fn ask(&self, request: RequestUnion) {
        self.requests
            .send(WatchRequest {
                request_union: Some(request),
            })
            .await
            .unwrap();
    }

    /// Creates a watch; its first answer.
    async fn create(&mut self, create: WatchCreateRequest) -> WatchResponse {
        self.ask(RequestUnion::CreateRequest(create)).await;
        self.next().await
    }

    async fn try_next(&mut self) -> Result<Option<WatchResponse>, tonic::Status> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.answers.message());
        next.await.expect("the stream is silent")
    }

    async fn next(&mut self) -> WatchResponse {
        self.try_next()
            .await
            .unwrap()
            .expect("the stream has ended")
    }

    /// So many events, however they are grouped.
    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }
}

fn on(key: &str) -> WatchCreateRequest {
    WatchCreateRequest {
        key: key.to_owned().into(),
        ..Default::default()
    }
}

fn all(start_revision: i64) -> WatchCreateRequest {
    let all = bytes::Bytes::from_static(&[0]);
    WatchCreateRequest {
        key: all.clone(),
        range_end: all,
        start_revision,
        ..Default::default()
    }
}

fn text(event: &Event) -> (EventType, String, String, i64) {
    let kv = event.kv.clone().unwrap();
    let string = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    (
        event.r#type(),
        string(kv.key),
        string(kv.value),
        kv.mod_revision,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_from_the_past_and_go_on() {
    let cluster = Cluster::start(3).await;
    cluster.put(0, "a", "1").await;
    cluster.put(0, "b", "2").await;
    let mut watches = Watches::open(cluster.channel(1).await, true).await;
    let created = watches.create(all(2)).await;
    assert!(created.created && !created.canceled && created.watch_id == 0);
    cluster.put(2, "a", "3").await;
    let mut kv = KvClient::new(cluster.channel(0).await);
    kv.delete_range(DeleteRangeRequest {
        key: "a".into(),
        ..Default::default()
    })
    .await
    .unwrap();
    let events: Vec<_> = watches.events(4).await.iter().map(text).collect();
    let put = |key: &str, value: &str, revision| {
        (EventType::Put, key.to_owned(), value.to_owned(), revision)
    };
    let expected = [
        put("a", "1", 2),
        put("b", "2", 3),
        put("a", "3", 4),
        (EventType::Delete, "a".into(), String::new(), 5),
    ];
    assert_eq!(events, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_says_what_it_was_asked_to() {
    let cluster = Cluster::start(1).await;
    cluster.put(0, "a", "1").await;
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    let plain = watches
        .create(WatchCreateRequest {
            prev_kv: true,
            watch_id: 7,
            ..on("a")
        })
        .await;
    assert_eq!((plain.watch_id, plain.header.unwrap().revision), (7, 2));
    let filters = vec![FilterType::Noput as i32];
    let deletes = watches
        .create(WatchCreateRequest { filters, ..on("a") })
        .await;
    assert_eq!(deletes.watch_id, 0);
    let double = watches
        .create(WatchCreateRequest {
            watch_id: 7,
            ..on("b")
        })
        .await;
    assert!(double.created && double.canceled && double.watch_id == -1);
    assert_eq!(
        double.cancel_reason,
        "mvcc: duplicate watch ID provided on the WatchStream"
    );
    let empty = WatchCreateRequest {
        range_end: "a".into(),
        ..on("b")
    };
    assert_eq!(
        watches.create(empty).await.cancel_reason,
        "mvcc: watcher range is empty"
    );
    let negative = watches
        .create(WatchCreateRequest {
            start_revision: -1,
            ..on("b")
        })
        .await;
    assert!(negative.created && negative.canceled && negative.watch_id == -1);

    cluster.put(0, "a", "2").await;
    let answer = watches.next().await;
    assert_eq!((answer.watch_id, answer.header.unwrap().revision), (7, 3));
    assert_eq!(answer.events[0].prev_kv.as_ref().unwrap().value, "1");
    let mut kv = KvClient::new(cluster.channel(0).await);
    kv.delete_range(DeleteRangeRequest {
        key: "a".into(),
        ..Default::default()
    })
    .await
    .unwrap();
    let (one, other) = (watches.next().await, watches.next().await);
    let mut ids = [one.watch_id, other.watch_id];
    ids.sort_unstable();
    assert_eq!(ids, [0, 7]);

    watches
        .ask(RequestUnion::CancelRequest(WatchCancelRequest {
            watch_id: 7,
        }))
        .await;
    let canceled = watches.next().await;
    assert!(canceled.canceled && canceled.watch_id == 7 && canceled.cancel_reason.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compacted_cannot_be_watched() {
    let cluster = Cluster::start(1).await;
    for value in ["1", "2", "3"] {
        cluster.put(0, "a", value).await;
    }
    let mut kv = KvClient::new(cluster.channel(0).await);
    kv.compact(CompactionRequest {
        revision: 3,
        physical: true,
    })
    .await
    .unwrap();
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    let created = watches
        .create(WatchCreateRequest {
            start_revision: 2,
            ..on("a")
        })
        .await;
    assert!(created.created && !created.canceled);
    let compacted = watches.next().await;
    assert!(compacted.canceled && compacted.compact_revision == 3 && compacted.events.is_empty());
    // The compaction's own revision is still there.
    watches
        .create(WatchCreateRequest {
            start_revision: 3,
            ..on("a")
        })
        .await;
    let events = watches.events(2).await;
    assert_eq!(
        events.iter().map(|event| text(event).3).collect::<Vec<_>>(),
        [3, 4]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_comes_when_asked_and_by_the_clock() {
    let cluster = Cluster::start_with(1, &["--watch-progress-notify-interval=100ms"]).await;
    cluster.put(0, "other", "1").await;
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    watches
        .create(WatchCreateRequest {
            progress_notify: true,
            ..on("a")
        })
        .await;
    let by_clock = watches.next().await;
    assert_eq!(
        (
            by_clock.watch_id,
            by_clock.header.unwrap().revision,
            by_clock.events.len()
        ),
        (0, 2, 0)
    );
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    watches.create(on("a")).await;
    watches
        .ask(RequestUnion::ProgressRequest(WatchProgressRequest {}))
        .await;
    let asked = watches.next().await;
    assert_eq!(
        (
            asked.watch_id,
            asked.header.unwrap().revision,
            asked.events.len()
        ),
        (-1, 2, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_revision_comes_in_parts_where_that_is_wanted() {
    use proto_etcd::etcdserverpb::request_op::Request;
    use proto_etcd::etcdserverpb::{RequestOp, TxnRequest};
    // The limit counts requests, so the parts are small where the requests are.
    let cluster = Cluster::start_with(1, &["--max-request-bytes=2097152"]).await;
    let mut kv = KvClient::new(cluster.channel(0).await).max_encoding_message_size(64 << 20);
    for round in 0..3 {
        let put = |number: usize| {
            let key = format!("{round}/{number}");
            let put = PutRequest {
                key: key.into(),
                value: vec![b'v'; 100_000].into(),
                ..Default::default()
            };
            RequestOp {
                request: Some(Request::RequestPut(put)),
            }
        };
        let success = (0..20).map(put).collect();
        kv.txn(TxnRequest {
            success,
            ..Default::default()
        })
        .await
        .unwrap();
    }
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    watches
        .create(WatchCreateRequest {
            fragment: true,
            ..all(1)
        })
        .await;
    let mut events = 0;
    while events < 60 {
        let answer = watches.next().await;
        assert!(prost::Message::encoded_len(&answer) < 2_097_152 + 512 * 1024);
        events += answer.events.len();
    }
    assert_eq!(events, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_a_stream_that_needs_a_leader_ends() {
    let mut cluster = Cluster::start(3).await;
    let mut needs = Watches::open(cluster.channel(0).await, true).await;
    needs.create(on("a")).await;
    let mut careless = Watches::open(cluster.channel(0).await, false).await;
    careless.create(on("a")).await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let ended = needs.try_next().await.unwrap_err();
    assert_eq!(
        (ended.code(), ended.message()),
        (tonic::Code::Unavailable, "etcdserver: no leader")
    );
    cluster.restart(1).await;
    cluster.put(1, "a", "1").await;
    assert_eq!(careless.events(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_ends_ends_its_streams() {
    let mut cluster = Cluster::start(1).await;
    let mut watches = Watches::open(cluster.channel(0).await, false).await;
    watches.create(on("a")).await;
    cluster.stop(0).await;
    assert_eq!(
        watches.try_next().await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
}
